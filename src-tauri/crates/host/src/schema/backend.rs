//! What the shell and the dev server need of the host: implemented by [`crate::App`], and by fakes in tests.

use std::future::Future;

use tokio::sync::{broadcast, mpsc, watch};

use super::{AppError, Change, Command, OpenLogs, OpenTerminal, Reply, StreamItem, TerminalInput};

/// Items arrive until one whose `is_last()` holds, or until the sender is dropped; dropping the receiver closes the source.
/// The channel is bounded (a few items), so whoever does not receive holds the source back.
pub type Stream = mpsc::Receiver<StreamItem>;

/// A process with a terminal. `output` yields [`StreamItem::Bytes`] (at most 32 KiB each); dropping both ends hangs it up.
#[derive(Debug)]
pub struct Terminal {
    pub output: Stream,
    pub input: mpsc::Sender<TerminalInput>,
}

/// That somebody looks, for as long as it is held.
#[derive(Debug, Default)]
pub struct Looking(Option<watch::Sender<usize>>);

impl Looking {
    pub fn counted(lookers: &watch::Sender<usize>) -> Self {
        lookers.send_modify(|lookers| *lookers += 1);
        Self(Some(lookers.clone()))
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        if let Some(lookers) = &self.0 {
            lookers.send_modify(|lookers| *lookers -= 1);
        }
    }
}

/// Every method may be called from many tasks at once; none blocks the runtime.
pub trait Backend: Send + Sync + 'static {
    fn call(&self, command: Command) -> impl Future<Output = Result<Reply, AppError>> + Send;

    /// A receiver that misses changes gets `Lagged` and must ask for a snapshot again.
    fn events(&self) -> broadcast::Receiver<Change>;

    /// A window shows what is told; held while it does.
    fn looking(&self) -> Looking {
        Looking::default()
    }

    fn open_logs(&self, open: OpenLogs) -> impl Future<Output = Result<Stream, AppError>> + Send;

    fn open_terminal(&self, open: OpenTerminal) -> impl Future<Output = Result<Terminal, AppError>> + Send;

    /// One [`StreamItem::Figures`] at once, then one every two seconds while somebody receives.
    fn open_figures(&self) -> impl Future<Output = Result<Stream, AppError>> + Send;

    /// [`StreamItem::Stats`], about one a second, until the container stops.
    fn open_stats(&self, container: String) -> impl Future<Output = Result<Stream, AppError>> + Send;

    /// [`StreamItem::Processes`] at once, then whenever they changed.
    fn open_processes(&self, container: String) -> impl Future<Output = Result<Stream, AppError>> + Send;
}
