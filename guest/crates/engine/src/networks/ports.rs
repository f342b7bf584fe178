//! Published ports that the kernel forwards by itself: natively, what comes from outside goes straight to the container, which
//! then sees who asks. The publisher's listener stays: it holds the port, and serves this machine's own processes and other
//! containers.
//!
//! TCP over IPv4 alone. UDP is left to the listener, because the kernel would go on sending a flow to a container that is gone.
//! SCTP, which no listener serves, is the kernel's alone.

use std::{net::IpAddr, sync::Arc};

use cubby_network::firewall::{Carries, Forward};
use cubby_wire::{forward::Protocol, publish::Port};

use super::Networks;
use crate::error::{Error, Result};

impl Networks {
    /// Lets the kernel forward a running container's ports, until it leaves. What cannot be forwarded is the listener's.
    ///
    /// # Errors
    /// When a port that has no listener cannot be forwarded.
    pub async fn open_ports(self: &Arc<Self>, container_id: &str, ports: &[Port], host_ports: &[u16]) -> Result<()> {
        let forwards = ports.iter().zip(host_ports).filter_map(|(port, host_port)| forward(port, *host_port));
        let forwards: Vec<Forward> = forwards.collect();
        if forwards.is_empty() {
            return Ok(());
        }
        let relayed = forwards.iter().all(|forward| forward.carries == Carries::Tcp);
        let (networks, id) = (self.clone(), container_id.to_owned());
        let opened = tokio::task::spawn_blocking(move || {
            let _turn = networks.rules_turn();
            networks.kernel.open_ports(&id, forwards)
        });
        let opened = opened.await.unwrap_or_else(|error| Err(Error::system("forward published ports", error)));
        if let Err(error) = &opened
            && relayed
        {
            tracing::warn!(container_id, err = %error, "the kernel forwards no ports: a relay does");
            return Ok(());
        }
        opened
    }

    /// Takes the ports of a container that has left out of the kernel.
    pub(super) async fn close_ports(self: &Arc<Self>, container_id: &str) {
        if !self.kernel.has_ports(container_id) {
            return;
        }
        let (networks, id) = (self.clone(), container_id.to_owned());
        let closed = tokio::task::spawn_blocking(move || {
            let _turn = networks.rules_turn();
            networks.kernel.close_ports(&id)
        });
        if let Ok(Err(error)) = closed.await {
            tracing::warn!(container_id, err = %error, "forwarded ports stay in the kernel");
        }
    }
}

fn forward(port: &Port, host_port: u16) -> Option<Forward> {
    let IpAddr::V4(target) = port.target.address else { return None };
    let address = match port.host_ip {
        IpAddr::V4(address) if address.is_unspecified() => None,
        // Why: what comes to a loopback address comes from this machine.
        IpAddr::V4(address) if !address.is_loopback() => Some(address),
        _ => return None,
    };
    let carries = match port.protocol {
        Protocol::Tcp => Carries::Tcp,
        Protocol::Sctp => Carries::Sctp,
        Protocol::Udp => return None,
    };
    let target = std::net::SocketAddrV4::new(target, port.target.port);
    Some(Forward { carries, address, port: host_port, target })
}

#[cfg(test)]
mod tests {
    use cubby_wire::forward::Dial;

    use super::*;

    #[test]
    fn only_what_comes_from_outside_over_tcp_and_ipv4_is_forwarded() {
        let asked = |host: &str, protocol| {
            let target = Dial { protocol, address: [172, 17, 0, 2].into(), port: 80 };
            let port = Port { protocol, host_ip: host.parse().unwrap(), host_port: 0, host_port_end: 0, target };
            forward(&port, 8080)
        };
        let any = asked("0.0.0.0", Protocol::Tcp).unwrap();
        assert_eq!((any.address, any.port, any.target.to_string().as_str()), (None, 8080, "172.17.0.2:80"));
        assert_eq!(asked("192.0.2.1", Protocol::Tcp).unwrap().address, Some([192, 0, 2, 1].into()));
        for host in ["127.0.0.1", "::", "::1"] {
            assert_eq!(asked(host, Protocol::Tcp), None, "{host}");
        }
        assert_eq!(asked("0.0.0.0", Protocol::Udp), None);
        assert_eq!(asked("0.0.0.0", Protocol::Sctp).unwrap().carries, Carries::Sctp);
    }
}
