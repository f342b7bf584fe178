//! Writing an image archive as dockerd ≥ 25 does: OCI layout and docker-archive in one, over the same blobs.
//!
//! Layers are written uncompressed, so that a layer's blob digest is its diff id and every digest in the archive is
//! known before its bytes are.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io::{self, Write},
};

use serde::Serialize;

use super::documents::{DockerImage, IMAGE_NAME, REF_NAME, blob_path};
use crate::{
    digest::Digest,
    error::{Error, Result},
    layer::Store,
    manifest::{Descriptor, Document, MEDIA_CONFIG, MEDIA_INDEX, MEDIA_LAYER, MEDIA_MANIFEST},
    reference::Reference,
};

/// An image to write.
pub struct SavedImage {
    pub config: String,
    pub layers: Vec<SavedLayer>,
    /// Names it gets in the archive; each has a tag.
    pub names: Vec<Reference>,
    /// Media type and bytes of the manifest that it came with: written as it is when its layers are the plain ones that
    /// an archive holds, so that the image keeps its digest.
    pub manifest: Option<(String, String)>,
    /// Seconds since 1970, for the times of its layers and its config; what is made for the archive is of 1970.
    pub created: u64,
}

#[derive(Clone, Copy, Debug)]
pub struct SavedLayer {
    pub diff_id: Digest,
}

/// Writes the images and everything they need, each blob once.
pub fn save(images: &[SavedImage], store: &Store, out: impl Write) -> Result<()> {
    let mut archive = Archive { tar: tar::Builder::new(out), written: HashSet::new() };
    archive.directory("blobs")?;
    archive.directory("blobs/sha256")?;
    let (mut docker, mut index) = (Vec::new(), Vec::new());
    let mut repositories: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for image in images {
        let manifest = archive.image(image, store)?;
        docker.push(docker_image(image));
        describe(image, &manifest, &mut index);
        for name in &image.names {
            let top = image.layers.last().map_or_else(String::new, |layer| layer.diff_id.hex());
            let tag = name.tag().unwrap_or("latest").to_owned();
            repositories.entry(name.familiar_name()).or_default().insert(tag, top);
        }
    }
    let index = Document {
        schema_version: 2,
        media_type: Some(MEDIA_INDEX.into()),
        config: None,
        layers: None,
        manifests: Some(index),
    };
    archive.document("index.json", &index)?;
    archive.document("manifest.json", &docker)?;
    archive.document("oci-layout", &HashMap::from([("imageLayoutVersion", "1.0.0")]))?;
    if !repositories.is_empty() {
        archive.document("repositories", &repositories)?;
    }
    archive.tar.into_inner().and_then(|mut out| out.flush()).map_err(Error::Write)
}

/// Whether a manifest is of exactly these blobs.
fn fits(manifest: &str, config: &Descriptor, layers: &[Descriptor]) -> bool {
    let Ok(document) = serde_json::from_str::<Document>(manifest) else { return false };
    let same = |a: &Descriptor, b: &Descriptor| (a.digest, a.size) == (b.digest, b.size);
    let theirs = document.layers.unwrap_or_default();
    document.config.is_some_and(|theirs| same(&theirs, config))
        && theirs.len() == layers.len()
        && theirs.iter().zip(layers).all(|(a, b)| same(a, b))
}

fn docker_image(image: &SavedImage) -> DockerImage {
    let tags: Vec<String> = image.names.iter().map(Reference::familiar).collect();
    DockerImage {
        config: blob_path(&Digest::of(image.config.as_bytes())),
        repo_tags: (!tags.is_empty()).then_some(tags),
        layers: Some(image.layers.iter().map(|layer| blob_path(&layer.diff_id)).collect()),
    }
}

/// One descriptor for each name, as readers expect names in annotations.
fn describe(image: &SavedImage, manifest: &Descriptor, index: &mut Vec<Descriptor>) {
    if image.names.is_empty() {
        index.push(manifest.clone());
    }
    for name in &image.names {
        let annotations = HashMap::from([
            (IMAGE_NAME.to_owned(), name.to_string()),
            (REF_NAME.to_owned(), name.tag().unwrap_or("latest").to_owned()),
        ]);
        index.push(Descriptor { annotations, ..manifest.clone() });
    }
}

struct Archive<W: Write> {
    tar: tar::Builder<W>,
    written: HashSet<Digest>,
}

impl<W: Write> Archive<W> {
    /// Writes an image's blobs; returns its manifest's descriptor.
    fn image(&mut self, image: &SavedImage, store: &Store) -> Result<Descriptor> {
        let mut layers = Vec::with_capacity(image.layers.len());
        for layer in &image.layers {
            let size = self.layer(&layer.diff_id, image.created, store)?;
            layers.push(Descriptor::new(MEDIA_LAYER, layer.diff_id, size));
        }
        let config = self.blob(MEDIA_CONFIG, image.config.as_bytes(), image.created)?;
        if let Some((media_type, text)) = image.manifest.as_ref().filter(|(_, text)| fits(text, &config, &layers)) {
            return self.blob(media_type, text.as_bytes(), 0);
        }
        let manifest = Document {
            schema_version: 2,
            media_type: Some(MEDIA_MANIFEST.into()),
            config: Some(config),
            layers: Some(layers),
            manifests: None,
        };
        let bytes = serde_json::to_vec(&manifest).map_err(|error| Error::Write(error.into()))?;
        self.blob(MEDIA_MANIFEST, &bytes, 0)
    }

    /// Why twice through the layer: a tar header needs the size first, and the stream is made from small parts.
    fn layer(&mut self, diff_id: &Digest, created: u64, store: &Store) -> Result<u64> {
        let size = store.tar_bytes(diff_id)?;
        if self.written.insert(*diff_id) {
            let mut header = header(size, tar::EntryType::Regular, created);
            let path = blob_path(diff_id);
            header.set_path(&path).map_err(Error::Write)?;
            header.set_cksum();
            let out = self.tar.get_mut();
            out.write_all(header.as_bytes()).map_err(Error::Write)?;
            store.write_tar(diff_id, &mut *out)?;
            let padding = crate::tarball::padding(size) as usize;
            out.write_all(&[0; 512][..padding]).map_err(Error::Write)?;
        }
        Ok(size)
    }

    fn blob(&mut self, media_type: &str, bytes: &[u8], created: u64) -> Result<Descriptor> {
        let digest = Digest::of(bytes);
        if self.written.insert(digest) {
            self.file(&blob_path(&digest), bytes, created)?;
        }
        Ok(Descriptor::new(media_type, digest, bytes.len() as u64))
    }

    fn document(&mut self, path: &str, document: &impl Serialize) -> Result<()> {
        let bytes = serde_json::to_vec(document).map_err(|error| Error::Write(error.into()))?;
        self.file(path, &bytes, 0)
    }

    fn file(&mut self, path: &str, bytes: &[u8], created: u64) -> Result<()> {
        let mut header = header(bytes.len() as u64, tar::EntryType::Regular, created);
        self.tar.append_data(&mut header, path, bytes).map_err(Error::Write)
    }

    fn directory(&mut self, path: &str) -> Result<()> {
        let mut header = header(0, tar::EntryType::Directory, 0);
        self.tar.append_data(&mut header, format!("{path}/"), io::empty()).map_err(Error::Write)
    }
}

fn header(size: u64, kind: tar::EntryType, mtime: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_size(size);
    header.set_entry_type(kind);
    header.set_mode(if kind.is_dir() { 0o755 } else { 0o644 });
    header.set_mtime(mtime);
    header
}
