//! Two streams made one: bytes both ways, the end of one direction passed on while the other runs.
//!
//! An idle connection costs no buffer: bytes are read into one of the thread's and written from there; only what the other
//! side does not take at once is kept, and then nothing more is read. Where much comes at once and both sides are TCP, the
//! kernel passes it on by itself ([`super::bulk`]).

use std::{
    any::Any,
    cell::RefCell,
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::bulk::Bulk;

const SCRATCH_BYTES: usize = 64 * 1024;
/// Less than this is copied sooner than it is handed on in a pipe.
const CALM_BYTES: usize = 16 * 1024;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice());
}

/// Runs until both directions have ended, or one has failed.
pub async fn relay<A, B>(a: &mut A, b: &mut B) -> io::Result<()>
where
    A: AsyncRead + AsyncWrite + Unpin + 'static,
    B: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (mut there, mut back) = (Direction::default(), Direction::default());
    poll_fn(|cx| {
        let there = there.poll(cx, a, b)?;
        let back = back.poll(cx, b, a)?;
        if there.is_ready() && back.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}

fn tcp<T: 'static>(stream: &T) -> Option<&TcpStream> {
    (stream as &dyn Any).downcast_ref()
}

#[derive(Default)]
struct Direction {
    /// Read but not yet written.
    pending: Vec<u8>,
    written: usize,
    /// The last read was as much as there was room for: more is coming.
    much: bool,
    bulk: Bulk,
    ended: bool,
    finished: bool,
}

impl Direction {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin + 'static),
        to: &mut (impl AsyncWrite + Unpin + 'static),
    ) -> Poll<io::Result<()>> {
        if self.finished {
            return Poll::Ready(Ok(()));
        }
        loop {
            ready!(self.poll_pending(cx, to))?;
            if self.ended {
                ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                self.finished = true;
                return Poll::Ready(Ok(()));
            }
            match (self.much, tcp(from), tcp(to)) {
                (true, Some(from), Some(to)) => {
                    let passed = ready!(self.bulk.poll_pass(cx, from, to))?;
                    (self.ended, self.much) = (passed == 0, passed >= CALM_BYTES);
                }
                _ => ready!(self.poll_pass(cx, from, to))?,
            }
        }
    }

    /// Writes what was kept.
    fn poll_pending(&mut self, cx: &mut Context<'_>, to: &mut (impl AsyncWrite + Unpin)) -> Poll<io::Result<()>> {
        while self.written < self.pending.len() {
            let written = ready!(Pin::new(&mut *to).poll_write(cx, &self.pending[self.written..]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
        }
        (self.pending, self.written) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }

    /// Reads once and writes as much of it as the other side takes.
    fn poll_pass(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(from).poll_read(cx, &mut buffer))?;
            let read = buffer.filled();
            self.ended = read.is_empty();
            self.much = read.len() == SCRATCH_BYTES;
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            let taken = match Pin::new(to).poll_write(cx, read) {
                Poll::Ready(taken) => taken?,
                Poll::Pending => 0,
            };
            self.pending.extend_from_slice(&read[taken..]);
            Poll::Ready(Ok(()))
        })
    }
}
