//! The JSON between a name and its layers: indexes, manifests, descriptors. Docker's and OCI's are read alike.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::{digest::Digest, platform::Platform};

pub const MEDIA_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub const MEDIA_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const MEDIA_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const MEDIA_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const MEDIA_DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// Docker's own types, which every registry takes.
pub const MEDIA_DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub const MEDIA_DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
pub const MEDIA_DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
/// What a manifest of before content addressing says it is.
pub const MEDIA_SCHEMA1: &str = "application/vnd.docker.distribution.manifest.v1";

/// Points at a blob.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    #[serde(default)]
    pub media_type: String,
    pub digest: Digest,
    pub size: u64,
    #[serde(default, skip_serializing_if = "HashMap::is_empty")]
    pub annotations: HashMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub urls: Option<Vec<String>>,
}

/// An OCI index, a Docker manifest list, an OCI or Docker manifest: told apart by what they have.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    pub schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Descriptor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<Vec<Descriptor>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifests: Option<Vec<Descriptor>>,
}

impl Descriptor {
    /// The plain kind: what, which, how large.
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        let media_type = media_type.to_owned();
        Self { media_type, digest, size, annotations: HashMap::new(), platform: None, urls: None }
    }

    /// True for attestations and the like, which stand among images in an index.
    pub fn is_artifact(&self) -> bool {
        self.annotations.contains_key("vnd.docker.reference.type")
            || self.platform.as_ref().is_some_and(|platform| platform.os == "unknown")
    }

    /// True when the blob is said to lie elsewhere than in its registry or archive.
    pub fn is_foreign(&self) -> bool {
        self.urls.as_ref().is_some_and(|urls| !urls.is_empty())
    }

    /// True for the config of an image; other artifacts have others. Some registries give images' configs odd types.
    /// Source: moby distribution/pull_v2.go `ImageTypes`.
    pub fn is_image_config(&self) -> bool {
        const ODD: [&str; 4] = ["application/octet-stream", "text/html", "text/html; charset=utf-8", ""];
        [MEDIA_CONFIG, MEDIA_DOCKER_CONFIG].contains(&self.media_type.as_str())
            || ODD.contains(&self.media_type.as_str())
    }
}
