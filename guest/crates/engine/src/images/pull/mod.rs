//! `docker pull`: from a name to records, every byte checked on the way.
//!
//! ```text
//! resolve   name → (index →) manifest → config      small documents, each checked against its digest
//! fetch     layers, three at a time: download → hash → inflate → hash → unpack, as one stream (see cubby_image::layer)
//! record    one sync of the file system, then the image and its names
//! ```
//! A pull that fails or is dropped keeps nothing that no image lists. Two pulls of one layer download it once.

mod every_tag;
mod failure;
mod layer;
mod resolve;
mod sources;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc};

use cubby_image::{Digest, Pin, Platform, Reference, archive::Known};
use cubby_registry::Credentials;
use tokio::{
    sync::{Mutex as AsyncMutex, Semaphore},
    task::{self, JoinSet},
};

use super::{
    Images,
    image::{BlobRecord, LayerRecord},
    load::{KnownLayers, NewImage, describe},
    message::Message,
};
use crate::{
    error::{Error, Result},
    events::Event,
};

pub(super) use failure::translate;
pub(super) use layer::short;
pub use resolve::Resolved;
use resolve::ResolvedLayer;
pub(super) use sources::Sources;

/// Layers fetched side by side. Source: dockerd `--max-concurrent-downloads`.
const PARALLEL: usize = 3;

/// What to pull, and as whom.
#[derive(Clone, Debug)]
pub struct PullOptions {
    pub reference: Reference,
    pub platform: Option<Platform>,
    pub credentials: Credentials,
}

/// Where a pull tells how far it is. Called often; must not block.
pub type Say = Arc<dyn Fn(Message) + Send + Sync>;

/// Layers that pulls have brought or are bringing, by their blobs' digests.
#[derive(Default)]
pub(super) struct Fetches {
    /// Held by whoever fetches the blob.
    running: std::sync::Mutex<HashMap<Digest, Arc<AsyncMutex<()>>>>,
    /// Placed, but perhaps not recorded yet: diff id and size.
    placed: std::sync::Mutex<HashMap<Digest, (Digest, u64)>>,
}

impl Images {
    /// Asks the registry what a name means. Nothing is kept.
    ///
    /// # Errors
    /// In dockerd's words: not found, access denied, no image for the platform, registry unreachable.
    pub async fn resolve(&self, options: &PullOptions) -> Result<Resolved> {
        resolve::resolve(options, self.registries().effective()).await
    }

    /// Fetches what was resolved and records it. Dropping the future cancels the pull.
    pub async fn pull(self: &Arc<Self>, resolved: Resolved, say: Say) -> Result<()> {
        let resolved = Arc::new(resolved);
        let (reference, path) = (&resolved.reference, resolved.reference.path());
        let asked = reference.tag().map_or_else(|| resolved.digest.to_string(), str::to_owned);
        say(Message { id: Some(asked), ..Message::status(format!("Pulling from {path}")) });
        let before = self.read().named(&resolved.name()).map(|image| image.id);
        let (layers, pins) = match self.fetch_layers(&resolved, &say).await {
            Ok(fetched) => fetched,
            Err(error) => {
                self.after_failure(&error).await;
                return Err(error);
            }
        };
        let images = self.clone();
        let done = resolved.clone();
        task::spawn_blocking(move || images.record_pulled(&done, layers, pins))
            .await
            .map_err(|error| Error::system("record the pulled image", error))??;
        say(Message::status(format!("Digest: {}", resolved.digest)));
        let outcome =
            if before == Some(resolved.id) { "Image is up to date for" } else { "Downloaded newer image for" };
        say(Message::status(format!("Status: {outcome} {}", reference.familiar())));
        if let Some(warning) = resolved.warning() {
            tracing::warn!(image = %reference, "ignoring platform mismatch on single-arch image");
            say(Message::status(warning));
        }
        let attributes = HashMap::from([("name".to_owned(), reference.familiar_name())]);
        self.events.publish(Event::now("image", "pull", reference.familiar(), attributes));
        Ok(())
    }

    /// After a fault of the network, layers that came whole stay for the next attempt, until a prune or the next start.
    /// After anything else the next attempt fails too, and nothing is kept.
    async fn after_failure(self: &Arc<Self>, error: &Error) {
        let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<cubby_registry::Error>());
        if cause.is_some_and(cubby_registry::Error::is_transient) {
            return;
        }
        let images = self.clone();
        drop(task::spawn_blocking(move || images.sweep_orphans()).await);
    }

    async fn fetch_layers(
        self: &Arc<Self>,
        resolved: &Arc<Resolved>,
        say: &Say,
    ) -> Result<(Vec<LayerRecord>, Vec<Pin>)> {
        let known = Arc::new(KnownLayers::of(&self.read()));
        let slots = Arc::new(Semaphore::new(PARALLEL));
        let mut fetches = JoinSet::new();
        for (place, layer) in resolved.layers.iter().enumerate() {
            if known.place(layer).is_none() {
                say(Message::of(layer::short(&layer.blob.digest), "Pulling fs layer"));
            }
            let (images, resolved, known, say, slots) =
                (self.clone(), resolved.clone(), known.clone(), say.clone(), slots.clone());
            fetches.spawn(async move {
                let _slot =
                    slots.acquire_owned().await.map_err(|error| Error::system("wait for a download slot", error))?;
                let layer = &resolved.layers[place];
                images.fetch_layer(&resolved, layer, &known, &say).await.map(|(record, pin)| (place, record, pin))
            });
        }
        let mut fetched = Vec::with_capacity(resolved.layers.len());
        while let Some(done) = fetches.join_next().await {
            match done.map_err(|error| Error::system("fetch a layer", error)).flatten() {
                Ok(layer) => fetched.push(layer),
                Err(error) => {
                    // Why awaited: one that is just placing its layer goes on to the end of that, and whoever sweeps up
                    // after us must find it.
                    fetches.shutdown().await;
                    return Err(error);
                }
            }
        }
        fetched.sort_by_key(|(place, ..)| *place);
        Ok(fetched.into_iter().map(|(_, record, pin)| (record, pin)).unzip())
    }

    fn record_pulled(&self, resolved: &Resolved, layers: Vec<LayerRecord>, pins: Vec<Pin>) -> Result<()> {
        self.store.sync().map_err(|error| describe(error, "sync the layers"))?;
        let mut index = self.write();
        let (id, config, file) = (resolved.id, resolved.config.as_str(), resolved.file.clone());
        let new = NewImage { id, config, file, layers, manifest: Some(resolved.manifest.clone()), parent: None };
        self.put_image(&mut index, new, &[resolved.name(), resolved.reference.with_digest(resolved.digest)])?;
        drop(index);
        drop(pins);
        Ok(())
    }
}

impl KnownLayers {
    /// Where a layer is already, by its blob or by its content.
    fn place(&self, layer: &ResolvedLayer) -> Option<(Digest, u64)> {
        self.diff_id(&layer.blob.digest).or_else(|| self.diff_id(&layer.diff_id))
    }
}

/// The record of a layer whose blob is known.
fn layer_record(diff_id: Digest, size_bytes: u64, blob: &cubby_image::manifest::Descriptor) -> LayerRecord {
    let blob = BlobRecord { digest: blob.digest, size_bytes: blob.size, media_type: blob.media_type.clone() };
    LayerRecord { diff_id, size_bytes, blob: Some(blob) }
}
