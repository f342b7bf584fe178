//! The JSON documents of an archive: read leniently, used only as far as their digests hold.

use std::collections::HashMap;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    digest::Digest,
    error::{Error, Result},
    manifest::Document,
};

/// Annotation with the whole name. Source: containerd `images.AnnotationImageName`.
pub const IMAGE_NAME: &str = "io.containerd.image.name";
/// Annotation with the tag, or the whole name. Source: OCI image spec, "Pre-Defined Annotation Keys".
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// One image of `manifest.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DockerImage {
    pub config: String,
    pub repo_tags: Option<Vec<String>>,
    /// Absent and null in images of nothing but a config.
    pub layers: Option<Vec<String>>,
}

/// Every document of an archive by its path.
#[derive(Default)]
pub struct Documents {
    by_path: HashMap<String, Vec<u8>>,
}

impl Documents {
    pub fn insert(&mut self, path: String, bytes: Vec<u8>) {
        self.by_path.insert(path, bytes);
    }

    pub fn contains(&self, path: &str) -> bool {
        self.by_path.contains_key(path)
    }

    pub fn raw(&self, path: &str) -> Result<&[u8]> {
        let found = self.by_path.get(path);
        found.map(Vec::as_slice).ok_or_else(|| Error::Archive(format!("{path} is missing")))
    }

    pub fn parse<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let bytes = self.raw(path)?;
        serde_json::from_slice(bytes).map_err(|source| Error::Json { what: path.to_owned(), source })
    }

    /// A blob's bytes, checked against its digest.
    pub fn blob(&self, digest: &Digest) -> Result<&[u8]> {
        let bytes = self.raw(&blob_path(digest))?;
        let found = Digest::of(bytes);
        if found == *digest { Ok(bytes) } else { Err(Error::Mismatch { what: "blob", expected: *digest, found }) }
    }

    pub fn blob_document(&self, digest: &Digest) -> Result<Document> {
        let what = || format!("blob {digest}");
        serde_json::from_slice(self.blob(digest)?).map_err(|source| Error::Json { what: what(), source })
    }
}

/// Where an OCI layout keeps a blob.
pub fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// The digest in a blob's path.
pub fn digest_in_path(path: &str) -> Option<Digest> {
    Digest::from_hex(path.strip_prefix("blobs/sha256/")?).ok()
}
