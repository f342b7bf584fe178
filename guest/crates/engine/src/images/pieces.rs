//! Bytes from async producers for blocking readers.

use std::{
    io::{self, Read},
    sync::Arc,
};

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc};

/// Pieces in flight.
const QUEUE: usize = 64;
/// Bytes in flight. Why beside the number: a fast connection gives pieces of half a megabyte.
const ROOM: u32 = 1 << 20;

/// What a producer sends: bytes, or why there are no more. Dropping the sender ends the stream.
pub struct PieceSender {
    sender: mpsc::Sender<io::Result<Bytes>>,
    room: Arc<Semaphore>,
}

/// Nobody reads any more.
#[derive(Debug)]
pub struct Unheard;

/// The reading end. Must not be read on an async thread.
pub struct Pieces {
    source: mpsc::Receiver<io::Result<Bytes>>,
    room: Arc<Semaphore>,
    current: Bytes,
    /// Room that the current piece takes.
    taken: u32,
}

/// A bounded stream from async to blocking code.
pub fn pieces() -> (PieceSender, Pieces) {
    let (sender, source) = mpsc::channel(QUEUE);
    let room = Arc::new(Semaphore::new(ROOM as usize));
    (PieceSender { sender, room: room.clone() }, Pieces { source, room, current: Bytes::new(), taken: 0 })
}

/// A piece larger than all room takes all of it.
fn room_of(piece: &Bytes) -> u32 {
    u32::try_from(piece.len()).unwrap_or(ROOM).min(ROOM)
}

impl PieceSender {
    /// Waits until there is room.
    ///
    /// # Errors
    /// When the reader is gone.
    pub async fn send(&self, piece: io::Result<Bytes>) -> Result<(), Unheard> {
        let room = piece.as_ref().map_or(0, room_of);
        self.room.acquire_many(room).await.map_err(|_| Unheard)?.forget();
        self.sender.send(piece).await.map_err(|_| Unheard)
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            self.room.add_permits(std::mem::take(&mut self.taken) as usize);
            match self.source.blocking_recv() {
                Some(piece) => self.current = piece?,
                None => return Ok(0),
            }
            self.taken = room_of(&self.current);
        }
        let n = self.current.len().min(buffer.len());
        buffer[..n].copy_from_slice(&self.current.split_to(n));
        Ok(n)
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        self.room.close();
    }
}

#[cfg(test)]
mod tests {

    use futures_util::FutureExt;
    use tokio::task;

    use super::*;

    #[tokio::test]
    async fn what_is_in_flight_is_bounded_by_its_bytes_and_nothing_is_lost() {
        let (sender, mut reader) = pieces();
        let piece = |n: u8| Ok(Bytes::from(vec![n; 400 << 10]));
        for n in 0..2 {
            sender.send(piece(n)).await.unwrap();
        }
        assert!(sender.send(piece(2)).now_or_never().is_none(), "there is no room for a third");
        let read = task::spawn_blocking(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).map(|_| all)
        });
        sender.send(piece(2)).await.unwrap();
        sender.send(Ok(Bytes::from(vec![3; 3 << 20]))).await.unwrap();
        drop(sender);
        let all = read.await.unwrap().unwrap();
        assert_eq!(all.len(), 3 * (400 << 10) + (3 << 20));
        assert!(all.is_sorted());
    }

    #[tokio::test]
    async fn a_sender_that_waits_for_room_hears_that_nobody_reads() {
        let (sender, reader) = pieces();
        sender.send(Ok(Bytes::from(vec![0; ROOM as usize]))).await.unwrap();
        let waiting = task::spawn(async move { sender.send(Ok(Bytes::from_static(b"x"))).await });
        drop(reader);
        assert!(waiting.await.unwrap().is_err());
    }
}
