//! The device's end of a connection's socketpair: non-blocking, with what epoll last said about it.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use vm_memory::{ReadVolatile, VolatileMemoryError, VolatileSlice};

/// Outcome of one read.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    Bytes(usize),
    /// Nothing now; epoll will tell.
    Nothing,
    /// The application is done sending, or gone.
    End,
}

/// One end. The edge-triggered readiness flags start optimistic and are cleared by a system call that would block.
#[derive(Debug)]
pub struct LocalEnd {
    socket: UnixStream,
    pub readable: bool,
    writable: bool,
    /// The application can read no more: what comes from the guest is dropped.
    deaf: bool,
    reads_ended: bool,
    writes_ended: bool,
    /// Bytes of the guest that the socket had no room for. Bounded by the credit that the guest was given.
    backlog: VecDeque<u8>,
}

impl LocalEnd {
    pub fn new(socket: UnixStream) -> LocalEnd {
        LocalEnd {
            socket,
            readable: true,
            writable: true,
            deaf: false,
            reads_ended: false,
            writes_ended: false,
            backlog: VecDeque::new(),
        }
    }

    /// Takes `pieces` of the guest's memory for the application: into the socket while it has room, else into the
    /// backlog. Returns how many bytes have left the device; `None` if the guest's memory could not be read.
    pub fn push<'a>(&mut self, pieces: impl Iterator<Item = VolatileSlice<'a, ()>>) -> Option<usize> {
        let mut gone = 0;
        for piece in pieces {
            let mut at = 0;
            while at < piece.len() && self.backlog.is_empty() && (self.writable || self.deaf) {
                let rest = piece.offset(at).ok()?;
                match self.send(|socket| send_volatile(socket, &rest)) {
                    Some(n) => at += n,
                    None if self.deaf => at = piece.len(),
                    None => break,
                }
            }
            gone += at;
            if at < piece.len() {
                let old = self.backlog.len();
                self.backlog.resize(old + piece.len() - at, 0);
                let (_, tail) = self.backlog.make_contiguous().split_at_mut(old);
                (&piece.offset(at).ok()?).read_exact_volatile_into(tail)?;
            }
        }
        Some(gone)
    }

    /// Moves backlog into the socket; returns how many bytes have left the device.
    pub fn flush(&mut self) -> usize {
        let mut gone = 0;
        while !self.backlog.is_empty() && self.writable && !self.deaf {
            let front = std::mem::take(&mut self.backlog);
            let sent = self.send(|mut socket| socket.write(front.as_slices().0));
            self.backlog = front;
            let Some(sent) = sent else { break };
            self.backlog.drain(..sent);
            gone += sent;
        }
        if self.deaf {
            gone += self.backlog.len();
            self.backlog.clear();
        }
        if self.backlog.is_empty() {
            // Why: an idle connection must not keep a buffer that one slow moment made large.
            self.backlog = VecDeque::new();
        }
        gone
    }

    fn send(&mut self, send: impl Fn(&UnixStream) -> io::Result<usize>) -> Option<usize> {
        loop {
            match send(&self.socket) {
                Ok(n) => return Some(n),
                Err(err) if err.kind() == ErrorKind::Interrupted => {}
                Err(err) => {
                    self.writable = false;
                    self.deaf |= err.kind() != ErrorKind::WouldBlock;
                    return None;
                }
            }
        }
    }

    /// Fills `pieces` of the guest's memory with what the application has sent.
    pub fn pull<'a>(&mut self, pieces: impl Iterator<Item = VolatileSlice<'a, ()>>) -> Taken {
        let mut taken = 0;
        for mut piece in pieces {
            match receive_volatile(&mut self.socket, &mut piece) {
                Ok(0) if taken == 0 => return Taken::End,
                Ok(n) => {
                    taken += n;
                    if n < piece.len() {
                        break;
                    }
                }
                Err(err) if err.kind() == ErrorKind::WouldBlock => {
                    self.readable = false;
                    break;
                }
                // The application closed its end with bytes unread; nothing more can come.
                Err(_) if taken == 0 => return Taken::End,
                Err(_) => break,
            }
        }
        if taken == 0 { Taken::Nothing } else { Taken::Bytes(taken) }
    }

    pub fn has_backlog(&self) -> bool {
        !self.backlog.is_empty()
    }

    pub fn is_deaf(&self) -> bool {
        self.deaf
    }

    pub fn set_writable(&mut self) {
        self.writable = true;
    }

    /// The application closed its end or shut it both ways.
    pub fn set_deaf(&mut self) {
        self.deaf = true;
    }

    /// The guest sends no more: the application reads end-of-file after what is there.
    ///
    /// Why once: every `shutdown`, repeated or not, is a state change that epoll reports anew, so repeating it from the
    /// handler of that event never ends.
    pub fn end_reads(&mut self) {
        if !std::mem::replace(&mut self.reads_ended, true) {
            let _ = self.socket.shutdown(Shutdown::Write);
        }
    }

    /// The guest receives no more: the application's writes fail. Once, like [`LocalEnd::end_reads`].
    pub fn end_writes(&mut self) {
        if !std::mem::replace(&mut self.writes_ended, true) {
            let _ = self.socket.shutdown(Shutdown::Read);
        }
    }
}

