//! Who uses the guest, and since when nobody does.
//!
//! The link that the proxy and the forwarder get is wrapped: dialling and every byte that goes over it are activity, and activity
//! wakes a machine that sleeps. A connection that is merely open (an event stream, an idle database client) lets it sleep.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::link::{BoxFuture, BoxStream, Dial, Link};

pub(super) struct Activity {
    since: Instant,
    /// Milliseconds after `since`.
    last_ms: AtomicU64,
    sleeping: watch::Sender<bool>,
    wake: Notify,
    /// Somebody waits for the next use.
    awaited: AtomicBool,
    used: Notify,
}

impl Activity {
    pub fn new() -> Arc<Self> {
        let sleeping = watch::channel(false).0;
        let (wake, used) = (Notify::new(), Notify::new());
        let (last_ms, awaited) = (AtomicU64::new(0), AtomicBool::new(false));
        Arc::new(Self { since: Instant::now(), last_ms, sleeping, wake, awaited, used })
    }

    pub fn touch(&self) {
        let now_ms = self.since.elapsed().as_millis() as u64;
        self.last_ms.store(now_ms, Ordering::Relaxed);
        if *self.sleeping.borrow() {
            self.wake.notify_one();
        }
        // Cheap for every byte: nearly always nobody waits.
        if self.awaited.load(Ordering::Relaxed) && self.awaited.swap(false, Ordering::Relaxed) {
            self.used.notify_one();
        }
    }

    /// Waits until somebody uses the machine that was quiet till now. For one who waits.
    pub async fn used(&self) {
        let before = self.last_ms.load(Ordering::Relaxed);
        loop {
            self.awaited.store(true, Ordering::Relaxed);
            // What was notified may be long ago.
            if self.last_ms.load(Ordering::Relaxed) != before {
                return;
            }
            self.used.notified().await;
        }
    }

    pub fn quiet_for(&self) -> Duration {
        let last = Duration::from_millis(self.last_ms.load(Ordering::Relaxed));
        self.since.elapsed().saturating_sub(last)
    }

    pub fn is_sleeping(&self) -> bool {
        *self.sleeping.borrow()
    }

    /// The machine was paused or resumed. Activity from before the pause that came too late to be seen is seen now.
    pub fn set_sleeping(&self, sleeping: bool, quiet: Duration) {
        self.sleeping.send_replace(sleeping);
        if sleeping && self.quiet_for() < quiet {
            self.wake.notify_one();
        }
    }

    /// Somebody wants the machine.
    pub async fn wanted(&self) {
        self.wake.notified().await;
    }

    async fn awake(&self) {
        self.touch();
        // An error means that the session is gone; dialling says so.
        let _ = self.sleeping.subscribe().wait_for(|sleeping| !sleeping).await;
    }

    /// The link as everybody but the supervisor sees it.
    pub fn watch(self: &Arc<Self>, link: Link) -> Link {
        Arc::new(Watched { link, activity: self.clone() })
    }
}

struct Watched {
    link: Link,
    activity: Arc<Activity>,
}

impl Dial for Watched {
    fn dial(&self, port: u32) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(async move {
            self.activity.awake().await;
            let stream = self.link.dial(port).await?;
            Ok(Box::new(WatchedStream { stream, activity: self.activity.clone() }) as BoxStream)
        })
    }
}

struct WatchedStream {
    stream: BoxStream,
    activity: Arc<Activity>,
}

impl AsyncRead for WatchedStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.activity.touch();
        }
        polled
    }
}

impl AsyncWrite for WatchedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // Before writing: a guest that sleeps takes only what fits into the buffers between us.
        self.activity.touch();
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.activity.touch();
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
