//! Bytes that pass between two TCP connections without being copied: through a pipe, whose pages the kernel only hands on.
//!
//! A pipe is held only while bytes are in it, so an idle connection costs none. Source: splice(2).

use std::{
    cell::RefCell,
    io,
    os::fd::OwnedFd,
    task::{Context, Poll, ready},
};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::{io::Interest, net::TcpStream};

/// What a pipe takes at once.
const PIPE_BYTES: usize = 1 << 20;
/// Pipes that each thread keeps.
const KEPT: usize = 8;

thread_local! {
    static KEPT_PIPES: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
}

struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
}

impl Pipe {
    /// An empty one.
    fn take() -> io::Result<Self> {
        if let Some(pipe) = KEPT_PIPES.with_borrow_mut(Vec::pop) {
            return Ok(pipe);
        }
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // Why ignored: a smaller one does the same, in more steps.
        let _ = fcntl_setpipe_size(&write, PIPE_BYTES);
        Ok(Self { read, write })
    }

    /// For the next one. It must be empty.
    fn keep(self) {
        KEPT_PIPES.with_borrow_mut(|kept| {
            if kept.len() < KEPT {
                kept.push(self);
            }
        });
    }
}

/// What is on its way in a pipe.
#[derive(Default)]
pub struct Bulk(Option<(Pipe, usize)>);

impl Bulk {
    /// Passes what `from` has now; 0 at its end.
    pub fn poll_pass(&mut self, cx: &mut Context<'_>, from: &TcpStream, to: &TcpStream) -> Poll<io::Result<usize>> {
        let taken = match &self.0 {
            // What was left of an earlier call.
            Some((_, left)) => *left,
            None => {
                let (pipe, taken) = ready!(poll_take(cx, from))?;
                if taken == 0 {
                    pipe.keep();
                    return Poll::Ready(Ok(0));
                }
                self.0 = Some((pipe, taken));
                taken
            }
        };
        ready!(self.poll_empty(cx, to))?;
        Poll::Ready(Ok(taken))
    }

    fn poll_empty(&mut self, cx: &mut Context<'_>, to: &TcpStream) -> Poll<io::Result<()>> {
        while let Some((pipe, left)) = &mut self.0 {
            ready!(to.poll_write_ready(cx))?;
            let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
            match to.try_io(Interest::WRITABLE, || Ok(splice(&pipe.read, None, to, None, *left, flags)?)) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(passed) => *left = left.saturating_sub(passed),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            if *left == 0
                && let Some((pipe, _)) = self.0.take()
            {
                pipe.keep();
            }
        }
        Poll::Ready(Ok(()))
    }
}

fn poll_take(cx: &mut Context<'_>, from: &TcpStream) -> Poll<io::Result<(Pipe, usize)>> {
    loop {
        ready!(from.poll_read_ready(cx))?;
        let pipe = Pipe::take()?;
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        match from.try_io(Interest::READABLE, || Ok(splice(from, None, &pipe.write, None, PIPE_BYTES, flags)?)) {
            Ok(taken) => return Poll::Ready(Ok((pipe, taken))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => pipe.keep(),
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
}
