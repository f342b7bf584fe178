//! `docker load`: from an archive to records.

use std::{
    collections::HashMap,
    io::Read,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use cubby_image::{
    Compression, Digest, ImageFile, Platform, Reference,
    archive::{self, Known, Loaded, LoadedImage},
};

use super::{
    IMAGE, Images, NAME,
    image::{BlobRecord, LayerRecord, ManifestRecord, NameRecord, Record},
    index::Index,
    message::Message,
};
use crate::{
    error::{Error, ErrorKind, Result},
    state::Row,
};

/// How to load.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// No progress, only what was loaded.
    pub quiet: bool,
    /// The only platform wanted.
    pub platform: Option<Platform>,
}

impl Images {
    /// Loads every image of the archive that `archive` gives and tells `say` about it. Blocks; ends when the archive
    /// ends.
    ///
    /// # Errors
    /// Invalid for an archive that is broken or hostile; then nothing of it is kept.
    pub fn load(&self, archive: impl Read + Send, options: &LoadOptions, say: &(dyn Fn(Message) + Sync)) -> Result<()> {
        let known = KnownLayers::of(&self.read());
        let progress = |event| {
            if !options.quiet {
                say(progress_message(event));
            }
        };
        let loaded = archive::load(archive, &self.store, &known, options.platform.as_ref(), &progress)
            .map_err(|error| describe(error, "load the archive"))?;
        let Loaded { images, pins } = loaded;
        for image in &images {
            self.record_loaded(image, &known, say)?;
        }
        // Why: the records list the layers now; until here they must not be taken for refuse.
        drop(pins);
        Ok(())
    }

    fn record_loaded(&self, image: &LoadedImage, known: &KnownLayers, say: &(dyn Fn(Message) + Sync)) -> Result<()> {
        let layers = image.layers.iter().map(|layer| LayerRecord {
            diff_id: layer.diff_id,
            size_bytes: layer.files_bytes,
            blob: match layer.blob {
                Some((digest, size_bytes, compression)) => {
                    Some(BlobRecord { digest, size_bytes, media_type: media_type(compression).to_owned() })
                }
                None => known.blobs.get(&layer.diff_id).cloned(),
            },
        });
        let mut said = Vec::new();
        let mut index = self.write();
        let manifest = image.manifest.clone().map(|(media_type, document)| ManifestRecord { media_type, document });
        let (config, file) = (image.config.as_str(), image.file.clone());
        let new = NewImage { id: image.id, config, file, layers: layers.collect(), manifest, parent: None };
        for (name, old) in self.put_image(&mut index, new, &image.names)? {
            let name = name.familiar();
            if let Some(old) = old {
                said.push(format!(
                    "The image {name} already exists, renaming the old one with ID {old} to empty string\n"
                ));
            }
            said.push(format!("Loaded image: {name}\n"));
        }
        let recorded = index.get(&image.id).cloned();
        drop(index);
        if image.names.is_empty() {
            said.push(format!("Loaded image ID: {}\n", image.id));
        }
        if !image.native {
            let (has, native) = (image.file.platform(), Platform::native());
            said.push(format!("WARNING: the image's platform ({has}) does not match this machine's ({native})\n"));
        }
        said.into_iter().for_each(|text| say(Message::stream(text)));
        if let Some(recorded) = recorded {
            self.event("load", &recorded, Some(image.id.to_string()));
        }
        Ok(())
    }

    /// Makes an image and its names known at once, or brings a hidden one back into sight. Each name comes back with the
    /// other image that had it.
    pub(super) fn put_image(
        &self,
        index: &mut Index,
        new: NewImage<'_>,
        names: &[Reference],
    ) -> Result<Vec<(Reference, Option<Digest>)>> {
        let NewImage { id, config, file, layers, manifest, parent } = new;
        // Why: an archive without manifests says nothing about the one that the image came with earlier.
        let manifest = manifest.or_else(|| index.get(&id).and_then(|image| image.record.manifest.clone()));
        let parent = parent.or_else(|| index.get(&id).and_then(|image| image.record.parent));
        let record = Record { config: config.to_owned(), layers, tagged_at: now(), manifest, parent, hidden: false };
        let row = Row::new(IMAGE, id.to_string(), &record);
        let rows = names.iter().map(|name| Row::new(NAME, name.to_string(), &NameRecord { image: id }));
        std::iter::once(row)
            .chain(rows)
            .collect::<Result<Vec<_>, _>>()
            .and_then(|rows| self.state.put_all(&rows))
            .map_err(|source| Error::system(format!("record image {id}"), source))?;
        index.put(id, Arc::new(file), Arc::new(record));
        let named =
            names.iter().map(|name| (name.clone(), index.name(name.clone(), id).filter(|before| *before != id)));
        Ok(named.collect())
    }
}

/// An image whose layers are in place.
pub(super) struct NewImage<'a> {
    pub id: Digest,
    /// The config document, byte for byte.
    pub config: &'a str,
    pub file: ImageFile,
    pub layers: Vec<LayerRecord>,
    pub manifest: Option<ManifestRecord>,
    /// What it was made on, here.
    pub parent: Option<Digest>,
}

pub(super) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

/// Whose fault a failure was decides its kind.
pub(super) fn describe(error: cubby_image::Error, what: &str) -> Error {
    let full = matches!(error, cubby_image::Error::DiskFull { .. });
    if error.is_bad_input() {
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(inner) = cause {
            text += &format!(": {inner}");
            cause = inner.source();
        }
        return Error::new(ErrorKind::InvalidParameter, text).with_source(error);
    }
    if full {
        return Error::internal(error.to_string()).with_source(error);
    }
    Error::system(what, error)
}

fn progress_message(event: archive::Event) -> Message {
    match event {
        archive::Event::Layer { id, current, total } => Message::progress(id, "Loading layer", current, total),
        archive::Event::LayerExists { id } => Message::of(id, "Already exists"),
    }
}

pub(super) fn media_type(compression: Compression) -> &'static str {
    match compression {
        Compression::None => "application/vnd.oci.image.layer.v1.tar",
        Compression::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
        Compression::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
    }
}

/// The layers on disk by the digests they may be called.
pub(super) struct KnownLayers {
    by_digest: HashMap<Digest, (Digest, u64)>,
    pub blobs: HashMap<Digest, BlobRecord>,
}

impl KnownLayers {
    pub fn of(index: &Index) -> Self {
        let mut known = Self { by_digest: HashMap::new(), blobs: HashMap::new() };
        for layer in index.all().flat_map(|image| image.layers.iter()) {
            let place = (layer.diff_id, layer.size_bytes);
            known.by_digest.insert(layer.diff_id, place);
            if let Some(blob) = &layer.blob {
                known.by_digest.insert(blob.digest, place);
                known.blobs.insert(layer.diff_id, blob.clone());
            }
        }
        known
    }
}

impl Known for KnownLayers {
    fn diff_id(&self, blob: &Digest) -> Option<(Digest, u64)> {
        self.by_digest.get(blob).copied()
    }
}
