//! The streams of a machine whose hypervisor carries them itself, as descriptors of the system's.
//!
//! A machine may be started many times; its dialers and listeners are made once. So the ports are kept here, and opened
//! anew on each power cycle's [`Sockets`].

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::hypervisor::BoxFuture;

/// macOS: the descriptor of a `VZVirtioSocketConnection`, which reads and writes like any stream socket.
#[cfg(unix)]
pub type Stream = tokio::net::UnixStream;
/// Windows: an AF_HYPERV socket. tokio's type asks nothing of a connected one but what every stream socket does.
#[cfg(windows)]
pub type Stream = tokio::net::TcpStream;

/// A guest that says nothing to a connection request for this long is not going to.
const PATIENCE: Duration = Duration::from_secs(10);
/// Accepted connections that nobody took yet.
const BACKLOG: usize = 128;

#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("nothing listens on this port in the guest")]
    Refused,
    #[error("the guest is not running")]
    GuestGone,
    #[error("the guest did not answer in time")]
    Timeout,
    #[error("no socket for a connection to the guest")]
    Socket(#[source] io::Error),
}

/// What a hypervisor offers while its guest runs.
pub trait Sockets: Send + Sync {
    fn connect(&self, port: u32) -> BoxFuture<'static, io::Result<Stream>>;
    /// Gives what the guest opens to `port` of the host to `accepted`, until the guard is dropped.
    fn open(&self, port: u32, accepted: Accepted) -> io::Result<Box<dyn Send>>;
}

/// Where accepted streams go. What nobody takes is closed: the guest sees a reset and tries again.
#[derive(Clone)]
pub struct Accepted(mpsc::Sender<Stream>);

impl Accepted {
    /// False when nobody listens any more, or nobody keeps up.
    pub fn give(&self, stream: Stream) -> bool {
        self.0.try_send(stream).is_ok()
    }
}

#[derive(Default)]
struct Ports {
    /// While a guest runs.
    sockets: Option<Arc<dyn Sockets>>,
    listeners: HashMap<u32, Port>,
}

struct Port {
    accepted: Accepted,
    /// `None`: no guest runs.
    _open: Option<Box<dyn Send>>,
}

/// The ports of one machine.
#[derive(Clone, Default)]
pub struct Carrier(Arc<Mutex<Ports>>);

impl Carrier {
    /// A guest is about to run: opens every port that has a listener.
    pub fn attach(&self, sockets: Arc<dyn Sockets>) -> io::Result<()> {
        let mut ports = self.lock();
        for (number, port) in &mut ports.listeners {
            port._open = Some(sockets.open(*number, port.accepted.clone())?);
        }
        ports.sockets = Some(sockets);
        Ok(())
    }

    /// The guest is gone: dials fail, listeners wait for the next one.
    pub fn detach(&self) {
        let mut ports = self.lock();
        ports.sockets = None;
        for port in ports.listeners.values_mut() {
            port._open = None;
        }
    }

    pub fn dialer(&self) -> Dialer {
        Dialer(self.clone())
    }

    /// `None` when the port has a listener.
    pub fn listen(&self, number: u32) -> Option<io::Result<Listener>> {
        let mut ports = self.lock();
        if ports.listeners.get(&number).is_some_and(|port| !port.accepted.0.is_closed()) {
            return None;
        }
        let (sender, streams) = mpsc::channel(BACKLOG);
        let accepted = Accepted(sender);
        let open = match &ports.sockets {
            None => None,
            Some(sockets) => match sockets.open(number, accepted.clone()) {
                Ok(open) => Some(open),
                Err(err) => return Some(Err(err)),
            },
        };
        ports.listeners.insert(number, Port { accepted, _open: open });
        Some(Ok(Listener { streams, number, carrier: self.clone() }))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Ports> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connects to ports in the guest.
#[derive(Clone)]
pub struct Dialer(Carrier);

impl Dialer {
    pub async fn connect(&self, port: u32) -> Result<Stream, ConnectError> {
        let sockets = self.0.lock().sockets.clone().ok_or(ConnectError::GuestGone)?;
        match tokio::time::timeout(PATIENCE, sockets.connect(port)).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(err)) => Err(failure(err)),
            Err(_) => Err(ConnectError::Timeout),
        }
    }
}

/// What the systems' errors mean. Source: connect(2); Winsock error codes as std maps them.
fn failure(err: io::Error) -> ConnectError {
    match err.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => ConnectError::Refused,
        io::ErrorKind::TimedOut => ConnectError::Timeout,
        io::ErrorKind::NotConnected
        | io::ErrorKind::AddrNotAvailable
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkDown => ConnectError::GuestGone,
        _ => ConnectError::Socket(err),
    }
}

/// Accepts the guest's connections to one port. Dropping it closes the port.
pub struct Listener {
    streams: mpsc::Receiver<Stream>,
    number: u32,
    carrier: Carrier,
}

impl Listener {
    pub async fn accept(&mut self) -> Option<Stream> {
        self.streams.recv().await
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.streams.close();
        // Nobody else listens there: a second listener is refused while this one lives.
        self.carrier.lock().listeners.remove(&self.number);
    }
}
