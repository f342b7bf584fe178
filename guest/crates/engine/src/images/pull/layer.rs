//! One layer of a pull: downloaded and unpacked as one stream, resumed when the connection breaks.

use std::{
    io,
    sync::{Arc, PoisonError},
};

use bytes::Bytes;
use cubby_image::{Digest, Pin, Staged, manifest::Descriptor};
use tokio::{sync::Mutex as AsyncMutex, task};

use super::{Resolved, Say, failure::translate, layer_record, resolve::ResolvedLayer};
use crate::{
    error::{Error, Result},
    images::{
        Images,
        image::LayerRecord,
        load::{KnownLayers, describe},
        message::Message,
        patience::back_off,
        pieces::{PieceSender, pieces},
    },
};

/// Progress is told each time this much came.
const STEP: u64 = 512 << 10;

impl Images {
    pub(super) async fn fetch_layer(
        self: &Arc<Self>,
        resolved: &Resolved,
        layer: &ResolvedLayer,
        known: &KnownLayers,
        say: &Say,
    ) -> Result<(LayerRecord, Pin)> {
        let (digest, id) = (layer.blob.digest, short(&layer.blob.digest));
        let turn = self.fetches.turn(digest);
        let turn = FetchTurn { images: self, digest, lock: turn };
        let _ours = turn.lock.lock().await;
        let place = known.place(layer).or_else(|| self.fetches.placed(&digest));
        if let Some((diff_id, size_bytes)) = place
            && let Some(pin) = self.store.pin(&diff_id)
        {
            check_diff_id(&layer.diff_id, &diff_id)?;
            say(Message::of(id, "Already exists"));
            return Ok((layer_record(diff_id, size_bytes, &layer.blob), pin));
        }
        let staged = self.download(resolved, &layer.blob, say).await?;
        check_diff_id(&layer.diff_id, staged.diff_id())?;
        let (diff_id, size_bytes) = (*staged.diff_id(), staged.files_bytes);
        let pin = self.store.place(staged).map_err(|error| describe(error, "keep a layer"))?;
        self.fetches.note(digest, (diff_id, size_bytes));
        say(Message::of(id, "Pull complete"));
        Ok((layer_record(diff_id, size_bytes, &layer.blob), pin))
    }

    /// Downloads and unpacks; what comes back was checked against the blob's digest. A mirror that sends something else
    /// is passed over.
    async fn download(&self, resolved: &Resolved, blob: &Descriptor, say: &Say) -> Result<Staged> {
        let sources = &resolved.sources;
        let mut from = sources.best();
        loop {
            let mut feeder = Feeder { resolved, blob, nth: from, progress: Progress::of(blob, say) };
            let error = match self.download_from(&mut feeder).await? {
                Ok(staged) => return Ok(staged),
                Err(error) => error,
            };
            // Why that one again: the false bytes may be those of the one before it.
            let next = if feeder.nth > from { Some(feeder.nth) } else { sources.after(from) };
            let Some(next) = next else { return Err(error) };
            tracing::warn!(err = %error, digest = %blob.digest, "a mirror sent a false blob");
            sources.give_up(from);
            from = next;
        }
    }

    /// The inner error tells that the blob was false.
    async fn download_from(&self, feeder: &mut Feeder<'_>) -> Result<Result<Staged, Error>> {
        let (sender, reader) = pieces();
        let (store, expected) = (self.store.clone(), feeder.blob.digest);
        let unpack = task::spawn_blocking(move || store.unpack_expected(reader, Some(&expected)));
        let fed = feeder.feed(&sender).await;
        if !matches!(fed, Ok(Fed::Whole)) {
            // Why: an unpacker that saw a clean end would take a torn stream for a whole one.
            let _ = sender.send(Err(io::ErrorKind::ConnectionAborted.into())).await;
        }
        drop(sender);
        let unpacked = unpack.await.map_err(|error| Error::system("unpack a layer", error))?;
        // Why in this order: when unpacking fails, the feeder only knows that nobody listened.
        match (fed, unpacked) {
            (Ok(Fed::Whole), Ok(staged)) if *staged.blob() == expected => Ok(Ok(staged)),
            (Err(error), _) => Err(error),
            (Ok(Fed::TooLong), _) => Ok(Err(too_long(&expected))),
            (Ok(Fed::Whole), Ok(_)) | (Ok(_), Err(cubby_image::Error::Mismatch { .. })) => {
                Ok(Err(false_blob(&expected)))
            }
            (Ok(_), Err(error)) => Err(describe(error, "unpack a layer")),
            (Ok(Fed::Unheard), Ok(_)) => Err(Error::internal("unpacking ended early")),
        }
    }
}

enum Fed {
    Whole,
    /// More came than the manifest says.
    TooLong,
    /// The unpacker gave up; it knows why.
    Unheard,
}

/// Sends a blob's bytes, each once and in order, however often the connection breaks.
struct Feeder<'a> {
    resolved: &'a Resolved,
    blob: &'a Descriptor,
    /// Which of the image's sources is being asked.
    nth: usize,
    progress: Progress<'a>,
}

