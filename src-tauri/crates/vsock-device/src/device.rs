//! What the rest of the project calls: a device, dials, listeners and streams.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};

use crate::vhost::Server;

/// How long a guest may take to answer a dial.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections that may wait for [`Listener::accept`]; the guest's next ones are refused.
const ACCEPT_BACKLOG: usize = 128;
/// Dials that may wait for the device's thread.
const DIAL_BACKLOG: usize = 1024;

/// Why the device could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    #[error("vsock device cannot listen on {path}")]
    Bind { path: PathBuf, source: io::Error },
    #[error("vsock device could not be created")]
    Create(#[source] io::Error),
    #[error("vsock port {0} already has a listener")]
    PortInUse(u32),
}

/// Why a dial brought no stream.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("nothing listens on this port in the guest")]
    Refused,
    #[error("the guest is not running")]
    GuestGone,
    #[error("the guest did not answer in time")]
    Timeout,
    #[error("too many vsock connections")]
    TooManyConnections,
    #[error("no socket for a vsock connection")]
    Socket(#[source] io::Error),
}

/// The vsock device of one guest. Dropping it closes every connection, the socket and its threads.
pub struct Device {
    shared: Arc<Shared>,
    /// Dropped with the device: joins the threads.
    _server: Option<Server>,
}

impl Device {
    /// Creates `socket` (mode 0600; what stood at this path is replaced) and serves one QEMU after the other on it.
    /// When a QEMU is gone, every connection of its guest is reset.
    ///
    /// A connection takes two file descriptors: raise `RLIMIT_NOFILE` before expecting thousands.
    pub fn bind(socket: &Path, guest_cid: u64) -> Result<Device, DeviceError> {
        let shared = Arc::new(Shared::new().map_err(DeviceError::Create)?);
        let server = Server::start(socket, guest_cid, shared.clone())?;
        Ok(Device { shared, _server: Some(server) })
    }

    /// A device whose switch somebody else runs: an examiner or a fuzzer in the same process.
    #[doc(hidden)]
    pub fn detached() -> io::Result<(Device, Arc<Shared>)> {
        let shared = Arc::new(Shared::new()?);
        shared.open();
        Ok((Device { shared: shared.clone(), _server: None }, shared))
    }

    /// A handle to call the guest with; outlives the device, failing with [`ConnectError::GuestGone`].
    pub fn dialer(&self) -> Dialer {
        Dialer { shared: self.shared.clone() }
    }

    /// Accepts what the guest connects to on CID 2 at `port`, until the listener is dropped.
    pub fn listen(&self, port: u32) -> Result<Listener, DeviceError> {
        let mut listeners = lock(&self.shared.listeners);
        if listeners.get(&port).is_some_and(|sender| !sender.is_closed()) {
            return Err(DeviceError::PortInUse(port));
        }
        let (sender, receiver) = mpsc::channel(ACCEPT_BACKLOG);
        listeners.insert(port, sender);
        Ok(Listener { receiver })
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.shared.close();
        // Why: `accept` shall return `None` when the device is gone, so no sender may stay behind in a Dialer.
        lock(&self.shared.listeners).clear();
    }
}

/// Calls the guest.
#[derive(Clone)]
pub struct Dialer {
    shared: Arc<Shared>,
}

impl Dialer {
    /// Connects to what listens on `port` in the guest. Cancelling the future ends the attempt.
    pub async fn connect(&self, port: u32) -> Result<Stream, ConnectError> {
        let (ours, offer) = Offer::pair(port).map_err(ConnectError::Socket)?;
        let (reply, answer) = oneshot::channel();
        self.shared.push_dial(Dial { port, socket: ours, fate: offer.fate.clone(), reply })?;
        match tokio::time::timeout(CONNECT_TIMEOUT, answer).await {
            Ok(Ok(result)) => result?,
            Ok(Err(_)) => return Err(ConnectError::GuestGone),
            Err(_) => return Err(ConnectError::Timeout),
        }
        offer.into_stream().map_err(ConnectError::Socket)
    }
}

/// Accepts the guest's connections to one port.
pub struct Listener {
    receiver: mpsc::Receiver<Offer>,
}

impl Listener {
    /// The next connection; `None` when the device is gone. Cancelling loses nothing.
    pub async fn accept(&mut self) -> Option<Stream> {
        loop {
            match self.receiver.recv().await?.into_stream() {
                Ok(stream) => return Some(stream),
                Err(err) => tracing::warn!(%err, "vsock connection lost before it was accepted"),
            }
        }
    }
}

