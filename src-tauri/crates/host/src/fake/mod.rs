//! A guest without a machine, for tests: each dialled stream is one end of a socket pair, a closure plays the other.

mod ends;
pub(crate) mod machine;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

pub(crate) use ends::{Wire, client_pair, name, pair};

use crate::link::{BoxFuture, BoxStream, Dial};

type Serve = dyn Fn(u32, Wire) -> BoxFuture<'static, ()> + Send + Sync;

pub(crate) struct Guest {
    serve: Box<Serve>,
    dialled: AtomicUsize,
    live: Arc<AtomicUsize>,
}

impl Guest {
    pub fn new<F, S>(serve: S) -> Arc<Self>
    where
        F: Future<Output = ()> + Send + 'static,
        S: Fn(u32, Wire) -> F + Send + Sync + 'static,
    {
        let serve: Box<Serve> = Box::new(move |port, stream| Box::pin(serve(port, stream)));
        Arc::new(Self { serve, dialled: AtomicUsize::new(0), live: Arc::default() })
    }

    /// Streams ever dialled.
    pub fn dialled(&self) -> usize {
        self.dialled.load(Ordering::SeqCst)
    }

    /// Streams whose guest side still runs.
    pub fn live(&self) -> usize {
        self.live.load(Ordering::SeqCst)
    }
}

impl Dial for Guest {
    fn dial(&self, port: u32) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(async move {
            let (ours, theirs) = pair()?;
            self.dialled.fetch_add(1, Ordering::SeqCst);
            self.live.fetch_add(1, Ordering::SeqCst);
            let (serving, live) = ((self.serve)(port, theirs), self.live.clone());
            tokio::spawn(async move {
                serving.await;
                live.fetch_sub(1, Ordering::SeqCst);
            });
            Ok(Box::new(ours) as BoxStream)
        })
    }
}

/// Waits for a condition; fails the test when it never comes.
pub(crate) async fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(60), waiting).await.is_ok(), "never: {what}");
}

pub(crate) fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}
