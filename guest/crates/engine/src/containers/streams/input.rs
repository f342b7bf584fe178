//! Standard input: clients write to a slot that the running process's descriptor is put into.

use std::{io, os::fd::OwnedFd, sync::Arc};

use tokio::{io::unix::AsyncFd, sync::watch};

/// What is in the slot.
#[derive(Clone, Default)]
enum Slot {
    /// No process yet; writers wait.
    #[default]
    Empty,
    Open(Arc<AsyncFd<OwnedFd>>),
    /// Input has ended; writers get an error.
    Closed,
}

/// See the module's documentation.
#[derive(Default)]
pub struct Input {
    slot: watch::Sender<Slot>,
}

impl Input {
    /// A process has started: waiting writers go on. A slot closed beforehand stays closed; false then.
    pub fn open(&self, descriptor: Arc<AsyncFd<OwnedFd>>) -> bool {
        self.slot.send_if_modified(|slot| {
            if matches!(slot, Slot::Closed) {
                return false;
            }
            *slot = Slot::Open(descriptor);
            true
        })
    }

    /// End of input: the process's descriptor is let go.
    pub fn close(&self) {
        self.slot.send_replace(Slot::Closed);
    }

    /// Ready for the next run.
    pub fn reset(&self) {
        self.slot.send_replace(Slot::Empty);
    }

    pub fn is_closed(&self) -> bool {
        matches!(*self.slot.borrow(), Slot::Closed)
    }

    /// Writes all of `bytes`, waiting for the process to start and to read.
    ///
    /// # Errors
    /// Broken pipe when input has been closed, or the process has closed its end.
    pub async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        let mut changes = self.slot.subscribe();
        while !bytes.is_empty() {
            let slot = changes.borrow_and_update().clone();
            match slot {
                Slot::Closed => return Err(io::ErrorKind::BrokenPipe.into()),
                Slot::Empty => {
                    // Why not an error path of its own: the sender lives in `self`.
                    let _ = changes.changed().await;
                }
                Slot::Open(descriptor) => tokio::select! {
                    written = write_some(&descriptor, bytes) => bytes = &bytes[written?..],
                    _ = changes.changed() => {}
                },
            }
        }
        Ok(())
    }
}

async fn write_some(descriptor: &AsyncFd<OwnedFd>, bytes: &[u8]) -> io::Result<usize> {
    loop {
        let mut ready = descriptor.writable().await?;
        match ready.try_io(|inner| Ok(rustix::io::write(inner.get_ref(), bytes)?)) {
            Ok(result) => return result,
            Err(_would_block) => {}
        }
    }
}
