//! `docker commit`: what a container changed becomes a layer, its config an image's. `docker import`: a tar does.

use std::{
    io::{self, Read},
    path::Path,
    sync::Arc,
    thread,
    time::SystemTime,
};

use cubby_image::{Digest, ImageConfig, ImageFile, Platform, Reference, Staged, layer::write_upper};
use serde_json::{Value, json};

use super::{
    Image, Images, LayerRecord,
    load::{NewImage, describe},
};
use crate::{
    error::{Error, Result},
    timestamps,
};

/// The tar stream of no files: two zero blocks.
const EMPTY_TAR: [u8; 1024] = [0; 1024];

#[derive(Clone, Debug, Default)]
pub struct CommitOptions {
    pub name: Option<Reference>,
    /// Defaults for containers of the new image.
    pub config: ImageConfig,
    pub author: String,
    pub comment: String,
    /// What the history says was run.
    pub created_by: String,
}

/// How an image is made, which decides what everyone is told. Source: moby daemon/images, `CommitImage`, `ImportImage`.
#[derive(Clone, Copy)]
enum Made<'a> {
    Commit,
    /// A build's instruction that changed no file.
    Config,
    Import(Option<&'a Platform>),
}

impl Images {
    /// Makes an image of `base` and the changes in `upper`, an overlay's upper directory. Blocks. The container whose
    /// directory it is should be paused: otherwise the image may show a moment that never was.
    pub fn commit(&self, base: Option<&Image>, upper: &Path, options: CommitOptions) -> Result<Digest> {
        let staged = self.stage(upper)?;
        self.keep(base, Some(staged), options, Made::Commit)
    }

    /// A step of a build: like [`Images::commit`], and without `upper` only the config is new.
    pub(crate) fn step(
        &self,
        base: Option<&Image>,
        upper: Option<&Path>,
        options: CommitOptions,
    ) -> Result<Arc<Image>> {
        let staged = upper.map(|upper| self.stage(upper)).transpose()?;
        let made = if staged.is_some() { Made::Commit } else { Made::Config };
        let id = self.keep(base, staged, options, made)?;
        self.retained(&id).ok_or_else(|| Error::not_found(format!("No such image: {id}")))
    }

    fn stage(&self, upper: &Path) -> Result<Staged> {
        let failed = |error| describe(error, "make a layer of the container's changes");
        let (reader, writer) = io::pipe().map_err(|source| Error::system("make a pipe", source))?;
        thread::scope(|scope| {
            let written = scope.spawn(move || write_upper(upper, io::BufWriter::with_capacity(64 << 10, writer)));
            let staged = self.store.unpack(reader);
            // Why in this order: a writer that failed ends the stream early, and its reason is the true one.
            written.join().map_err(|_| Error::internal("reading the container's changes failed"))?.map_err(failed)?;
            staged.map_err(failed)
        })
    }

    /// Makes an image of a single layer out of a root filesystem's tar, compressed or not: `docker import`. Blocks.
    pub fn import(&self, tar: impl Read + Send, platform: Option<&Platform>, options: CommitOptions) -> Result<Digest> {
        let plain = cubby_image::layer::decoder(tar).map_err(|error| describe(error, "read the root filesystem"))?;
        let staged = self.store.unpack(plain).map_err(|error| describe(error, "unpack the root filesystem"))?;
        self.keep(None, Some(staged), options, Made::Import(platform))
    }

    fn keep(
        &self,
        base: Option<&Image>,
        staged: Option<Staged>,
        options: CommitOptions,
        made: Made<'_>,
    ) -> Result<Digest> {
        let failed = |error| describe(error, "keep the new layer");
        let staged = staged.filter(|staged| *staged.diff_id() != Digest::of(&EMPTY_TAR));
        let is_empty = staged.is_none();
        let mut layers = base.map_or_else(Vec::new, |base| base.layers.to_vec());
        let layer =
            |staged: &Staged| LayerRecord { diff_id: *staged.diff_id(), size_bytes: staged.files_bytes, blob: None };
        layers.extend(staged.as_ref().map(layer));
        let pin = staged.map(|staged| self.store.place(staged)).transpose().map_err(failed)?;
        if pin.is_some() {
            self.store.sync().map_err(failed)?;
        }
        let name = options.name.clone();
        let platform = if let Made::Import(platform) = made { platform } else { None };
        let config = document(base, platform, &layers, is_empty, options)?;
        let file =
            ImageFile::parse(config.as_bytes()).map_err(|error| Error::system("read the new image's config", error))?;
        let id = Digest::of(config.as_bytes());
        let mut index = self.write();
        let names: Vec<Reference> = name.iter().cloned().collect();
        let parent = base.map(|base| base.id);
        let new = NewImage { id, config: &config, file, layers, manifest: None, parent };
        self.put_image(&mut index, new, &names)?;
        let image = index.get(&id).cloned();
        drop(index);
        drop(pin);
        let Some(image) = image else { return Ok(id) };
        if matches!(made, Made::Commit) {
            self.event("create", &image, Some(id.to_string()));
        }
        if let Some(name) = name {
            self.event("tag", &image, Some(name.familiar()));
        }
        if matches!(made, Made::Import(_)) {
            self.event("import", &image, Some(id.to_string()));
        }
        Ok(id)
    }
}

/// The new config document: the base's, with what is new. Members that we do not know stay.
fn document(
    base: Option<&Image>,
    platform: Option<&Platform>,
    layers: &[LayerRecord],
    is_empty: bool,
    options: CommitOptions,
) -> Result<String> {
    let failed = |error| Error::system("write the new image's config", error);
    let created = timestamps::rfc3339_nano(SystemTime::now());
    let mut document: Value = match base {
        Some(base) => serde_json::from_str(&base.record.config).map_err(failed)?,
        None => {
            let platform = platform.cloned().unwrap_or_else(Platform::native);
            let mut document = json!({ "architecture": platform.architecture, "os": platform.os, "history": [] });
            if let Some(variant) = platform.variant {
                document["variant"] = json!(variant);
            }
            document
        }
    };
    let mut step = json!({ "created": created, "created_by": options.created_by });
    for (member, text) in [("author", &options.author), ("comment", &options.comment)] {
        if !text.is_empty() {
            step[member] = json!(text);
        }
    }
    if is_empty {
        step["empty_layer"] = json!(true);
    }
    if !document["history"].is_array() {
        document["history"] = json!([]);
    }
    if let Some(history) = document["history"].as_array_mut() {
        history.push(step);
    }
    document["created"] = json!(created);
    document["author"] = json!(options.author);
    document["config"] = serde_json::to_value(&options.config).map_err(failed)?;
    let diff_ids: Vec<Digest> = layers.iter().map(|layer| layer.diff_id).collect();
    document["rootfs"] = json!({ "type": "layers", "diff_ids": diff_ids });
    serde_json::to_string(&document).map_err(failed)
}
