//! One output stream to any number of clients.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;

/// Chunks that wait for one client; with chunks of at most 64 KiB about a megabyte, dockerd's own bound.
const QUEUE: usize = 16;

/// A client's end: chunks in order, `None` when the stream has ended.
pub type Output = mpsc::Receiver<Bytes>;

/// See the module's documentation.
#[derive(Default)]
pub struct Fanout {
    clients: Mutex<Vec<mpsc::Sender<Bytes>>>,
}

impl Fanout {
    /// Everything written from now on.
    pub fn attach(&self) -> Output {
        let (sender, receiver) = mpsc::channel(QUEUE);
        self.lock().push(sender);
        receiver
    }

    /// Gives a chunk to every client; waits for room where a client is slow.
    pub async fn write(&self, chunk: Bytes) {
        let clients = {
            let mut clients = self.lock();
            clients.retain(|client| !client.is_closed());
            if clients.is_empty() {
                return;
            }
            clients.clone()
        };
        for client in clients {
            // Why ignored: the client left; the next write forgets it.
            let _ = client.send(chunk.clone()).await;
        }
    }

    pub fn has_clients(&self) -> bool {
        !self.lock().is_empty()
    }

    /// Ends the stream for everybody.
    pub fn close(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<mpsc::Sender<Bytes>>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_client_gets_everything_and_the_end() {
        let fanout = Fanout::default();
        let (mut one, gone) = (fanout.attach(), fanout.attach());
        drop(gone);
        fanout.write(Bytes::from_static(b"a")).await;
        let mut two = fanout.attach();
        fanout.write(Bytes::from_static(b"b")).await;
        fanout.close();
        assert_eq!((one.recv().await.unwrap(), one.recv().await.unwrap()), ("a".into(), "b".into()));
        assert_eq!(two.recv().await.unwrap(), "b");
        assert!(one.recv().await.is_none() && two.recv().await.is_none());
    }
}
