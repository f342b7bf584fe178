//! Published ports: reading what was asked, and turning it into what a [`crate::ports::Publisher`] opens.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use cubby_wire::{
    forward::{Dial, Protocol},
    publish::Port,
};

use super::model::{PortBinding, PortMap, Record};
use crate::error::{Error, Result};

/// `80/tcp` as number and protocol.
pub fn split(port: &str) -> Option<(u16, &str)> {
    let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
    let number = number.parse().ok().filter(|number| *number > 0)?;
    matches!(protocol, "tcp" | "udp" | "sctp").then_some((number, protocol))
}

/// `8080` or `8000-9000`; empty is any.
fn range(text: &str) -> Option<(u16, u16)> {
    if text.is_empty() {
        return Some((0, 0));
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((first, last))
}

pub fn check(ports: Option<&PortMap>) -> Result<()> {
    for (port, bindings) in ports.into_iter().flatten() {
        if split(port).is_none() {
            return Err(Error::invalid(format!("invalid port specification: {port:?}")));
        }
        for binding in bindings.iter().flatten() {
            if range(&binding.host_port).is_none() {
                return Err(Error::invalid(format!("invalid port specification: {:?}", binding.host_port)));
            }
            if !binding.host_ip.is_empty() && binding.host_ip.parse::<IpAddr>().is_err() {
                return Err(Error::invalid(format!("invalid IP address: {}", binding.host_ip)));
            }
        }
    }
    Ok(())
}

/// What a start has to publish: which port each wish is for, and the wish.
pub fn wanted(record: &Record, address: IpAddr) -> Result<(Vec<String>, Vec<Port>)> {
    let (mut names, mut ports) = (Vec::new(), Vec::new());
    for (name, bindings) in bindings(record) {
        let Some((number, protocol)) = split(&name) else { continue };
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => Protocol::Sctp,
        };
        for binding in bindings {
            let (host_port, host_port_end) = range(&binding.host_port).unwrap_or_default();
            let target = Dial { protocol, address, port: number };
            for host_ip in host_addresses(&binding.host_ip, protocol)? {
                names.push(name.clone());
                ports.push(Port { protocol, host_ip, host_port, host_port_end, target: target.clone() });
            }
        }
    }
    Ok((names, ports))
}

/// Where a port shall be open: nothing said means every address of either family, in this order.
///
/// # Errors
/// Of SCTP the kernel alone forwards, and only what comes from outside over IPv4; a promise beyond that is refused.
fn host_addresses(asked: &str, protocol: Protocol) -> Result<Vec<IpAddr>> {
    let every = [IpAddr::from(Ipv4Addr::UNSPECIFIED), Ipv6Addr::UNSPECIFIED.into()];
    match (asked.parse::<IpAddr>(), protocol) {
        (Ok(address), Protocol::Sctp) if address.is_ipv6() || address.is_loopback() => {
            Err(Error::not_implemented(format!(
                "publishing sctp ports on {address} is not supported: only what comes from outside over IPv4 is forwarded"
            )))
        }
        (Ok(address), _) => Ok(vec![address]),
        (Err(_), Protocol::Sctp) => Ok(every[..1].to_vec()),
        (Err(_), _) => Ok(every.to_vec()),
    }
}

/// Every wish, `--publish-all` included; a port without a binding gets any.
fn bindings(record: &Record) -> BTreeMap<String, Vec<PortBinding>> {
    let any = || vec![PortBinding::default()];
    let mut all: BTreeMap<String, Vec<PortBinding>> = BTreeMap::new();
    for (port, bindings) in record.host_config.port_bindings.iter().flatten() {
        let bindings = bindings.clone().filter(|list| !list.is_empty()).unwrap_or_else(any);
        all.insert(normal(port), bindings);
    }
    if record.host_config.publish_all_ports {
        for port in record.config.exposed_ports.iter().flatten().map(|(port, _)| port) {
            all.entry(normal(port)).or_insert_with(any);
        }
    }
    all
}

pub fn normal(port: &str) -> String {
    if port.contains('/') { port.to_owned() } else { format!("{port}/tcp") }
}

/// `NetworkSettings.Ports` of a running container.
pub fn published(record: &Record, names: &[String], ports: &[Port], host_ports: &[u16]) -> PortMap {
    let mut map: PortMap = record.config.exposed_ports.iter().flatten().map(|(port, _)| (normal(port), None)).collect();
    for ((name, port), host_port) in names.iter().zip(ports).zip(host_ports) {
        let binding = PortBinding { host_ip: port.host_ip.to_string(), host_port: host_port.to_string() };
        map.entry(name.clone()).or_default().get_or_insert_default().push(binding);
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_ranges() {
        assert_eq!(split("80/udp"), Some((80, "udp")));
        assert_eq!(split("80"), Some((80, "tcp")));
        for bad in ["0/tcp", "x", "70000/tcp", "80/icmp", ""] {
            assert_eq!(split(bad), None, "{bad}");
        }
        assert_eq!(range("8000-8010"), Some((8000, 8010)));
        assert_eq!(range("9-8"), None);
    }

    #[test]
    fn sctp_is_published_where_the_kernel_forwards_it() {
        let places = |asked: &str, protocol| host_addresses(asked, protocol).map(|list| list.len());
        assert_eq!(places("", Protocol::Tcp).unwrap(), 2);
        assert_eq!(host_addresses("", Protocol::Sctp).unwrap(), [IpAddr::from(Ipv4Addr::UNSPECIFIED)]);
        assert_eq!(places("192.0.2.1", Protocol::Sctp).unwrap(), 1);
        for refused in ["127.0.0.1", "::1", "::"] {
            assert!(places(refused, Protocol::Sctp).is_err() && places(refused, Protocol::Udp).is_ok(), "{refused}");
        }
    }
}
