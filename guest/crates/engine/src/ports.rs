//! Published ports: the engine says what it wants open, a [`Publisher`] opens it where the user is.

use std::net::IpAddr;

use cubby_wire::publish::Port;
use futures_util::future::BoxFuture;

use crate::error::Result;

/// The host port that each asked port got, in the order asked, and whatever keeps the listeners open.
pub struct Publication {
    pub host_ports: Vec<u16>,
    /// Dropping it closes the listeners.
    pub guard: Box<dyn Send + Sync>,
}

/// Opens listeners for published ports on the user's side.
///
/// All ports of a container open or none does. Called after the container's endpoint has its address and before its
/// process runs; the error's text reaches the client as part of dockerd's
/// `driver failed programming external connectivity on endpoint …`.
pub trait Publisher: Send + Sync + 'static {
    fn publish<'a>(
        &'a self,
        container_id: &'a str,
        name: &'a str,
        ports: Vec<Port>,
    ) -> BoxFuture<'a, Result<Publication>>;

    /// The address under which containers reach the host (`host.docker.internal`).
    fn host_gateway(&self) -> Option<IpAddr>;
}
