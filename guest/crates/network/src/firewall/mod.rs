//! Rules: one nftables table of our own, always written whole and in one transaction. Other tables are never touched.
//!
//! | traffic | what happens |
//! |---|---|
//! | from a network to the outside | leaves under the host's address, unless the network is internal |
//! | answers to it | pass |
//! | from outside to a published port | natively: the kernel rewrites the destination, so the container sees who asks |
//! | into a network from anywhere else, other networks included | dropped; ports that were published aside |
//! | between containers of one network | never routed, so no rule sees it; ports of the bridge are isolated instead |
//! | between the host and a network | not forwarded, so no rule sees it |

mod encode;

use std::net::{Ipv4Addr, SocketAddrV4};

pub use encode::DroppingChain;

use encode::{
    Batch, Expression, HOOK_FORWARD, HOOK_OUTPUT, HOOK_POSTROUTING, HOOK_PREROUTING, INET, IP, Is, PRIORITY_DNAT,
    PRIORITY_FILTER, PRIORITY_SNAT,
};

use crate::{
    error::{Context, Result},
    netlink::Netlink,
    subnet::Subnet,
};

const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;

/// A network as the rules see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridge {
    pub name: String,
    pub subnets: Vec<Subnet>,
    /// Nothing leaves.
    pub internal: bool,
    /// What leaves does so under the host's address.
    pub masquerade: bool,
}

/// What a port is one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carries {
    Tcp,
    Sctp,
}

/// A port of this machine that leads into a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    pub carries: Carries,
    /// Only what comes to this address; none: to any of the machine's.
    pub address: Option<Ipv4Addr>,
    pub port: u16,
    pub target: SocketAddrV4,
}

/// A map of published ports.
struct Map {
    name: &'static str,
    /// By which rules of the same transaction name it.
    id: u32,
    carries: Carries,
    /// Its ports are those of a particular address each, not of any.
    by_address: bool,
}

/// In the order in which they are asked: the particular first.
const MAPS: [Map; 4] = [
    Map { name: "address-ports", id: 2, carries: Carries::Tcp, by_address: true },
    Map { name: "ports", id: 1, carries: Carries::Tcp, by_address: false },
    Map { name: "sctp-address-ports", id: 4, carries: Carries::Sctp, by_address: true },
    Map { name: "sctp-ports", id: 3, carries: Carries::Sctp, by_address: false },
];

/// Writes the table `inet <table>` anew. `ports`: published ports that the kernel forwards by itself; none: it forwards none,
/// and connections reach whoever listens on this machine.
///
/// Packets that come out of a network of ours are left to that listener, who is not bound by the isolation of networks.
pub fn apply(table: &str, bridges: &[Bridge], ports: Option<&[Forward]>) -> Result<()> {
    let mut batch = Batch::new(INET);
    batch.fresh_table(table);
    batch.chain(table, "forward", "filter", HOOK_FORWARD, PRIORITY_FILTER);
    batch.chain(table, "postrouting", "nat", HOOK_POSTROUTING, PRIORITY_SNAT);
    batch.rule(table, "forward", vec![Expression::EstablishedOrRelated, Expression::Accept]);
    if let Some(ports) = ports {
        forward_ports(&mut batch, table, bridges, ports);
    }
    for bridge in bridges {
        let (into, out_of) = (
            [Expression::Output(bridge.name.clone(), Is::This), Expression::Input(bridge.name.clone(), Is::Another)],
            [Expression::Input(bridge.name.clone(), Is::This), Expression::Output(bridge.name.clone(), Is::Another)],
        );
        batch.rule(table, "forward", [into.to_vec(), vec![Expression::Drop]].concat());
        if bridge.internal {
            batch.rule(table, "forward", [out_of.to_vec(), vec![Expression::Drop]].concat());
        }
        for subnet in bridge.subnets.iter().filter(|_| bridge.masquerade) {
            let leaves = vec![
                Expression::SourceIn(*subnet),
                Expression::Output(bridge.name.clone(), Is::Another),
                Expression::Masquerade,
            ];
            batch.rule(table, "postrouting", leaves);
        }
    }
    commit(batch, table)
}

