//! The way into the running machine, as the proxy, the forwarder and the control client see it: dial a port.
//!
//! It hides which backend the machine has. A link outlives its machine harmlessly: dialling then fails.

use std::io;
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

/// A stream that can be closed in one direction (`shutdown`) while the other goes on; dropping it closes both.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + ?Sized> Duplex for T {}

pub type BoxStream = Box<dyn Duplex>;

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Opens streams to ports of the guest.
pub trait Dial: Send + Sync + 'static {
    fn dial(&self, port: u32) -> BoxFuture<'_, io::Result<BoxStream>>;
}

pub type Link = Arc<dyn Dial>;
