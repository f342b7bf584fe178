//! Giving images names and taking them away. Every change goes to the state database before anyone sees it.

use std::collections::HashMap;

use cubby_image::{Digest, Reference, reference::InvalidReference};

use super::{
    IMAGE, Images, NAME,
    find::lookup,
    image::{Image, NameRecord, Record},
    index::Index,
};
use crate::{
    error::{Error, Result},
    events::Event,
};

/// `repository[:tag]` as the name that an image gets. Source: moby `httputils.RepoTagReference`, reference/store.go.
///
/// # Errors
/// Invalid, in dockerd's words.
pub fn new_name(repository: &str, tag: &str) -> Result<Reference> {
    let invalid = |error: InvalidReference| Error::invalid(error.to_string()).with_source(error);
    let name = Reference::parse(repository).map_err(invalid)?;
    if name.digest().is_some() {
        return Err(Error::invalid("cannot import digest reference"));
    }
    if name.familiar_name() == "sha256" {
        return Err(Error::invalid("refusing to create an ambiguous tag using digest algorithm as name"));
    }
    if tag.is_empty() { Ok(name.or_latest()) } else { name.with_tag(tag).map_err(invalid) }
}

impl Images {
    /// Gives the image another name, `repository[:tag]`; a name that another image has moves over.
    ///
    /// # Errors
    /// Not found; invalid for what cannot be a name.
    pub fn tag(&self, image: &str, repository: &str, tag: &str) -> Result<()> {
        let name = new_name(repository, tag)?;
        let mut index = self.write();
        let image = lookup(&index, image)?;
        self.set_name(&mut index, name.clone(), image.id)?;
        let image = index.get(&image.id).cloned().unwrap_or(image);
        drop(index);
        self.event("tag", &image, Some(name.familiar()));
        Ok(())
    }

    /// Points a name at an image; returns the image it pointed at before, when it was another.
    pub(super) fn set_name(&self, index: &mut Index, name: Reference, id: Digest) -> Result<Option<Digest>> {
        self.state
            .put(NAME, &name.to_string(), &NameRecord { image: id })
            .map_err(|source| Error::system(format!("record the name {name}"), source))?;
        Ok(index.name(name, id).filter(|before| *before != id))
    }

    pub(super) fn drop_name(&self, index: &mut Index, name: &Reference) -> Result<()> {
        self.state
            .delete(NAME, &name.to_string())
            .map_err(|source| Error::system(format!("remove the name {name}"), source))?;
        index.unname(name);
        Ok(())
    }

    /// Changes what is recorded of an image; its content and names stay.
    pub(super) fn replace_record(&self, index: &mut Index, image: &Image, record: Record) -> Result<()> {
        self.state
            .put(IMAGE, &image.id.to_string(), &record)
            .map_err(|source| Error::system(format!("record image {}", image.id), source))?;
        index.put(image.id, image.file.clone(), record.into());
        Ok(())
    }

    /// Forgets an image for good: record and names.
    pub(super) fn drop_record(&self, index: &mut Index, id: &Digest) -> Result<()> {
        let names: Vec<Reference> = index.names_of(id).into_iter().cloned().collect();
        for name in names {
            self.drop_name(index, &name)?;
        }
        self.state
            .delete(IMAGE, &id.to_string())
            .map_err(|source| Error::system(format!("forget image {id}"), source))?;
        index.remove(id);
        Ok(())
    }

    /// Tells everyone that something happened to an image. Source: moby daemon/images `LogImageEvent`.
    pub(super) fn event(&self, action: &str, image: &Image, name: Option<String>) {
        let mut attributes: HashMap<String, String> = image.config().labels.clone().unwrap_or_default();
        attributes.extend(name.map(|name| ("name".to_owned(), name)));
        self.events.publish(Event::now("image", action, image.id.to_string(), attributes));
    }
}