fn forward_ports(batch: &mut Batch, table: &str, bridges: &[Bridge], ports: &[Forward]) {
    batch.chain(table, "prerouting", "nat", HOOK_PREROUTING, PRIORITY_DNAT);
    for map in &MAPS {
        batch.map(table, map.name, map.id, if map.by_address { 2 } else { 1 });
    }
    batch.rule(table, "forward", vec![Expression::DestinationChanged, Expression::Accept]);
    for bridge in bridges {
        batch.rule(table, "prerouting", vec![Expression::Input(bridge.name.clone(), Is::This), Expression::Accept]);
    }
    for Map { name, id, carries, by_address } in MAPS {
        let rewrite = Expression::DestinationFrom { map: name, id, by_address };
        let protocol = if carries == Carries::Tcp { TCP } else { SCTP };
        batch.rule(table, "prerouting", vec![Expression::Ipv4(protocol), Expression::ToThisMachine, rewrite]);
    }
    elements(ports, |map, elements| batch.add_elements(table, map, elements));
}

/// Adds ports to those of [`apply`].
pub fn open_ports(table: &str, ports: &[Forward]) -> Result<()> {
    let mut batch = Batch::new(INET);
    elements(ports, |map, elements| batch.add_elements(table, map, elements));
    commit(batch, table)
}

/// Takes ports away that are in the table.
pub fn close_ports(table: &str, ports: &[Forward]) -> Result<()> {
    let mut batch = Batch::new(INET);
    elements(ports, |map, elements| batch.delete_elements(table, map, elements));
    commit(batch, table)
}

/// The elements of each map. Every part of a key or value fills 4 bytes.
fn elements(ports: &[Forward], mut each: impl FnMut(&str, &[(Vec<u8>, [u8; 8])])) {
    let part = |port: u16| {
        let [high, low] = port.to_be_bytes();
        [high, low, 0, 0]
    };
    for map in &MAPS {
        let wanted =
            ports.iter().filter(|port| (port.carries, port.address.is_some()) == (map.carries, map.by_address));
        let elements = wanted.map(|port| {
            let mut key = port.address.map(|address| address.octets().to_vec()).unwrap_or_default();
            key.extend(part(port.port));
            let mut value = [0; 8];
            value[..4].copy_from_slice(&port.target.ip().octets());
            value[4..].copy_from_slice(&part(port.target.port()));
            (key, value)
        });
        let elements: Vec<_> = elements.collect();
        if !elements.is_empty() {
            each(map.name, &elements);
        }
    }
}

/// Chains of others that drop forwarded packets unless told otherwise: what comes to or from a container then needs a rule of
/// theirs.
pub fn foreign_drops(own: impl Fn(&str) -> bool) -> Result<Vec<DroppingChain>> {
    let listed = Netlink::netfilter().and_then(|mut netlink| encode::dropping_forward_chains(&mut netlink));
    let chains = listed.context(|| "list nftables chains".to_owned())?;
    Ok(chains.into_iter().filter(|chain| !own(&chain.table)).collect())
}

/// Removes the table; an absent one is fine.
pub fn remove(table: &str) -> Result<()> {
    let mut batch = Batch::new(INET);
    batch.table(table);
    batch.delete_table(table);
    commit(batch, table)
}

/// Inside a sandbox: what is sent to port 53 of `address` goes to the sockets that really serve it. Must run on a thread that is
/// in the sandbox.
///
/// Why: a server on port 53 itself would keep containers from binding that port on all addresses.
pub(crate) fn redirect_dns(address: Ipv4Addr, udp: SocketAddrV4, tcp: SocketAddrV4) -> std::io::Result<()> {
    match commit_redirect(address, udp, tcp, |batch, table| batch.new_table(table)) {
        // Why only then: replacing waits for the former rules to be out of use, ten milliseconds that a new container has not.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            commit_redirect(address, udp, tcp, |batch, table| batch.fresh_table(table))
        }
        done => done,
    }
}

fn commit_redirect(
    address: Ipv4Addr,
    udp: SocketAddrV4,
    tcp: SocketAddrV4,
    make: impl FnOnce(&mut Batch, &str),
) -> std::io::Result<()> {
    let table = "cubby-dns";
    let mut batch = Batch::new(IP);
    make(&mut batch, table);
    batch.chain(table, "output", "nat", HOOK_OUTPUT, PRIORITY_DNAT);
    for (protocol, server) in [(UDP, udp), (TCP, tcp)] {
        let rule = vec![
            Expression::Destination(address),
            Expression::DestinationPort(protocol, 53),
            Expression::Redirect(*server.ip(), server.port()),
        ];
        batch.rule(table, "output", rule);
    }
    batch.commit(&mut Netlink::netfilter()?)
}

fn commit(batch: Batch, table: &str) -> Result<()> {
    let mut netlink = Netlink::netfilter().context(|| "open nftables socket".to_owned())?;
    batch.commit(&mut netlink).context(|| format!("write nftables table {table}"))
}
