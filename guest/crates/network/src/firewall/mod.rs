//! Rules: one nftables table of our own, always written whole and in one transaction. Other tables are never touched.
//!
//! | traffic | what happens |
//! |---|---|
//! | from a network to the outside | leaves under the host's address, unless the network is internal |
//! | answers to it | pass |
//! | into a network from anywhere else, other networks included | dropped; published ports do not come this way |
//! | between containers of one network | never routed, so no rule sees it; ports of the bridge are isolated instead |
//! | between the host and a network | not forwarded, so no rule sees it |

mod encode;

use std::net::{Ipv4Addr, SocketAddrV4};

use encode::{
    Batch, Expression, HOOK_FORWARD, HOOK_OUTPUT, HOOK_POSTROUTING, INET, IP, Is, PRIORITY_DNAT, PRIORITY_FILTER,
    PRIORITY_SNAT,
};

use crate::{
    error::{Context, Result},
    netlink::Netlink,
    subnet::Subnet,
};

const TCP: u8 = 6;
const UDP: u8 = 17;

/// A network as the rules see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridge {
    pub name: String,
    pub subnet: Subnet,
    /// Nothing leaves.
    pub internal: bool,
    /// What leaves does so under the host's address.
    pub masquerade: bool,
}

/// Writes the table `inet <table>` anew.
pub fn apply(table: &str, bridges: &[Bridge]) -> Result<()> {
    let mut batch = Batch::new(INET);
    batch.fresh_table(table);
    batch.chain(table, "forward", "filter", HOOK_FORWARD, PRIORITY_FILTER);
    batch.chain(table, "postrouting", "nat", HOOK_POSTROUTING, PRIORITY_SNAT);
    batch.rule(table, "forward", vec![Expression::EstablishedOrRelated, Expression::Accept]);
    for bridge in bridges {
        let (into, out_of) = (
            [Expression::Output(bridge.name.clone(), Is::This), Expression::Input(bridge.name.clone(), Is::Another)],
            [Expression::Input(bridge.name.clone(), Is::This), Expression::Output(bridge.name.clone(), Is::Another)],
        );
        batch.rule(table, "forward", [into.to_vec(), vec![Expression::Drop]].concat());
        if bridge.internal {
            batch.rule(table, "forward", [out_of.to_vec(), vec![Expression::Drop]].concat());
        }
        if bridge.masquerade {
            let leaves = vec![
                Expression::SourceIn(bridge.subnet),
                Expression::Output(bridge.name.clone(), Is::Another),
                Expression::Masquerade,
            ];
            batch.rule(table, "postrouting", leaves);
        }
    }
    commit(batch, table)
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
