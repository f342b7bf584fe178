//! Bytes from async producers for blocking readers.

use std::io::{self, Read};

use bytes::Bytes;
use tokio::sync::mpsc;

/// Pieces in flight.
const QUEUE: usize = 16;

/// What a producer sends: bytes, or why there are no more. Dropping the sender ends the stream.
pub type PieceSender = mpsc::Sender<io::Result<Bytes>>;

/// The reading end. Must not be read on an async thread.
pub struct Pieces {
    source: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
}

/// A bounded stream from async to blocking code.
pub fn pieces() -> (PieceSender, Pieces) {
    let (sender, source) = mpsc::channel(QUEUE);
    (sender, Pieces { source, current: Bytes::new() })
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.source.blocking_recv() {
                Some(piece) => self.current = piece?,
                None => return Ok(0),
            }
        }
        let n = self.current.len().min(buffer.len());
        buffer[..n].copy_from_slice(&self.current.split_to(n));
        Ok(n)
    }
}
