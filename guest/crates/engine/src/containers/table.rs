//! Which containers there are, and which names are taken.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::container::Container;
use crate::error::{Error, Result};

/// See the module's documentation. Names are without their slash.
#[derive(Default)]
pub struct Table {
    by_id: BTreeMap<String, Arc<Container>>,
    names: HashMap<String, String>,
}

impl Table {
    pub fn all(&self) -> impl Iterator<Item = &Arc<Container>> {
        self.by_id.values()
    }

    pub fn get(&self, id: &str) -> Option<&Arc<Container>> {
        self.by_id.get(id)
    }

    pub fn find(&self, name_or_id: &str) -> Result<Arc<Container>> {
        if name_or_id.is_empty() {
            return Err(Error::invalid("No container name or ID supplied"));
        }
        if let Some(container) = self.by_id.get(name_or_id) {
            return Ok(container.clone());
        }
        let name = name_or_id.strip_prefix('/').unwrap_or(name_or_id);
        if let Some(container) = self.names.get(name).and_then(|id| self.by_id.get(id)) {
            return Ok(container.clone());
        }
        self.by_prefix(name_or_id)
    }

    pub fn by_prefix(&self, prefix: &str) -> Result<Arc<Container>> {
        let mut matches = self
            .by_id
            .range(prefix.to_owned()..)
            .take_while(|(id, _)| id.starts_with(prefix))
            .map(|(_, container)| container);
        match (matches.next(), matches.next()) {
            (Some(container), None) => Ok(container.clone()),
            (Some(_), Some(_)) => Err(Error::invalid(format!("multiple IDs found with provided prefix: {prefix}"))),
            _ => Err(Error::not_found(format!("No such container: {prefix}"))),
        }
    }

    /// Takes a name for an id.
    ///
    /// # Errors
    /// Conflict when somebody else has it.
    pub fn reserve(&mut self, name: &str, id: &str) -> Result<()> {
        match self.names.get(name) {
            Some(holder) if holder != id => Err(Error::conflict(format!(
                "Conflict. The container name \"/{name}\" is already in use by container \"{holder}\". You have to \
                 remove (or rename) that container to be able to reuse that name."
            ))),
            _ => {
                self.names.insert(name.to_owned(), id.to_owned());
                Ok(())
            }
        }
    }

    pub fn release(&mut self, name: &str, id: &str) {
        if self.names.get(name).is_some_and(|holder| holder == id) {
            self.names.remove(name);
        }
    }

    pub fn insert(&mut self, container: Arc<Container>) {
        self.by_id.insert(container.id.clone(), container);
    }

    pub fn remove(&mut self, id: &str) {
        self.by_id.remove(id);
        self.names.retain(|_, holder| holder != id);
    }
}
