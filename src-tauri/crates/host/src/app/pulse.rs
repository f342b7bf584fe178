//! Whether an engine across a network is still there.
//!
//! A socket of this computer ends with its engine, and ssh watches its own connection; but a TCP connection whose path was cut
//! says nothing at all, for hours. So while a window looks, and nothing was heard for [`QUIET`], one `_ping` goes out on a
//! connection that stays open; without an answer within [`ANSWER_WITHIN`] the engine counts as lost, and what was open through
//! it ends. While nobody looks nothing goes out: the first thing that happens when somebody does again is a ping.

use std::future::Future;
use std::time::Duration;

use bollard::Docker;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use crate::schema::{AppError, ErrorCode, Looking, Stream, StreamItem};

/// With the next one, how late a loss is shown at most: somebody who waits for a picture to move begins to wonder about then.
const QUIET: Duration = Duration::from_secs(3);
/// A packet that is lost is sent again after 0.2, 0.4, 0.8, 1.6 s: all of that fits. Source: Linux, `TCP_RTO_MIN`.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

pub(super) struct Pulse {
    lookers: watch::Sender<usize>,
    losses: watch::Sender<()>,
}

impl Pulse {
    pub fn new() -> Self {
        Self { lookers: watch::channel(0).0, losses: watch::channel(()).0 }
    }

    /// A window looks, until what this returns is dropped.
    pub fn looking(&self) -> Looking {
        Looking::counted(&self.lookers)
    }

    /// Returns when the engine does not answer any more, having told so to what is open. Anew after whatever was heard of it.
    pub async fn silence(&self, docker: &Docker) {
        let mut lookers = self.lookers.subscribe();
        loop {
            sleep(QUIET).await;
            if lookers.wait_for(|lookers| *lookers > 0).await.is_err() {
                return std::future::pending().await;
            }
            // Twice: a connection that was kept may have been closed over there, which says nothing about the way.
            let asked = async { docker.ping().await.is_ok() || docker.ping().await.is_ok() };
            if !timeout(ANSWER_WITHIN, asked).await.unwrap_or(false) {
                tracing::info!("the engine fell silent");
                self.losses.send_replace(());
                return;
            }
        }
    }

    /// `work`, or that the engine was lost meanwhile.
    pub async fn or_lost<T>(&self, work: impl Future<Output = Result<T, AppError>>) -> Result<T, AppError> {
        let mut losses = self.losses.subscribe();
        tokio::select! {
            biased;
            done = work => done,
            _ = losses.changed() => Err(lost()),
        }
    }

    /// The same of a stream, which ends as broken.
    pub fn until_lost(&self, mut source: Stream) -> Stream {
        let mut losses = self.losses.subscribe();
        let (items, stream) = mpsc::channel(1);
        tokio::spawn(async move {
            let carry = async {
                while let Some(item) = source.recv().await {
                    if items.send(item).await.is_err() {
                        return;
                    }
                }
            };
            tokio::select! {
                () = carry => {}
                // Whoever looked at it left, while nothing came.
                () = items.closed() => {}
                _ = losses.changed() => drop(items.send(StreamItem::Broken { error: lost() }).await),
            }
        });
        stream
    }
}

/// Nobody is told of it once for each thing that was open: that the engine is away is shown by itself.
fn lost() -> AppError {
    AppError {
        code: ErrorCode::MachineOff,
        title: "The engine cannot be reached".into(),
        detail: "it stopped answering; the way to it may be cut".into(),
        remedy: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_open_ends_when_the_engine_is_lost() {
        let pulse = Pulse::new();
        let (items, source) = mpsc::channel(1);
        let mut stream = pulse.until_lost(source);
        items.send(StreamItem::Bytes(vec![1])).await.unwrap();
        assert!(matches!(stream.recv().await, Some(StreamItem::Bytes(_))));
        let call = pulse.or_lost(std::future::pending::<Result<(), AppError>>());
        let lose = async {
            tokio::task::yield_now().await;
            pulse.losses.send_replace(());
        };
        let (called, ()) = tokio::join!(call, lose);
        assert!(called.is_err());
        assert!(matches!(stream.recv().await, Some(StreamItem::Broken { .. })));
        assert!(stream.recv().await.is_none());
        items.closed().await;
    }

    #[tokio::test]
    async fn a_stream_that_nobody_takes_any_more_is_closed_at_its_source() {
        let (items, source) = mpsc::channel(1);
        drop(Pulse::new().until_lost(source));
        items.closed().await;
    }

    #[tokio::test]
    async fn who_looks_is_counted() {
        let pulse = Pulse::new();
        let (one, two) = (pulse.looking(), pulse.looking());
        assert_eq!(*pulse.lookers.borrow(), 2);
        drop((one, two));
        assert_eq!(*pulse.lookers.borrow(), 0);
    }
}
