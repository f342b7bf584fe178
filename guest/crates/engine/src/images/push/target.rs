//! Where an image goes, and what its registry has already.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use cubby_image::{Digest, Reference};
use cubby_registry::Repository;

use crate::images::{BlobRecord, Image, Say, index::Index};

/// Repositories whose blobs a push may ask to mount.
const SOURCES: usize = 8;

/// Other repositories of the same registry that are known to hold a blob.
#[derive(Default)]
pub struct Sources(HashMap<Digest, BTreeSet<String>>);

impl Sources {
    /// What the names of other images with the same layers tell.
    pub fn of(index: &Index, images: &[(Reference, Arc<Image>)], target: &Reference) -> Self {
        let wanted = images.iter().flat_map(|(_, image)| image.layers.iter()).filter_map(|layer| layer.blob.as_ref());
        let mut sources: HashMap<Digest, BTreeSet<String>> =
            wanted.map(|blob| (blob.digest, BTreeSet::new())).collect();
        for image in index.all() {
            let names = index.names_of(&image.id).into_iter();
            let repositories: Vec<&str> = names
                .filter(|name| name.digest().is_some() && name.domain() == target.domain())
                .map(Reference::path)
                .filter(|path| *path != target.path())
                .collect();
            for blob in image.layers.iter().filter_map(|layer| layer.blob.as_ref()) {
                if let Some(found) = sources.get_mut(&blob.digest) {
                    found.extend(repositories.iter().map(|path| (*path).to_owned()));
                }
            }
        }
        Self(sources)
    }

    pub fn repositories(&self) -> Vec<String> {
        let all: BTreeSet<&String> = self.0.values().flatten().collect();
        all.into_iter().take(SOURCES).cloned().collect()
    }

    fn of_blob(&self, blob: &Digest) -> Option<&str> {
        self.0.get(blob)?.first().map(String::as_str)
    }
}

/// Where an image goes.
pub struct Target<'a> {
    pub repository: &'a Repository,
    pub name: &'a Reference,
    pub sources: &'a Sources,
    pub say: &'a Say,
}

impl Target<'_> {
    /// Whether the registry has the blob without our sending it, in the words that clients see.
    pub async fn has(&self, blob: &BlobRecord) -> Result<Option<String>, cubby_registry::Error> {
        let digest = blob.digest.to_string();
        if self.repository.has_blob(&digest).await? {
            return Ok(Some("Layer already exists".to_owned()));
        }
        let Some(source) = self.sources.of_blob(&blob.digest) else { return Ok(None) };
        match self.repository.mount_or_upload(&digest, Some(source)).await {
            Ok(None) => Ok(Some(format!("Mounted from {source}"))),
            Ok(Some(upload)) => {
                self.repository.cancel(upload).await;
                Ok(None)
            }
            // Why: a registry that refuses to mount may well take the bytes.
            Err(error) => {
                tracing::debug!(err = %error, source, "the blob is not mounted");
                Ok(None)
            }
        }
    }
}
