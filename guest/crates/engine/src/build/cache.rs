//! Steps that were done before: key → image, in the state database (`kind = "build-step"`).
//!
//! An entry counts only while its image is there; the others go when the engine opens.

use std::sync::Arc;

use cubby_image::Digest;
use serde::{Deserialize, Serialize};

use super::Build;
use crate::{
    engine::Engine,
    error::{Error, Result},
    images::Image,
};

const KIND: &str = "build-step";

/// What a step is remembered by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key(Digest);

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    image: Digest,
}

impl Key {
    /// `parts`: the instruction with its variables, digests of what it copies, whatever else its outcome depends on.
    pub fn new(base: Option<&Image>, parts: &[&str]) -> Self {
        let base = base.map(|base| base.id.to_string()).unwrap_or_default();
        let mut text = base;
        for part in parts {
            // Why lengths: parts that are joined differently are different.
            text += &format!("\n{}:{part}", part.len());
        }
        Self(Digest::of(text.as_bytes()))
    }
}

impl Build {
    /// True unless the client named images that the cache is to come from, and this one is not among them or their
    /// parents. Source: moby image/cache `ImageCache.GetCache`.
    pub(super) fn may_use(&self, image: &Image) -> bool {
        let images = &self.engine.images;
        let sources = &self.options.cache_from;
        let found = sources.iter().filter_map(|name| images.find(name).ok());
        sources.is_empty()
            || found.into_iter().any(|source| {
                let parent = |image: &Arc<Image>| image.parent().and_then(|id| images.find(&id.to_string()).ok());
                std::iter::successors(Some(source), parent).any(|ancestor| ancestor.id == image.id)
            })
    }
}

impl Engine {
    /// The image that this step made before.
    pub(super) fn remembered(&self, key: &Key) -> Result<Option<Arc<Image>>> {
        let failed = |source| Error::system("read the build cache", source);
        let entry = self.state.fetch::<Entry>(KIND, &key.0.to_string()).map_err(failed)?;
        Ok(entry.and_then(|entry| self.images.find(&entry.image.to_string()).ok()))
    }

    pub(super) fn remember(&self, key: &Key, image: &Image) -> Result<()> {
        let failed = |source| Error::system("write the build cache", source);
        self.state.put(KIND, &key.0.to_string(), &Entry { image: image.id }).map_err(failed)
    }

    /// Forgets steps whose image is gone.
    pub(crate) fn sweep_build_steps(&self) {
        let Ok((entries, _)) = self.state.all::<Entry>(KIND) else { return };
        for (key, entry) in entries {
            if self.images.find(&entry.image.to_string()).is_err()
                && let Err(error) = self.state.delete(KIND, &key)
            {
                tracing::warn!(err = %error, "a build step could not be forgotten");
            }
        }
    }
}
