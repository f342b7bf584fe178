//! An image as the rest of the engine sees it.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use cubby_image::{Digest, ImageConfig, ImageFile, Platform, Reference, manifest::Document};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::{Error, Result};

/// One image with its names at one moment. Immutable: a change of names makes another `Image` of the same content.
#[derive(Clone, Debug)]
pub struct Image {
    /// Digest of the config document.
    pub id: Digest,
    /// Familiar names with tag, sorted.
    pub repo_tags: Vec<String>,
    /// Familiar names with manifest digest, sorted.
    pub repo_digests: Vec<String>,
    /// The config document as read.
    pub file: Arc<ImageFile>,
    /// Bottom first, as the config lists them.
    pub layers: Arc<[LayerRecord]>,
    /// Unpacked layers, topmost first, each once; never empty. What overlayfs takes as lower directories.
    pub lower_dirs: Arc<[PathBuf]>,
    /// Identity of the whole stack; none for an image without layers.
    pub chain_id: Option<Digest>,
    /// Sum of the files in all layers.
    pub size_bytes: u64,
    /// When a name was last given to it, or it came, in seconds since 1970.
    pub tagged_at: i64,
    pub(super) record: Arc<Record>,
}

impl Image {
    /// Defaults for containers.
    pub fn config(&self) -> &ImageConfig {
        &self.file.config
    }

    pub fn platform(&self) -> Platform {
        self.file.platform()
    }

    /// An image is of one platform; one for another than the one asked for is not it. Source: moby daemon/images
    /// `GetImage`.
    pub fn must_fit(&self, name: &str, wanted: Option<&Platform>) -> Result<()> {
        let has = self.platform();
        match wanted.filter(|wanted| !has.satisfies(wanted)) {
            None => Ok(()),
            Some(wanted) => Err(Error::not_found(format!(
                "image with reference {name} was found but its platform ({has}) does not match the specified platform \
                 ({wanted})"
            ))),
        }
    }

    pub fn architecture(&self) -> &str {
        &self.file.architecture
    }

    pub fn os(&self) -> &str {
        &self.file.os
    }

    /// RFC 3339, as the config has it; absent in reproducible images.
    pub fn created(&self) -> Option<&str> {
        self.file.created.as_deref()
    }

    /// When it was last given a name.
    pub fn tagged_time(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(u64::try_from(self.tagged_at).unwrap_or(0))
    }

    /// A member of the config document as it came: `config`, and what only older builders write.
    pub fn raw_member(&self, name: &str) -> Option<Box<RawValue>> {
        cubby_image::config::raw_member(self.record.config.as_bytes(), name)
    }

    /// Length of the config document.
    pub fn config_bytes(&self) -> usize {
        self.record.config.len()
    }

    /// How its registry or archive described it.
    pub fn manifest(&self) -> Option<&ManifestRecord> {
        self.record.manifest.as_ref()
    }

    /// The image that it was committed or built on, here.
    pub fn parent(&self) -> Option<Digest> {
        self.record.parent
    }

    /// True when no name is left.
    pub fn is_dangling(&self) -> bool {
        self.repo_tags.is_empty()
    }
}

/// What the state database keeps of an image (`kind = "image"`, id = the image's id).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    /// The config document, byte for byte: its digest is the id.
    pub config: String,
    pub layers: Vec<LayerRecord>,
    pub tagged_at: i64,
    /// How its registry or archive described it, when it came from one or was pushed to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<ManifestRecord>,
    /// The image below it, when it was committed or built here. It need not be there any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Digest>,
    /// Removed by its user while containers still stand on it: out of sight, its layers kept.
    #[serde(default)]
    pub hidden: bool,
}

/// An image manifest, byte for byte: so that what is pushed or saved unchanged keeps its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestRecord {
    pub media_type: String,
    pub document: String,
}

impl ManifestRecord {
    pub fn digest(&self) -> Digest {
        Digest::of(self.document.as_bytes())
    }

    /// The digests of its layers' blobs, bottom first; empty when it cannot be read.
    pub fn layer_digests(&self) -> Vec<Digest> {
        let document: Option<Document> = serde_json::from_str(&self.document).ok();
        let layers = document.and_then(|document| document.layers).unwrap_or_default();
        layers.into_iter().map(|layer| layer.digest).collect()
    }
}

/// One layer of one image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerRecord {
    pub diff_id: Digest,
    /// Sum of the sizes of its files.
    pub size_bytes: u64,
    /// The compressed blob it came from, when its digest is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blob: Option<BlobRecord>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobRecord {
    pub digest: Digest,
    pub size_bytes: u64,
    pub media_type: String,
}

/// What the state database keeps of a name (`kind = "image-name"`, id = the canonical reference, by tag or by digest).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct NameRecord {
    pub image: Digest,
}

/// A container that stands on an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageUse {
    pub container_id: String,
    pub running: bool,
}

/// Tells which containers stand on an image: images must not vanish from under them.
///
/// Called with the images' lock held: an implementation must not call back into [`super::Images`].
///
/// A container that is being made: first it appears here, then its maker asks [`super::Images::retained`] whether the
/// image is still there. Then either the maker or the remover notices the other.
pub trait ImageUsers: Send + Sync {
    fn using(&self, image_id: &Digest) -> Vec<ImageUse>;
}

/// Sorts names into what `RepoTags` and `RepoDigests` show.
pub(super) fn familiar_names<'a>(names: impl Iterator<Item = &'a Reference>) -> (Vec<String>, Vec<String>) {
    let (mut tags, mut digests) = (Vec::new(), Vec::new());
    for name in names {
        if name.digest().is_some() {
            digests.push(name.familiar());
        } else {
            tags.push(name.familiar());
        }
    }
    tags.sort();
    digests.sort();
    (tags, digests)
}
