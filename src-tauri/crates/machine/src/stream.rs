//! Connections between host and guest, whatever carries them.
//!
//! On Linux that is our own vsock device in this process. The kernel's vhost-vsock is deliberately not used even where
//! `/dev/vhost-vsock` may be opened: its ports are open to every user of the host, so anybody could dial the guest's
//! Docker API past the socket that only its owner may open, and its host ports belong to the whole machine, so two
//! profiles could not listen on the same one. The decision is in `docs/adr/0001-vsock-on-linux.md`.

use std::io;
#[cfg(target_os = "linux")]
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

#[cfg(target_os = "linux")]
use cubby_vsock_device as carrier;

/// Why a dial brought no stream.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    #[error("nothing listens on port {0} in the guest")]
    Refused(u32),
    #[error("the guest is not running")]
    Off,
    #[error("the guest did not answer on port {0} in time")]
    Timeout(u32),
    #[error("no connection to port {port} of the guest")]
    Io { port: u32, source: io::Error },
}

impl From<DialError> for io::Error {
    fn from(err: DialError) -> io::Error {
        let kind = match &err {
            DialError::Refused(_) => io::ErrorKind::ConnectionRefused,
            DialError::Off => io::ErrorKind::NotConnected,
            DialError::Timeout(_) => io::ErrorKind::TimedOut,
            DialError::Io { source, .. } => source.kind(),
        };
        io::Error::new(kind, err)
    }
}

/// Connects to ports in the guest. Cheap to clone.
#[derive(Clone)]
pub struct Dialer {
    #[cfg(target_os = "linux")]
    inner: carrier::Dialer,
}

/// Accepts the guest's connections to one port of the host.
pub struct Listener {
    #[cfg(target_os = "linux")]
    inner: carrier::Listener,
}

/// One connection. `shutdown` ends only our direction; dropping it ends both.
#[derive(Debug)]
pub struct Stream {
    #[cfg(target_os = "linux")]
    inner: carrier::Stream,
}

#[cfg(target_os = "linux")]
impl Dialer {
    pub(crate) fn new(inner: carrier::Dialer) -> Dialer {
        Dialer { inner }
    }

    /// Connects to what listens on `port` in the guest. Cancelling the future ends the attempt.
    pub async fn dial(&self, port: u32) -> Result<Stream, DialError> {
        let io = |source| DialError::Io { port, source };
        match self.inner.connect(port).await {
            Ok(inner) => Ok(Stream { inner }),
            Err(carrier::ConnectError::Refused) => Err(DialError::Refused(port)),
            Err(carrier::ConnectError::GuestGone) => Err(DialError::Off),
            Err(carrier::ConnectError::Timeout) => Err(DialError::Timeout(port)),
            Err(carrier::ConnectError::Socket(source)) => Err(io(source)),
            Err(err @ carrier::ConnectError::TooManyConnections) => Err(io(io::Error::other(err))),
        }
    }
}

#[cfg(target_os = "linux")]
impl Listener {
    pub(crate) fn new(inner: carrier::Listener) -> Listener {
        Listener { inner }
    }

    /// The next connection; `None` when the machine is gone for good.
    pub async fn accept(&mut self) -> Option<Stream> {
        Some(Stream { inner: self.inner.accept().await? })
    }
}

#[cfg(target_os = "linux")]
impl Stream {
    /// The bare socket, non-blocking, taken off the runtime.
    pub fn into_fd(self) -> io::Result<OwnedFd> {
        self.inner.into_fd()
    }

    /// The bare socket as the runtime knows it, for `splice` and readiness.
    pub fn as_unix(&self) -> &tokio::net::UnixStream {
        &self.inner
    }
}

#[cfg(target_os = "linux")]
impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

#[cfg(target_os = "linux")]
impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

#[cfg(target_os = "linux")]
impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
