//! One layer of a pull: downloaded and unpacked as one stream, resumed when the connection breaks.

use std::{
    io,
    sync::{Arc, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use cubby_image::{Digest, Pin, Staged, manifest::Descriptor};
use tokio::{sync::Mutex as AsyncMutex, task, time::sleep};

use super::{Resolved, Say, failure::translate, layer_record, resolve::ResolvedLayer};
use crate::{
    error::{Error, Result},
    images::{
        Images,
        image::LayerRecord,
        load::{KnownLayers, describe},
        message::Message,
        pieces::{PieceSender, pieces},
    },
};

/// How often a broken download is taken up again without having got any further.
const ATTEMPTS: u32 = 5;
/// The wait before the first of them; it doubles.
const BACK_OFF: Duration = Duration::from_millis(500);
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

    /// Downloads and unpacks; what comes back was checked against the blob's digest.
    async fn download(&self, resolved: &Resolved, blob: &Descriptor, say: &Say) -> Result<Staged> {
        let (sender, reader) = pieces();
        let (store, expected) = (self.store.clone(), blob.digest);
        let unpack = task::spawn_blocking(move || store.unpack_expected(reader, Some(&expected)));
        let fed = feed(resolved, blob, &sender, say).await;
        if fed.is_err() {
            // Why: an unpacker that saw a clean end would take a torn stream for a whole one.
            let _ = sender.send(Err(io::ErrorKind::ConnectionAborted.into())).await;
        }
        drop(sender);
        let unpacked = unpack.await.map_err(|error| Error::system("unpack a layer", error))?;
        // Why in this order: when unpacking fails, the feeder only knows that nobody listened.
        let staged = match (fed, unpacked) {
            (Ok(Fed::Whole), Ok(staged)) => staged,
            (Err(error), _) => return Err(error),
            (Ok(_), Err(cubby_image::Error::Mismatch { .. })) => return Err(false_blob(&blob.digest)),
            (Ok(_), Err(error)) => return Err(describe(error, "unpack a layer")),
            (Ok(Fed::Unheard), Ok(_)) => return Err(Error::internal("unpacking ended early")),
        };
        if *staged.blob() != blob.digest {
            return Err(false_blob(&blob.digest));
        }
        Ok(staged)
    }
}

enum Fed {
    Whole,
    /// The unpacker gave up; it knows why.
    Unheard,
}

/// Sends the blob's bytes, each once and in order, however often the connection breaks.
async fn feed(resolved: &Resolved, blob: &Descriptor, sender: &PieceSender, say: &Say) -> Result<Fed> {
    let digest = blob.digest.to_string();
    let mut progress = Progress { say, id: short(&blob.digest), total: blob.size, told: 0 };
    let (mut offset, mut failures) = (0, 0);
    loop {
        let before = offset;
        let error = match pour(resolved, &digest, blob.size, &mut offset, sender, &mut progress).await {
            Ok(fed) => return Ok(fed),
            Err(error) => error,
        };
        failures = if offset > before { 1 } else { failures + 1 };
        if failures >= ATTEMPTS || !error.is_transient() {
            return Err(translate(error, &resolved.reference));
        }
        tracing::warn!(err = %error, digest, offset, "download broke; it is taken up again");
        sleep(BACK_OFF * 2_u32.pow(failures - 1)).await;
    }
}

/// One connection's worth of the blob, from `offset` on.
async fn pour(
    resolved: &Resolved,
    digest: &str,
    size: u64,
    offset: &mut u64,
    sender: &PieceSender,
    progress: &mut Progress<'_>,
) -> Result<Fed, cubby_registry::Error> {
    let mut stream = resolved.repository.blob(digest, *offset).await?;
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
            return Err(cubby_registry::Error::Protocol(format!("blob {digest} is larger than its manifest says")));
        }
        progress.tell(*offset);
        if sender.send(Ok(fresh)).await.is_err() {
            return Ok(Fed::Unheard);
        }
    }
    if *offset < size {
        let reason = format!("unexpected end after {offset} of {size} bytes");
        return Err(cubby_registry::Error::Unreachable { method: "Get".into(), url: digest.to_owned(), reason });
    }
    progress.done();
    Ok(Fed::Whole)
}

struct Progress<'a> {
    say: &'a Say,
    id: String,
    total: u64,
    told: u64,
}

impl Progress<'_> {
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

/// What Docker's clients show of a digest.
pub fn short(digest: &Digest) -> String {
    digest.hex()[..12].to_owned()
}
