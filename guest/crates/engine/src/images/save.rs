//! `docker save`: records back to an archive.

use std::{io::Write, sync::Arc};

use cubby_image::{
    Digest, Platform, Reference,
    archive::{self, SavedImage, SavedLayer},
    reference::is_hex_id,
};

use super::{Image, Images, find::lookup, index::Index, list::created_at, load::describe};
use crate::error::{Error, ErrorKind, Result};

impl Images {
    /// What [`Images::save`] would write: so that a wrong name is an error before the answer begins.
    ///
    /// # Errors
    /// Not found for any of the names, and for an image that is not for the platform.
    pub fn prepare_save(&self, names: &[String], platform: Option<&Platform>) -> Result<Save> {
        let index = self.read();
        let mut images: Vec<SavedImage> = Vec::new();
        let mut pins = Vec::new();
        for name in names {
            for (image, names) in meant(&index, name)? {
                image.must_fit(name, platform)?;
                for layer in image.layers.iter() {
                    let pin = self.store.pin(&layer.diff_id);
                    pins.push(pin.ok_or_else(|| Error::internal(format!("layer {} is missing", layer.diff_id)))?);
                }
                add(&mut images, &image, names);
            }
        }
        Ok(Save { images, pins })
    }

    /// Writes an archive that every engine loads. Blocks.
    pub fn save(&self, save: &Save, out: impl Write) -> Result<()> {
        archive::save(&save.images, &self.store, out).map_err(|error| describe(error, "save images"))?;
        for saved in &save.images {
            if let Some(image) = self.retained(&Digest::of(saved.config.as_bytes())) {
                self.event("save", &image, Some(image.id.to_string()));
            }
        }
        Ok(())
    }
}

/// A save that can begin; its images stay until it is dropped.
pub struct Save {
    images: Vec<SavedImage>,
    #[allow(dead_code, reason = "held, not read")]
    pins: Vec<cubby_image::Pin>,
}

/// The same image by two names is written once.
fn add(images: &mut Vec<SavedImage>, image: &Image, names: Vec<Reference>) {
    let config = &image.record.config;
    match images.iter_mut().find(|other| other.config == *config) {
        Some(other) => {
            other.names.extend(names.into_iter().filter(|name| !other.names.contains(name)).collect::<Vec<_>>())
        }
        None => images.push(SavedImage {
            config: config.clone(),
            layers: image.layers.iter().map(|layer| SavedLayer { diff_id: layer.diff_id }).collect(),
            names,
            manifest: image.record.manifest.as_ref().map(|m| (m.media_type.clone(), m.document.clone())),
            created: u64::try_from(created_at(image)).unwrap_or(0),
        }),
    }
}

/// What a client means by a name: every tag of a repository that it gives without one; otherwise the one image, by its
/// name, or nameless when it gives an id. Source: moby image/tarexport `parseNames`.
fn meant(index: &Index, asked: &str) -> Result<Vec<(Arc<Image>, Vec<Reference>)>> {
    let hex = asked.strip_prefix("sha256:").unwrap_or(asked);
    let reference = if is_hex_id(hex) { None } else { Reference::parse(asked).ok() };
    if let Some(repository) = reference.as_ref().filter(|name| name.tag().is_none() && name.digest().is_none()) {
        let tags = index.tags_of(repository);
        if !tags.is_empty() {
            return Ok(tags);
        }
    }
    // Source: moby image/tarexport/save.go: what has a tag is looked for among the names alone.
    let image = lookup(index, asked).map_err(|error| match (error.kind(), &reference) {
        (ErrorKind::NotFound, Some(name)) if name.tag().is_some() => Error::not_found("reference does not exist"),
        (ErrorKind::NotFound, _) => Error::not_found(format!("No such image: {asked}")),
        _ => error,
    })?;
    let tag =
        reference.filter(|name| name.digest().is_none() && index.named(name).is_some_and(|found| found.id == image.id));
    Ok(vec![(image, tag.into_iter().collect())])
}
