//! Why a published port does not answer: each hop between the user's computer and the listening process, and the first that
//! fails, in plain words.
//!
//! ```text
//! container runs ──▶ port published ──▶ address on a bridge ──▶ a process listens where it is reached ──▶ it answers
//! ```
//!
//! The hops before these (the host's listener, the link into the machine) are the asking program's to try: it is there.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use cubby_network::sockets::{self, Listener, Transport};
use serde::Serialize;

use super::{Containers, model::Record, ports};
use crate::error::{Error, Result};
use crate::networks::NetworkMode;

/// A container is a few microseconds away; what takes longer is dropped on the way.
const PATIENCE: Duration = Duration::from_secs(2);

/// The answer of `GET /cubby/containers/{id}/ports`.
#[derive(Clone, Debug, Serialize)]
pub struct PortReport {
    pub id: String,
    pub name: String,
    /// Docker's word for the container's state.
    pub status: String,
    /// One entry for each host port (or each wish, while nothing is published).
    pub ports: Vec<PortHops>,
    /// What listens in the container, published or not: `127.0.0.1:3000/tcp`.
    pub listeners: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct PortHops {
    /// `80/tcp`
    pub container_port: String,
    /// Empty while nothing is published.
    pub host_ip: String,
    pub host_port: String,
    /// In the order a connection takes; those after a failed one are left out.
    pub hops: Vec<Hop>,
    /// The failed hop's text.
    pub problem: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hop {
    /// `container`, `published`, `bridge`, `process`, `answer`
    pub name: &'static str,
    pub ok: bool,
    /// A sentence for a person.
    pub text: String,
}

/// What is known of a running container when its ports are looked at.
struct Scene {
    record: std::sync::Arc<Record>,
    address: Option<IpAddr>,
    tcp: Vec<Listener>,
    udp: Vec<Listener>,
}

impl Containers {
    /// Looks at every port of a container now.
    ///
    /// # Errors
    /// Not found.
    pub async fn check_ports(&self, name_or_id: &str) -> Result<PortReport> {
        let record = self.find(name_or_id)?.record();
        let scene = look(record, self.parts.networks.endpoints(&self.find(name_or_id)?.id)).await?;
        let mut ports = Vec::new();
        for (container_port, host_ip, host_port) in places(&scene.record) {
            let hops = scene.hops(&container_port, &host_ip, &host_port).await;
            let problem = hops.iter().find(|hop| !hop.ok).map(|hop| hop.text.clone());
            ports.push(PortHops { container_port, host_ip, host_port, hops, problem });
        }
        let shown = |listeners: &[Listener], protocol: &str| {
            listeners.iter().map(|listener| format!("{}/{protocol}", listener.at)).collect::<Vec<_>>()
        };
        Ok(PortReport {
            id: scene.record.id.clone(),
            name: scene.record.name.clone(),
            status: scene.record.state.status().to_owned(),
            ports,
            listeners: [shown(&scene.tcp, "tcp"), shown(&scene.udp, "udp")].concat(),
        })
    }
}

async fn look(
    record: std::sync::Arc<Record>,
    endpoints: std::collections::HashMap<String, bollard_stubs::models::EndpointSettings>,
) -> Result<Scene> {
    let shown = endpoints.values().flat_map(|endpoint| [&endpoint.ip_address, &endpoint.global_ipv6_address]);
    let address = shown.flatten().find_map(|text| text.parse().ok());
    let process = record.state.has_process().then(|| PathBuf::from(format!("/proc/{}", record.state.pid)));
    let read = tokio::task::spawn_blocking(move || {
        let listeners = |transport| match &process {
            // Why nothing then: the process ended between the record and this look.
            Some(process) => sockets::listeners(process, transport).unwrap_or_default(),
            None => Vec::new(),
        };
        // The name server of ours is no business of the user's.
        let own = |listener: &Listener| listener.at.ip() != cubby_network::dns::ADDRESS;
        let only = |list: Vec<Listener>| list.into_iter().filter(own).collect::<Vec<_>>();
        (only(listeners(Transport::Tcp)), only(listeners(Transport::Udp)))
    });
    let (tcp, udp) = read.await.map_err(|error| Error::system("look at the container's sockets", error))?;
    Ok(Scene { record, address, tcp, udp })
}

/// Port, host address and host port of everything published, else of everything that was asked for.
fn places(record: &Record) -> Vec<(String, String, String)> {
    let published = record.ports.iter().flat_map(|(port, bindings)| {
        let bindings = bindings.iter().flatten();
        bindings.map(|binding| (port.clone(), binding.host_ip.clone(), binding.host_port.clone()))
    });
    let published: Vec<_> = published.collect();
    if !published.is_empty() {
        return published;
    }
    let asked = record.host_config.port_bindings.iter().flatten();
    asked.map(|(port, _)| (ports::normal(port), String::new(), String::new())).collect()
}

impl Scene {
    async fn hops(&self, port: &str, host_ip: &str, host_port: &str) -> Vec<Hop> {
        let mut hops: Vec<Hop> = Vec::new();
        for step in [self.runs(), self.is_published(host_ip, host_port), self.has_address()] {
            let ok = step.ok;
            hops.push(step);
            if !ok {
                return hops;
            }
        }
        let (Some((number, protocol)), Some(address)) = (ports::split(port), self.address) else { return hops };
        if protocol == "sctp" {
            // The kernel has no table that would tell who listens.
            return hops;
        }
        let listeners = if protocol == "udp" { &self.udp } else { &self.tcp };
        let process = listens(number, protocol, address, listeners).await;
        let ok = process.ok;
        hops.push(process);
        if ok && protocol == "tcp" {
            hops.push(answers(address, number).await);
        }
        hops
    }

    fn runs(&self) -> Hop {
        let state = &self.record.state;
        if state.has_process() {
            return hop("container", true, format!("the container runs (pid {})", state.pid));
        }
        let how = match state.status() {
            // Why first: a port that was taken is the reason more often than any other.
            _ if !state.error.is_empty() => format!("its start failed: {}", state.error),
            "exited" => format!("it exited with code {}", state.exit_code),
            status => format!("its state is {status}"),
        };
        hop("container", false, format!("the container does not run: {how}"))
    }

    fn is_published(&self, host_ip: &str, host_port: &str) -> Hop {
        if !host_port.is_empty() {
            let host = if host_ip.contains(':') { format!("[{host_ip}]") } else { host_ip.to_owned() };
            return hop("published", true, format!("published on {host}:{host_port}"));
        }
        let mode = NetworkMode::parse(&self.record.host_config.network_mode);
        let why = match &mode {
            NetworkMode::Host => {
                "the container shares the host's network, so its ports are not published: they are the host's own"
                    .to_owned()
            }
            mode if !mode.is_private() => format!("a container with network mode {mode} has no ports to publish"),
            _ => "the port is not published: it was when the container started, or never".to_owned(),
        };
        hop("published", false, why)
    }

    fn has_address(&self) -> Hop {
        match self.address {
            Some(address) => hop("bridge", true, format!("the container's address is {address}")),
            None => hop("bridge", false, "the container is on no network: docker network connect".to_owned()),
        }
    }
}

fn hop(name: &'static str, ok: bool, text: String) -> Hop {
    Hop { name, ok, text }
}

/// Whether some process listens where connections to `address` arrive, and if none does, what is there instead.
async fn listens(port: u16, protocol: &str, address: IpAddr, listeners: &[Listener]) -> Hop {
    let reached = |listener: &&Listener| {
        let ip = listener.at.ip();
        // `[::]` takes IPv4 too, unless the program says otherwise; then the next hop tells.
        ip == address || ip.is_unspecified() && (ip.is_ipv6() || address.is_ipv4())
    };
    let on_port: Vec<&Listener> = listeners.iter().filter(|listener| listener.at.port() == port).collect();
    if let Some(listener) = on_port.iter().copied().find(reached) {
        let who = who(listener).await;
        return hop("process", true, format!("{who} listens on {}/{protocol}", listener.at));
    }
    if let Some(listener) = on_port.first() {
        let who = who(listener).await;
        return hop(
            "process",
            false,
            format!(
                "{who} listens on {} only, which nothing outside the container reaches: let it listen on 0.0.0.0:{port}",
                listener.at
            ),
        );
    }
    let mut others: Vec<String> = listeners.iter().map(|listener| listener.at.to_string()).collect();
    others.sort();
    others.dedup();
    let instead = match others.as_slice() {
        [] => String::new(),
        [one] => format!("; it listens on {one}"),
        many => format!("; it listens on {}", many[..many.len().min(8)].join(", ")),
    };
    hop("process", false, format!("nothing in the container listens on {port}{}{instead}", udp_note(protocol)))
}

fn udp_note(protocol: &str) -> &'static str {
    if protocol == "udp" { " (UDP)" } else { "" }
}

async fn who(listener: &Listener) -> String {
    let inode = listener.inode;
    let found = tokio::task::spawn_blocking(move || sockets::holder(inode)).await;
    found.ok().flatten().unwrap_or_else(|| "a process".to_owned())
}

async fn answers(address: IpAddr, port: u16) -> Hop {
    let at = std::net::SocketAddr::new(address, port);
    match tokio::time::timeout(PATIENCE, tokio::net::TcpStream::connect(at)).await {
        Ok(Ok(_)) => hop("answer", true, format!("it takes connections to {at}")),
        Ok(Err(error)) => hop("answer", false, format!("a connection to {at} fails: {error}")),
        Err(_) => hop(
            "answer",
            false,
            format!(
                "a connection to {at} is not answered: is there a firewall in the container, or is the program stuck?"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn said(port: u16, listening: &[&str]) -> String {
        let listeners = listening.iter().map(|at| Listener { at: at.parse().unwrap(), inode: 0 });
        let listeners: Vec<_> = listeners.collect();
        listens(port, "tcp", [172, 17, 0, 2].into(), &listeners).await.text
    }

    #[tokio::test]
    async fn the_reason_says_what_is_there_instead() {
        assert_eq!(said(80, &[]).await, "nothing in the container listens on 80");
        assert_eq!(
            said(80, &["127.0.0.1:3000"]).await,
            "nothing in the container listens on 80; it listens on 127.0.0.1:3000"
        );
        assert!(said(80, &["127.0.0.1:80"]).await.contains("127.0.0.1:80 only"));
        assert!(said(80, &["[::1]:80"]).await.contains("[::1]:80 only"));
        for open in ["0.0.0.0:80", "[::]:80", "172.17.0.2:80"] {
            assert_eq!(said(80, &[open]).await, format!("a process listens on {open}/tcp"));
        }
    }
}