impl Drop for LocalEnd {
    /// Why drain: closing a Unix socket with unread bytes makes the application's next read fail with a reset, and
    /// what the guest no longer wanted is no reason to spoil a clean end-of-file.
    fn drop(&mut self) {
        let _ = self.socket.shutdown(Shutdown::Both);
        let mut waste = [0; 4096];
        while matches!((&self.socket).read(&mut waste), Ok(n) if n > 0) {}
    }
}

impl AsFd for LocalEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

trait ReadInto {
    fn read_exact_volatile_into(self, into: &mut [u8]) -> Option<()>;
}

impl ReadInto for &VolatileSlice<'_, ()> {
    fn read_exact_volatile_into(self, into: &mut [u8]) -> Option<()> {
        vm_memory::Bytes::read_slice(self, into, 0).ok()
    }
}

fn receive_volatile(socket: &mut UnixStream, piece: &mut VolatileSlice<'_, ()>) -> io::Result<usize> {
    loop {
        match socket.read_volatile(piece) {
            Ok(n) => return Ok(n),
            Err(VolatileMemoryError::IOError(err)) if err.kind() == ErrorKind::Interrupted => {}
            Err(VolatileMemoryError::IOError(err)) => return Err(err),
            Err(err) => return Err(io::Error::other(err)),
        }
    }
}

/// Why not `WriteVolatile`: it calls `write`, and a process that has not ignored SIGPIPE would die of a closed stream.
fn send_volatile(socket: &UnixStream, piece: &VolatileSlice<'_, ()>) -> io::Result<usize> {
    let guard = piece.ptr_guard();
    // SAFETY: the guard keeps `piece.len()` bytes at this address mapped for the duration of the call; the kernel
    // only reads them, and copes with a guest that changes them meanwhile. The descriptor is open: it is borrowed.
    let sent = unsafe { libc::send(socket.as_raw_fd(), guard.as_ptr().cast(), piece.len(), libc::MSG_NOSIGNAL) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{Timespec, epoll};

    #[test]
    fn ending_a_direction_again_wakes_nobody() {
        let (ours, _application) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut local = LocalEnd::new(ours);
        let poller = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        let interest =
            epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        epoll::add(&poller, &local, epoll::EventData::new_u64(1), interest).unwrap();
        let events = || {
            let mut space = [std::mem::MaybeUninit::uninit(); 4];
            epoll::wait(&poller, &mut space, Some(&Timespec::default())).unwrap().0.len()
        };
        events();
        local.end_reads();
        assert_eq!(events(), 1, "the end itself is an event");
        local.end_reads();
        assert_eq!(events(), 0);
        local.end_writes();
        assert_eq!(events(), 1);
        local.end_writes();
        local.end_reads();
        assert_eq!(events(), 0);
    }
}
