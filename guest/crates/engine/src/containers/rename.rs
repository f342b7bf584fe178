//! Rename.

use super::{Containers, names};
use crate::error::{Error, Result};

impl Containers {
    pub async fn rename(&self, name: &str, new: &str) -> Result<()> {
        if new.is_empty() {
            return Err(Error::invalid("Neither old nor new names may be empty"));
        }
        let container = self.find(name)?;
        let _transition = container.transition.lock().await;
        let old = container.record().name.clone();
        // Why with a slash: so dockerd names it here.
        let slashed = format!("/{}", new.strip_prefix('/').unwrap_or(new));
        let new = names::check(&slashed)
            .map_err(|error| Error::invalid(format!("Error when allocating new name: {}", error.message())))?
            .to_owned();
        if old == new {
            return Err(Error::invalid("Renaming a container with the same name as its current name"));
        }
        self.table_mut().reserve(&new, &container.id).map_err(|error| {
            Error::new(error.kind(), format!("Error when allocating new name: {}", error.message()))
        })?;
        let changed = self.change(&container, |record| record.name = new.clone());
        let record = changed.inspect_err(|_| self.table_mut().release(&new, &container.id))?;
        self.table_mut().release(&old, &container.id);
        if record.state.running {
            self.parts.networks.renamed(&container.id, &new);
        }
        self.event(&record, "rename", &[("oldName", format!("/{old}"))]);
        Ok(())
    }
}
