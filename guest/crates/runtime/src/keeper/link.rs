//! The connection to the engine: messages wait here while its socket is full.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::packet::Packet;
use crate::protocol::{Reply, pack};

/// An engine that leaves this many messages unread does not listen any more. Nothing is lost: the next one adopts.
const QUEUE_MAX: usize = 65_536;

#[derive(Debug)]
pub(super) struct Link {
    socket: OwnedFd,
    queue: VecDeque<Packet>,
}

impl Link {
    pub fn new(socket: OwnedFd) -> Self {
        Self { socket, queue: VecDeque::new() }
    }

    pub fn push(&mut self, reply: &Reply, blobs: &[&[u8]], fds: Vec<OwnedFd>) -> io::Result<()> {
        if self.queue.len() >= QUEUE_MAX {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        self.queue.push_back(pack(reply, blobs, fds)?);
        Ok(())
    }

    /// Sends what the socket takes; whether that was everything.
    pub fn flush(&mut self) -> io::Result<bool> {
        while let Some(packet) = self.queue.front() {
            match packet.send(&self.socket) {
                Ok(()) => drop(self.queue.pop_front()),
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(err) => return Err(err),
            }
        }
        Ok(true)
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
