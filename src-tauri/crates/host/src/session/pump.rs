//! Carries one stream to the UI within a window of unacknowledged bytes.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::{Outgoing, send};
use crate::schema::{AppError, HostMessage, StreamItem};

const FRAME: Duration = Duration::from_millis(16);
/// Items are merged up to here.
const MESSAGE_BYTES: usize = 64 * 1024;
/// The same for logs: a long log arrives in few messages.
const LOGS_MESSAGE_BYTES: usize = 256 * 1024;
/// A log item at least this large is a backlog being read, not a trickle, and does not wait for its frame.
const BACKLOG_BYTES: usize = 16 * 1024;

/// Bytes on the way to the UI, against a limit.
pub(super) struct Credit {
    window: usize,
    outstanding: AtomicUsize,
    changed: Notify,
}

impl Credit {
    pub(super) fn new(window: usize) -> Self {
        Self { window, outstanding: AtomicUsize::new(0), changed: Notify::new() }
    }

    pub(super) fn give_back(&self, bytes: usize) {
        // A UI that acknowledges more than it got gains nothing.
        let subtract = |now: usize| Some(now.saturating_sub(bytes));
        let _ = self.outstanding.fetch_update(Ordering::AcqRel, Ordering::Acquire, subtract);
        self.changed.notify_one();
    }

    /// Waits until `bytes` fit. Only the pump calls it. An item larger than the window goes out alone.
    async fn take(&self, bytes: usize) {
        loop {
            let outstanding = self.outstanding.load(Ordering::Acquire);
            if outstanding == 0 || outstanding + bytes <= self.window {
                self.outstanding.fetch_add(bytes, Ordering::AcqRel);
                return;
            }
            self.changed.notified().await;
        }
    }
}

pub(super) async fn pump(
    stream: u32,
    source: impl Future<Output = Result<mpsc::Receiver<StreamItem>, AppError>>,
    credit: Arc<Credit>,
    out: mpsc::Sender<Outgoing>,
) {
    let mut source = match source.await {
        Ok(source) => source,
        Err(error) => {
            send(&out, &HostMessage::Stream { stream, item: StreamItem::Broken { error }, weight: 0 }).await;
            return;
        }
    };
    let mut held_back = None;
    let mut last_sent = None;
    loop {
        let next = match held_back.take() {
            Some(item) => Some(item),
            None => source.recv().await,
        };
        let mut item = next.unwrap_or(StreamItem::Ended { exit_code: None });
        // Why: keys must echo at once; lines that trickle in may wait for their frame and share a message.
        let trickles = matches!(item, StreamItem::Logs { .. }) && item.weight_bytes() < BACKLOG_BYTES;
        if let (true, Some(last)) = (trickles, last_sent) {
            tokio::time::sleep_until(last + FRAME).await;
        }
        held_back = merge_what_is_there(&mut item, &mut source);
        credit.take(item.weight_bytes()).await;
        let last = item.is_last();
        deliver(&out, stream, item).await;
        last_sent = Some(Instant::now());
        if last || out.is_closed() {
            return;
        }
    }
}

/// Appends to `item` what is ready now and of the same kind; returns the first item that is not, or does not fit.
fn merge_what_is_there(item: &mut StreamItem, source: &mut mpsc::Receiver<StreamItem>) -> Option<StreamItem> {
    let most = if matches!(item, StreamItem::Logs { .. }) { LOGS_MESSAGE_BYTES } else { MESSAGE_BYTES };
    while item.weight_bytes() < most && !item.is_last() {
        match (&mut *item, source.try_recv().ok()?) {
            (StreamItem::Bytes(bytes), StreamItem::Bytes(more)) => bytes.extend_from_slice(&more),
            (StreamItem::Logs { chunk }, StreamItem::Logs { chunk: more }) => chunk.lines.extend(more.lines),
            (StreamItem::Figures { figures }, StreamItem::Figures { figures: newer }) => *figures = newer,
            (_, other) => return Some(other),
        }
    }
    None
}

async fn deliver(out: &mpsc::Sender<Outgoing>, stream: u32, item: StreamItem) {
    let weight = u32::try_from(item.weight_bytes()).unwrap_or(u32::MAX);
    if let StreamItem::Bytes(bytes) = item {
        let mut message = Vec::with_capacity(bytes.len() + 4);
        message.extend_from_slice(&stream.to_le_bytes());
        message.extend_from_slice(&bytes);
        drop(out.send(Outgoing::Binary(message)).await);
    } else {
        send(out, &HostMessage::Stream { stream, item, weight }).await;
    }
}
