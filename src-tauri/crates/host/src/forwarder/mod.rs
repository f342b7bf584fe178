//! Published ports: listeners on the host for ports of containers.
//!
//! ```text
//! guest engine ──Publish──▶ bind all or none ──Published──▶ accept ──▶ dial FORWARD, Dial ──Dialled──▶ relay
//!                                                             └─ until the stream of the Publish ends: all closed
//! ```
//!
//! The guest is not trusted: what it asks for is bounded in number and checked in form before anything is opened, and all
//! it can ever gain is connections to itself. One [`Forwarder`] serves one machine; its bounds count across containers.

mod bind;
mod holder;
mod tcp;
mod udp;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cubby_wire::forward::{Dial, Dialled, Protocol};
use cubby_wire::publish::{Port, Publish, Published};
use cubby_wire::{frame, ports};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::link::{BoxStream, Link};

/// Bounds, adjustable by tests.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Ports of one container.
    pub ports_per_container: usize,
    /// Listeners of all containers together.
    pub listeners: usize,
    /// Accepted TCP connections of all listeners together; further ones wait in the backlog.
    pub connections: usize,
    /// UDP clients remembered per listener.
    pub udp_flows: usize,
    /// A UDP client that was silent this long is forgotten.
    pub udp_idle: Duration,
    /// How long the guest may take to send its request, or to take one of ours.
    pub patience: Duration,
    /// How long the guest may take to connect to a container. Longer than its kernel tries (127 s), so that its reason is
    /// heard: a service whose backlog is full answers late.
    pub connecting: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ports_per_container: 1024,
            listeners: 4096,
            connections: 8192,
            udp_flows: 1024,
            udp_idle: Duration::from_secs(90),
            patience: Duration::from_secs(10),
            connecting: Duration::from_secs(150),
        }
    }
}

/// Serves the guest's requests for listeners.
pub struct Forwarder {
    link: Link,
    limits: Limits,
    listeners: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    open: Arc<Mutex<OpenPorts>>,
}

/// Which container has which host port, for the message to the next one that wants it.
type OpenPorts = HashMap<(Protocol, u16), String>;

impl Forwarder {
    pub fn new(link: Link, limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            link,
            limits,
            listeners: Arc::new(Semaphore::new(limits.listeners)),
            connections: Arc::new(Semaphore::new(limits.connections)),
            open: Arc::default(),
        })
    }

    /// Serves one stream of [`ports::PUBLISH`] until it ends; then, or when the future is dropped, its listeners and
    /// their connections are closed.
    pub async fn serve(self: Arc<Self>, mut stream: BoxStream) {
        let publish = match tokio::time::timeout(self.limits.patience, frame::read::<Publish>(&mut stream)).await {
            Ok(Ok(Some(publish))) => publish,
            Ok(Ok(None)) | Err(_) => return,
            Ok(Err(err)) => return tracing::warn!(%err, "the guest sent no valid request for ports"),
        };
        let container = printable(&publish.container_name);
        let mut running = JoinSet::new();
        let mut noted = Vec::new();
        let answer = match self.open(&publish.ports, &mut running) {
            Ok(host_ports) => {
                noted.extend(publish.ports.iter().map(|port| port.protocol).zip(host_ports.iter().copied()));
                self.open_ports().extend(noted.iter().map(|port| (*port, container.clone())));
                Published::Open { host_ports }
            }
            Err((port, reason)) => Published::Refused { port, reason },
        };
        match &answer {
            Published::Open { host_ports } => tracing::info!(%container, ?host_ports, "ports published"),
            Published::Refused { reason, .. } => tracing::info!(%container, %reason, "ports refused"),
        }
        if frame::write(&mut stream, &answer).await.is_ok() && !running.is_empty() {
            // The next thing on this stream is its end; anything else is a protocol error and ends it too.
            let _ = frame::read::<serde_json::Value>(&mut stream).await;
        }
        running.shutdown().await;
        self.open_ports().retain(|port, _| !noted.contains(port));
        tracing::debug!(%container, "ports closed");
    }

    /// Binds every port and starts to serve them, or binds none.
    fn open(self: &Arc<Self>, asked: &[Port], running: &mut JoinSet<()>) -> Result<Vec<u16>, (usize, String)> {
        if asked.len() > self.limits.ports_per_container {
            return Err((0, format!("more than {} ports for one container", self.limits.ports_per_container)));
        }
        let slots = self.listeners.clone().try_acquire_many_owned(asked.len() as u32);
        let slots = Arc::new(slots.map_err(|_| (0, format!("more than {} published ports", self.limits.listeners)))?);
        let bound = bind::all(asked, |protocol, port| self.holder(protocol, port))?;
        let host_ports = bound.iter().map(|bound| bound.host_port).collect();
        for (port, bound) in asked.iter().zip(bound) {
            let (forwarder, target, slots) = (self.clone(), port.target.clone(), slots.clone());
            match bound.socket {
                bind::Socket::Tcp(listener) => {
                    running.spawn(async move {
                        tcp::serve(&forwarder, listener, target).await;
                        drop(slots);
                    });
                }
                bind::Socket::Udp(socket) => {
                    running.spawn(async move {
                        udp::serve(&forwarder, socket, target).await;
                        drop(slots);
                    });
                }
                bind::Socket::Shared => {}
            }
        }
        Ok(host_ports)
    }

    fn open_ports(&self) -> MutexGuard<'_, OpenPorts> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who holds a host port: a container of ours, or the process that /proc shows.
    fn holder(&self, protocol: Protocol, port: u16) -> Option<String> {
        if let Some(container) = self.open_ports().get(&(protocol, port)) {
            return Some(format!("container {container}"));
        }
        holder::of(protocol, port).map(|holder| holder.to_string())
    }

    /// A stream whose far end is the container's port.
    async fn connect(&self, target: &Dial) -> Result<BoxStream, String> {
        let asked = async {
            let mut stream = self.link.dial(ports::FORWARD).await.map_err(|err| err.to_string())?;
            frame::write(&mut stream, target).await.map_err(|err| err.to_string())?;
            Ok(stream)
        };
        let mut stream = within(self.limits.patience, asked).await?;
        let answer = async { frame::read::<Dialled>(&mut stream).await.map_err(|err| err.to_string()) };
        match within(self.limits.connecting, answer).await? {
            Some(Dialled::Connected) => Ok(stream),
            Some(Dialled::Failed { reason }) => Err(reason),
            None => Err("the guest hung up".to_owned()),
        }
    }
}

async fn within<T>(patience: Duration, work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    tokio::time::timeout(patience, work).await.unwrap_or_else(|_| Err("no answer in time".to_owned()))
}

/// A guest's text as it may stand in a log: bounded, one line.
fn printable(text: &str) -> String {
    text.chars().take(128).map(|c| if c.is_control() { '?' } else { c }).collect()
}
