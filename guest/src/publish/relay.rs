//! Two streams made one: bytes both ways, the end of one direction passed on while the other runs.
//!
//! An idle connection costs no buffer: bytes are read into one of the thread's and written from there; only what the other
//! side does not take at once is kept, and then nothing more is read.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const SCRATCH_BYTES: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice());
}

/// Runs until both directions have ended, or one has failed.
pub async fn relay<A, B>(a: &mut A, b: &mut B) -> io::Result<()>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (mut there, mut back) = (Direction::default(), Direction::default());
    poll_fn(|cx| {
        let there = there.poll(cx, a, b)?;
        let back = back.poll(cx, b, a)?;
        if there.is_ready() && back.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}

#[derive(Default)]
struct Direction {
    /// Read but not yet written.
    pending: Vec<u8>,
    written: usize,
    ended: bool,
    finished: bool,
}

impl Direction {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
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
            ready!(self.poll_pass(cx, from, to))?;
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
