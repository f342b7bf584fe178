//! Reading what a process writes.

use std::{io, os::fd::OwnedFd, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{io::unix::AsyncFd, sync::watch, task::JoinHandle};

use super::{Fanout, Streams, intake::Intake};
use crate::logs::{Log, Source, Splitter};

/// Our ends of a process's streams, non-blocking.
#[derive(Debug, Default)]
pub struct Descriptors {
    pub stdin: Option<OwnedFd>,
    pub stdout: Option<OwnedFd>,
    pub stderr: Option<OwnedFd>,
    pub pty: Option<OwnedFd>,
}

impl From<&mut cubby_runtime::Spawned> for Descriptors {
    fn from(process: &mut cubby_runtime::Spawned) -> Self {
        Self {
            stdin: process.stdin.take(),
            stdout: process.stdout.take(),
            stderr: process.stderr.take(),
            pty: process.pty.take(),
        }
    }
}

/// The running readers of one process.
pub struct Pumps {
    tasks: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
    pty: Option<Arc<AsyncFd<OwnedFd>>>,
}

/// Starts reading. `log`: where the output goes beside the clients; `None` for exec.
pub fn start(descriptors: Descriptors, streams: &Arc<Streams>, log: Option<&Arc<Log>>) -> io::Result<Pumps> {
    let mut pumps = Pumps { tasks: Vec::new(), stop: watch::Sender::new(false), pty: None };
    let splitter = |source| log.map(|log| Splitter::new(log.clone(), source));
    for (descriptor, source) in [(descriptors.stdout, Source::Stdout), (descriptors.stderr, Source::Stderr)] {
        if let Some(descriptor) = descriptor {
            pumps.read(Arc::new(watched(descriptor)?), streams, source, splitter(source));
        }
    }
    if let Some(pty) = descriptors.pty {
        let pty = Arc::new(watched(pty)?);
        streams.stdin.open(pty.clone());
        pumps.read(pty.clone(), streams, Source::Stdout, splitter(Source::Stdout));
        pumps.pty = Some(pty);
    } else if let Some(stdin) = descriptors.stdin {
        streams.stdin.open(Arc::new(watched(stdin)?));
    }
    Ok(pumps)
}

/// A descriptor that the reactor watches.
fn watched(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // Why allowed: `new` is deprecated for types that could change their descriptor; `OwnedFd` cannot.
    #[allow(deprecated)]
    AsyncFd::new(descriptor)
}

impl Pumps {
    fn read(
        &mut self,
        descriptor: Arc<AsyncFd<OwnedFd>>,
        streams: &Arc<Streams>,
        source: Source,
        splitter: Option<Splitter>,
    ) {
        let (streams, stop) = (streams.clone(), self.stop.subscribe());
        self.tasks.push(tokio::spawn(async move {
            let fanout = match source {
                Source::Stdout => &streams.stdout,
                Source::Stderr => &streams.stderr,
            };
            pump(&descriptor, fanout, splitter, stop).await;
            fanout.close();
        }));
    }

    /// The terminal, for its size.
    pub fn pty(&self) -> Option<&OwnedFd> {
        self.pty.as_ref().map(|pty| pty.get_ref())
    }

    /// After the process has ended: waits until its output has been read, at most `patience` (somebody else may hold the
    /// other end), then reads what is there and ends.
    pub async fn finish(mut self, patience: Duration) {
        let all = async {
            for task in &mut self.tasks {
                // Why ignored: a pump that panicked has nothing more to read.
                let _ = task.await;
            }
        };
        if tokio::time::timeout(patience, all).await.is_ok() {
            return;
        }
        self.stop.send_replace(true);
        for task in self.tasks {
            if tokio::time::timeout(patience, task).await.is_err() {
                tracing::warn!("a client that reads nothing holds a container's last output; it is let go");
            }
        }
    }
}

async fn pump(
    descriptor: &AsyncFd<OwnedFd>,
    fanout: &Fanout,
    mut splitter: Option<Splitter>,
    mut stop: watch::Receiver<bool>,
) {
    let mut intake = Intake::new(splitter.as_mut());
    loop {
        let read = tokio::select! {
            biased;
            read = read_some(descriptor, &mut intake) => read,
            _ = stop.changed() => break,
        };
        if !matches!(read, Ok(count) if count > 0) {
            // EIO is how a terminal says that its last user has gone.
            break;
        }
        intake.log(splitter.as_mut());
        if fanout.has_clients() {
            fanout.write(Bytes::copy_from_slice(intake.bytes())).await;
        }
    }
    intake.finish(splitter.as_mut());
}

/// One read, which takes memory only when there is something to read.
async fn read_some(descriptor: &AsyncFd<OwnedFd>, intake: &mut Intake) -> io::Result<usize> {
    loop {
        let mut ready = descriptor.readable().await?;
        match ready.try_io(|inner| intake.read(inner.get_ref())) {
            Ok(result) => return result,
            Err(_would_block) => intake.rest(),
        }
    }
}
