//! Finding an image by whatever a client calls it.

use std::sync::Arc;

use cubby_image::{Digest, Reference, reference::is_hex_id};

use super::{Images, image::Image, index::Index};
use crate::error::{Error, Result};

impl Images {
    /// Finds an image by name (`busybox`, `host/a:1`, `a@sha256:…`) or by id, whole or a unique beginning.
    /// Names win over beginnings of ids. Source: moby daemon/images `GetImage`.
    ///
    /// # Errors
    /// Not found with dockerd's "No such image: …", which makes the CLI pull; invalid for what is no reference.
    pub fn find(&self, name_or_id: &str) -> Result<Arc<Image>> {
        lookup(&self.read(), name_or_id)
    }

    /// The image of an existing container: found even after `rmi --force` took it out of sight.
    pub fn retained(&self, id: &Digest) -> Option<Arc<Image>> {
        self.read().get(id).cloned()
    }
}

pub(super) fn lookup(index: &Index, text: &str) -> Result<Arc<Image>> {
    let whole = text.strip_prefix("sha256:").unwrap_or(text);
    if is_hex_id(whole) {
        let id = Digest::from_hex(whole).map_err(|error| Error::invalid(error.to_string()))?;
        let found = index.get(&id).filter(|image| !image.record.hidden);
        return found.cloned().ok_or_else(|| Error::not_found(format!("No such image: {id}")));
    }
    let reference = Reference::parse(text).map_err(|error| Error::invalid(error.to_string()).with_source(error))?;
    by_reference(index, &reference)
        .or_else(|| index.by_prefix(text))
        .cloned()
        .ok_or_else(|| Error::not_found(format!("No such image: {}", reference.or_latest().familiar())))
}

fn by_reference<'a>(index: &'a Index, reference: &Reference) -> Option<&'a Arc<Image>> {
    match reference.digest() {
        Some(digest) => index
            .named(&reference.with_digest(*digest))
            .or_else(|| index.get(digest).filter(|image| !image.record.hidden && has_repository(image, reference))),
        None => index.named(&reference.clone().or_latest()),
    }
}

fn has_repository(image: &Image, reference: &Reference) -> bool {
    let names = image.repo_tags.iter().chain(&image.repo_digests);
    names.filter_map(|name| Reference::parse(name).ok()).any(|name| name.name() == reference.name())
}
