//! Connections between host and guest, whatever carries them.
//!
//! On Linux that is our own vsock device in this process; elsewhere the hypervisor's own sockets (`native::carrier`). The kernel's vhost-vsock is deliberately not used even where
//! `/dev/vhost-vsock` may be opened: its ports are open to every user of the host, so anybody could dial the guest's
//! Docker API past the socket that only its owner may open, and its host ports belong to the whole machine, so two
//! profiles could not listen on the same one. The decision is in `docs/adr/0001-vsock-on-linux.md`.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

#[cfg(any(test, not(target_os = "linux")))]
use crate::native::carrier as native;
#[cfg(target_os = "linux")]
use cubby_vsock_device as vsock;

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
pub struct Dialer(Dial);

#[derive(Clone)]
enum Dial {
    #[cfg(target_os = "linux")]
    Vsock(vsock::Dialer),
    #[cfg(any(test, not(target_os = "linux")))]
    Native(native::Dialer),
}

/// Accepts the guest's connections to one port of the host.
pub struct Listener(Listen);

enum Listen {
    #[cfg(target_os = "linux")]
    Vsock(vsock::Listener),
    #[cfg(any(test, not(target_os = "linux")))]
    Native(native::Listener),
}

/// One connection. `shutdown` ends only our direction; dropping it ends both.
#[derive(Debug)]
pub struct Stream {
    inner: Socket,
}

#[derive(Debug)]
enum Socket {
    #[cfg(target_os = "linux")]
    Vsock(vsock::Stream),
    #[cfg(any(test, not(target_os = "linux")))]
    Native(native::Stream),
}

impl Dialer {
    #[cfg(target_os = "linux")]
    pub(crate) fn new(inner: vsock::Dialer) -> Dialer {
        Dialer(Dial::Vsock(inner))
    }

    #[cfg(any(test, not(target_os = "linux")))]
    pub(crate) fn native(inner: native::Dialer) -> Dialer {
        Dialer(Dial::Native(inner))
    }

    /// Connects to what listens on `port` in the guest. Cancelling the future ends the attempt.
    pub async fn dial(&self, port: u32) -> Result<Stream, DialError> {
        let inner = match &self.0 {
            #[cfg(target_os = "linux")]
            Dial::Vsock(dialer) => Socket::Vsock(dialer.connect(port).await.map_err(|err| vsock_failure(port, err))?),
            #[cfg(any(test, not(target_os = "linux")))]
            Dial::Native(dialer) => {
                Socket::Native(dialer.connect(port).await.map_err(|err| native_failure(port, err))?)
            }
        };
        Ok(Stream { inner })
    }
}

#[cfg(target_os = "linux")]
fn vsock_failure(port: u32, err: vsock::ConnectError) -> DialError {
    match err {
        vsock::ConnectError::Refused => DialError::Refused(port),
        vsock::ConnectError::GuestGone => DialError::Off,
        vsock::ConnectError::Timeout => DialError::Timeout(port),
        vsock::ConnectError::Socket(source) => DialError::Io { port, source },
        err @ vsock::ConnectError::TooManyConnections => DialError::Io { port, source: io::Error::other(err) },
    }
}

#[cfg(any(test, not(target_os = "linux")))]
fn native_failure(port: u32, err: native::ConnectError) -> DialError {
    match err {
        native::ConnectError::Refused => DialError::Refused(port),
        native::ConnectError::GuestGone => DialError::Off,
        native::ConnectError::Timeout => DialError::Timeout(port),
        native::ConnectError::Socket(source) => DialError::Io { port, source },
    }
}

impl Listener {
    #[cfg(target_os = "linux")]
    pub(crate) fn new(inner: vsock::Listener) -> Listener {
        Listener(Listen::Vsock(inner))
    }

    #[cfg(any(test, not(target_os = "linux")))]
    pub(crate) fn native(inner: native::Listener) -> Listener {
        Listener(Listen::Native(inner))
    }

    /// The next connection; `None` when the machine is gone for good.
    pub async fn accept(&mut self) -> Option<Stream> {
        let inner = match &mut self.0 {
            #[cfg(target_os = "linux")]
            Listen::Vsock(listener) => Socket::Vsock(listener.accept().await?),
            #[cfg(any(test, not(target_os = "linux")))]
            Listen::Native(listener) => Socket::Native(listener.accept().await?),
        };
        Some(Stream { inner })
    }
}

/// Calls a poll function of whichever socket it is.
macro_rules! poll {
    ($stream:expr, $function:ident $(, $argument:expr)*) => {
        match &mut $stream.inner {
            #[cfg(target_os = "linux")]
            Socket::Vsock(inner) => Pin::new(inner).$function($($argument),*),
            #[cfg(any(test, not(target_os = "linux")))]
            Socket::Native(inner) => Pin::new(inner).$function($($argument),*),
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        poll!(self, poll_read, cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        poll!(self, poll_write, cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        poll!(self, poll_write_vectored, cx, bufs)
    }

    /// Every kind of them is a socket.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        poll!(self, poll_flush, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        poll!(self, poll_shutdown, cx)
    }
}