/// One connection to the guest.
///
/// `shutdown` tells the guest that no more data comes, while reads go on; end-of-file says the same of the guest. A
/// connection that the guest reset instead of closing gives [`io::ErrorKind::ConnectionReset`] after the last byte.
/// Underneath is one end of a socketpair: [`Deref`] and [`AsFd`] give it out, for `splice` and the like; whoever
/// reads there sees end-of-file for a reset too.
#[derive(Debug)]
pub struct Stream {
    socket: UnixStream,
    fate: Arc<Fate>,
    guest_port: u32,
}

impl Stream {
    /// The port on the guest's side.
    pub fn guest_port(&self) -> u32 {
        self.guest_port
    }

    /// Whether the guest ended the connection by a reset.
    pub fn was_reset(&self) -> bool {
        self.fate.reset.load(Ordering::Acquire)
    }

    /// The bare socket, non-blocking, taken off the runtime.
    pub fn into_fd(self) -> io::Result<OwnedFd> {
        Ok(self.socket.into_std()?.into())
    }
}

impl Deref for Stream {
    type Target = UnixStream;

    fn deref(&self) -> &UnixStream {
        &self.socket
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.socket).poll_read(cx, buf);
        let at_end = matches!(polled, Poll::Ready(Ok(()))) && buf.filled().len() == before && buf.remaining() > 0;
        if at_end && self.was_reset() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        polled
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// How a connection ended, as far as end-of-file does not tell.
#[derive(Debug, Default)]
pub struct Fate {
    reset: AtomicBool,
}

impl Fate {
    pub(crate) fn set_reset(&self) {
        self.reset.store(true, Ordering::Release);
    }
}

/// The application's end of a connection, not yet known to any runtime: the device's thread has none.
#[derive(Debug)]
pub struct Offer {
    socket: StdUnixStream,
    fate: Arc<Fate>,
    guest_port: u32,
}

impl Offer {
    /// Both ends of a new connection, the device's first.
    pub(crate) fn pair(guest_port: u32) -> io::Result<(StdUnixStream, Offer)> {
        let (ours, socket) = StdUnixStream::pair()?;
        ours.set_nonblocking(true)?;
        socket.set_nonblocking(true)?;
        Ok((ours, Offer { socket, fate: Arc::default(), guest_port }))
    }

    pub(crate) fn fate(&self) -> Arc<Fate> {
        self.fate.clone()
    }

    fn into_stream(self) -> io::Result<Stream> {
        Ok(Stream { socket: UnixStream::from_std(self.socket)?, fate: self.fate, guest_port: self.guest_port })
    }
}

/// A dial on its way to the device's thread.
pub struct Dial {
    pub(crate) port: u32,
    pub(crate) socket: StdUnixStream,
    pub(crate) fate: Arc<Fate>,
    pub(crate) reply: oneshot::Sender<Result<(), ConnectError>>,
}

/// What the device's thread and its callers share.
pub struct Shared {
    /// `None` while no QEMU is connected.
    dials: Mutex<Option<VecDeque<Dial>>>,
    listeners: Mutex<HashMap<u32, mpsc::Sender<Offer>>>,
    wake: OwnedFd,
}

/// A poisoned lock only means that a caller panicked; the collections behind these locks are whole at any time.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub fn new() -> io::Result<Shared> {
        let wake = crate::switch::wake_fd()?;
        Ok(Shared { dials: Mutex::new(None), listeners: Mutex::default(), wake })
    }

    /// A QEMU is there: dials are taken.
    pub(crate) fn open(&self) {
        lock(&self.dials).get_or_insert_default();
    }

    /// No QEMU any more: dials under way and later ones fail.
    pub(crate) fn close(&self) {
        for dial in lock(&self.dials).take().into_iter().flatten() {
            let _ = dial.reply.send(Err(ConnectError::GuestGone));
        }
    }

    fn push_dial(&self, dial: Dial) -> Result<(), ConnectError> {
        let mut dials = lock(&self.dials);
        let queue = dials.as_mut().ok_or(ConnectError::GuestGone)?;
        if queue.len() >= DIAL_BACKLOG {
            return Err(ConnectError::TooManyConnections);
        }
        queue.push_back(dial);
        drop(dials);
        self.wake_device();
        Ok(())
    }

    pub(crate) fn wake_device(&self) {
        // An eventfd that is full is awake already.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    pub(crate) fn next_dial(&self) -> Option<Dial> {
        lock(&self.dials).as_mut()?.pop_front()
    }

    pub(crate) fn listener(&self, port: u32) -> Option<mpsc::Sender<Offer>> {
        lock(&self.listeners).get(&port).cloned()
    }

    pub(crate) fn wake(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