impl Feeder<'_> {
    /// What one source does not give is asked of the next one, from the byte that was reached.
    async fn feed(&mut self, sender: &PieceSender) -> Result<Fed> {
        let (sources, digest) = (&self.resolved.sources, self.blob.digest);
        let (mut offset, mut failures) = (0, 0);
        loop {
            let before = offset;
            let error = match self.pour(&mut offset, sender).await {
                Ok(fed) => return Ok(fed),
                Err(error) => error,
            };
            let next = sources.after(self.nth);
            // Why not where there is another: one that breaks again and again is worse than the next.
            let forgiven = offset > before && next.is_none();
            failures = if forgiven { 1 } else { failures + 1 };
            if failures < sources.patience(self.nth) && error.is_transient() {
                tracing::warn!(err = %error, %digest, offset, "download broke; it is taken up again");
                back_off(failures).await;
                continue;
            }
            let Some(next) = next else { return Err(translate(error, &self.resolved.reference)) };
            tracing::warn!(err = %error, %digest, offset, "a mirror failed; the download goes on elsewhere");
            if error.is_transient() {
                sources.give_up(self.nth);
            }
            (self.nth, failures) = (next, 0);
        }
    }

    /// One connection's worth of the blob, from `offset` on.
    async fn pour(&mut self, offset: &mut u64, sender: &PieceSender) -> Result<Fed, cubby_registry::Error> {
        let (digest, size) = (self.blob.digest.to_string(), self.blob.size);
        let mut stream = self.resolved.sources.at(self.nth).await?.blob(&digest, *offset).await?;
        let mut repeated = offset.saturating_sub(stream.offset);
        while let Some(mut chunk) = stream.chunk().await? {
            // A registry that cannot resume starts over; what we have is passed over.
            let skipped = usize::try_from(repeated).unwrap_or(usize::MAX).min(chunk.len());
            repeated -= skipped as u64;
            let fresh: Bytes = chunk.split_off(skipped);
            if fresh.is_empty() {
                continue;
            }
            *offset += fresh.len() as u64;
            if *offset > size {
                return Ok(Fed::TooLong);
            }
            self.progress.tell(*offset);
            if sender.send(Ok(fresh)).await.is_err() {
                return Ok(Fed::Unheard);
            }
        }
        if *offset < size {
            let reason = format!("unexpected end after {offset} of {size} bytes");
            return Err(cubby_registry::Error::Unreachable { method: "Get".into(), url: digest, reason });
        }
        self.progress.done();
        Ok(Fed::Whole)
    }
}

struct Progress<'a> {
    say: &'a Say,
    id: String,
    total: u64,
    told: u64,
}

impl<'a> Progress<'a> {
    fn of(blob: &Descriptor, say: &'a Say) -> Self {
        Self { say, id: short(&blob.digest), total: blob.size, told: 0 }
    }

    fn tell(&mut self, current: u64) {
        if current - self.told >= STEP || current == self.total {
            self.told = current;
            (self.say)(Message::progress(self.id.clone(), "Downloading", current, self.total));
        }
    }

    fn done(&self) {
        (self.say)(Message::of(self.id.clone(), "Download complete"));
    }
}

/// The lock of one blob; forgotten when nobody waits for it any more.
struct FetchTurn<'a> {
    images: &'a Images,
    digest: Digest,
    lock: Arc<AsyncMutex<()>>,
}

impl Drop for FetchTurn<'_> {
    fn drop(&mut self) {
        let mut running = self.images.fetches.running.lock().unwrap_or_else(PoisonError::into_inner);
        // The map's and ours: no other pull holds or awaits it.
        if Arc::strong_count(&self.lock) == 2 {
            running.remove(&self.digest);
        }
    }
}

impl super::Fetches {
    fn turn(&self, digest: Digest) -> Arc<AsyncMutex<()>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).entry(digest).or_default().clone()
    }

    /// Where a blob's layer was placed; the caller must still pin it.
    fn placed(&self, digest: &Digest) -> Option<(Digest, u64)> {
        self.placed.lock().unwrap_or_else(PoisonError::into_inner).get(digest).copied()
    }

    fn note(&self, digest: Digest, place: (Digest, u64)) {
        let mut placed = self.placed.lock().unwrap_or_else(PoisonError::into_inner);
        // Why: only pulls that run side by side need it; records take over then.
        if placed.len() >= 1000 {
            placed.clear();
        }
        placed.insert(digest, place);
    }
}

fn check_diff_id(expected: &Digest, found: &Digest) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    Err(Error::internal(format!("layer verification failed: the image wants {expected}, the blob holds {found}")))
}

/// In dockerd's words. Source: moby distribution/pull_v2.go.
fn false_blob(digest: &Digest) -> Error {
    Error::internal(format!("filesystem layer verification failed for digest {digest}"))
}

fn too_long(digest: &Digest) -> Error {
    Error::internal(format!("unexpected answer from the registry: blob {digest} is larger than its manifest says"))
}

/// What Docker's clients show of a digest.
pub fn short(digest: &Digest) -> String {
    digest.hex()[..12].to_owned()
}
