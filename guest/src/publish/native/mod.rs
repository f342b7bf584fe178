//! Listeners in the engine's own process.

mod bind;
mod holder;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::OwnedFd,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use cubby_engine::{
    Error,
    error::Result,
    ports::{Publication, Publisher},
};
use cubby_wire::{
    forward::{Dial, Protocol},
    publish::Port,
};
use futures_util::future::BoxFuture;
use tokio::{
    io::Interest,
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};

use super::{
    Tasks,
    dial::{self, Starting},
    flow,
    relay::relay,
};

/// Connections of all containers together; further ones wait in the kernel's backlog.
const CONNECTIONS: usize = 8192;

/// See the module's documentation.
pub struct Native {
    pub(super) connections: Arc<Semaphore>,
    starting: Starting,
    open: Arc<Mutex<Vec<Open>>>,
}

/// A port that is published now.
struct Open {
    container_id: String,
    name: String,
    protocol: Protocol,
    at: SocketAddr,
}

/// What a publication holds. Its entries go when its listeners do.
struct Guard {
    container_id: String,
    open: Arc<Mutex<Vec<Open>>>,
    _tasks: Tasks,
    _held: Vec<OwnedFd>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|entry| entry.container_id != self.container_id);
    }
}

impl Native {
    pub fn new() -> Arc<Self> {
        Self::with(Starting::default())
    }

    pub(super) fn with(starting: Starting) -> Arc<Self> {
        Arc::new(Self { connections: Arc::new(Semaphore::new(CONNECTIONS)), starting, open: Arc::default() })
    }

    /// The name of our own container that has the port.
    fn holder(&self, protocol: Protocol, at: SocketAddr) -> Option<String> {
        let clashes = |open: &&Open| {
            let same_address = open.at.ip() == at.ip() || open.at.ip().is_unspecified() || at.ip().is_unspecified();
            open.protocol == protocol && open.at.port() == at.port() && same_address
        };
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.iter().find(clashes).map(|open| open.name.clone())
    }

    fn enter(&self, container_id: &str, name: &str, ports: &[Port], host_ports: &[u16]) {
        let entries = ports.iter().zip(host_ports).map(|(port, host_port)| Open {
            container_id: container_id.to_owned(),
            name: name.to_owned(),
            protocol: port.protocol,
            at: SocketAddr::new(port.host_ip, *host_port),
        });
        self.open.lock().unwrap_or_else(PoisonError::into_inner).extend(entries);
    }
}

impl Publisher for Native {
    fn publish<'a>(
        &'a self,
        container_id: &'a str,
        name: &'a str,
        ports: Vec<Port>,
    ) -> BoxFuture<'a, Result<Publication>> {
        Box::pin(async move {
            let bound = bind::all(&ports, |protocol, at| self.holder(protocol, at)).map_err(Error::internal)?;
            let host_ports: Vec<u16> = bound.iter().map(|bound| bound.host_port).collect();
            self.enter(container_id, name, &ports, &host_ports);
            let (mut tasks, mut held) = (JoinSet::new(), Vec::new());
            for (port, bound) in ports.into_iter().zip(bound) {
                match bound.socket {
                    bind::Socket::Tcp(listener) => {
                        let way = Way { target: port.target, since: Instant::now(), starting: self.starting };
                        tasks.spawn(accept(listener, way, self.connections.clone()));
                    }
                    bind::Socket::Udp(socket) => {
                        tasks.spawn(flow::serve(socket, port.target));
                    }
                    bind::Socket::Shared => {}
                    bind::Socket::Forwarded(socket) => held.extend(socket),
                }
            }
            tracing::debug!(container_id, ?host_ports, "ports published");
            let (container_id, open) = (container_id.to_owned(), self.open.clone());
            let guard = Guard { container_id, open, _tasks: Tasks(tasks), _held: held };
            Ok(Publication { host_ports, guard: Box::new(guard) })
        })
    }

    /// Containers reach this host at the gateway of their network.
    fn host_gateway(&self) -> Option<IpAddr> {
        None
    }
}

/// To where, and since when: ports are published just before the container's process runs.
#[derive(Clone)]
struct Way {
    target: Dial,
    since: Instant,
    starting: Starting,
}

/// Accepts until dropped, which ends the connections too.
async fn accept(listener: TcpListener, way: Way, slots: Arc<Semaphore>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
        };
        match accepted {
            Ok((client, _)) => {
                let way = way.clone();
                connections.spawn(async move {
                    if let Err(error) = connect(client, &way).await {
                        let target = &way.target;
                        tracing::trace!(address = %target.address, port = target.port, err = %error, "connection broke");
                    }
                    drop(slot);
                });
            }
            Err(error) => {
                // Why: out of descriptors, most likely; accepting again at once would spin.
                tracing::warn!(port = way.target.port, err = %error, "connection to a published port not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connect(mut client: TcpStream, way: &Way) -> io::Result<()> {
    client.set_nodelay(true)?;
    let dialled = tokio::select! {
        dialled = dial::tcp(&way.target, way.starting, || Some(way.since.elapsed())) => dialled,
        // It gave up. Why not also at its end: who has sent all may still wait for an answer.
        gone = client.ready(Interest::ERROR) => return gone.map(|_| ()),
    };
    let relayed = match dialled {
        Ok(mut container) => relay(&mut client, &mut container).await,
        Err(error) => Err(error),
    };
    if relayed.is_err() {
        // Why: the client shall see a broken connection as broken, not as a complete answer that ended.
        client.set_zero_linger()?;
    }
    relayed
}
