//! nftables' wire form: the handful of messages and expressions our rules are made of.
//!
//! A transaction is one datagram: `BATCH_BEGIN`, messages, `BATCH_END`; the kernel applies all of it or nothing. A rule is a
//! list of expressions that load registers, compare them, and end in a verdict. Register 0 is the verdict, 1 to 4 hold 16 bytes
//! each. Integers in attributes are big-endian, data in registers is as in the packet (or host order for `ct` and `meta`).
//! Source: include/uapi/linux/netfilter/{nf_tables,nfnetlink}.h.

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
};

use crate::{
    netlink::{
        Netlink,
        message::{ACK, APPEND, CREATE, EXCLUSIVE, Message, attributes, text},
    },
    subnet::Subnet,
};

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEWTABLE: u16 = SUBSYSTEM << 8;
const DELTABLE: u16 = (SUBSYSTEM << 8) | 2;
const NEWCHAIN: u16 = (SUBSYSTEM << 8) | 3;
const GETCHAIN: u16 = (SUBSYSTEM << 8) | 4;
const NEWRULE: u16 = (SUBSYSTEM << 8) | 6;
const NEWSET: u16 = (SUBSYSTEM << 8) | 9;
const NEWELEMENT: u16 = (SUBSYSTEM << 8) | 12;
const DELELEMENT: u16 = (SUBSYSTEM << 8) | 14;
const NFPROTO_IPV4: u8 = 2;
const NFPROTO_IPV6: u8 = 10;

/// Address families of tables.
pub const INET: u8 = 1;
pub const IP: u8 = 2;

pub const HOOK_PREROUTING: u32 = 0;
pub const HOOK_FORWARD: u32 = 2;
pub const HOOK_OUTPUT: u32 = 3;
pub const HOOK_POSTROUTING: u32 = 4;
pub const PRIORITY_DNAT: i32 = -100;
pub const PRIORITY_FILTER: i32 = 0;
pub const PRIORITY_SNAT: i32 = 100;

const VERDICT_REGISTER: u32 = 0;
const DROP: u32 = 0;
const ACCEPT: u32 = 1;
const EQUAL: u32 = 0;
const UNEQUAL: u32 = 1;
/// `NFT_SET_MAP`.
const MAP: u32 = 8;
/// The first of the registers of 4 bytes each, in which keys and values of several parts are put together.
const REGISTER32: u32 = 8;
/// `IPS_DST_NAT`: the destination of the connection was rewritten.
const DESTINATION_CHANGED: u32 = 1 << 5;
/// `RTN_LOCAL`.
const LOCAL: u32 = 2;
/// `NF_CT_STATE_BIT` of established and related.
const ESTABLISHED_RELATED: u32 = 0b110;

/// A transaction that is being written.
pub struct Batch {
    family: u8,
    messages: Vec<(u16, Message)>,
}

impl Batch {
    pub fn new(family: u8) -> Self {
        Self { family, messages: vec![(0, Message::new(BATCH_BEGIN, 0, &header(0, SUBSYSTEM)))] }
    }

    fn push(&mut self, kind: u16, flags: u16, fill: impl FnOnce(Message) -> Message) {
        let message = Message::new(kind, flags | ACK, &header(self.family, 0));
        self.messages.push((flags | ACK, fill(message)));
    }

    /// An empty table of that name, whatever was in it before.
    pub fn fresh_table(&mut self, table: &str) {
        self.table(table);
        self.delete_table(table);
        self.table(table);
    }

    /// Creates the table; the transaction fails when there is one of that name.
    pub fn new_table(&mut self, table: &str) {
        self.push(NEWTABLE, CREATE | EXCLUSIVE, |m| m.text(1, table));
    }

    /// Creates the table if it is missing.
    pub fn table(&mut self, table: &str) {
        self.push(NEWTABLE, CREATE, |m| m.text(1, table));
    }

    pub fn delete_table(&mut self, table: &str) {
        self.push(DELTABLE, 0, |m| m.text(1, table));
    }

    /// A base chain that lets pass what its rules do not decide. `kind` is `filter` or `nat`.
    pub fn chain(&mut self, table: &str, chain: &str, kind: &str, hook: u32, priority: i32) {
        self.push(NEWCHAIN, CREATE, |m| {
            m.text(1, table)
                .text(3, chain)
                .nested(4, |m| m.be32(1, hook).be32(2, priority as u32))
                .be32(5, ACCEPT)
                .text(7, kind)
        });
    }

    pub fn rule(&mut self, table: &str, chain: &str, expressions: Vec<Expression>) {
        self.push(NEWRULE, CREATE | APPEND, |m| {
            m.text(1, table).text(2, chain).nested(4, |m| expressions.into_iter().fold(m, |m, e| e.write(m)))
        });
    }

    /// A map from keys of `parts` 4-byte parts to an IPv4 address and a port. Rules of this transaction may name it.
    pub fn map(&mut self, table: &str, map: &str, id: u32, parts: u32) {
        self.push(NEWSET, CREATE, |m| {
            // The types are for `nft` to print; the kernel knows lengths alone.
            m.text(1, table).text(2, map).be32(3, MAP).be32(4, 0).be32(5, 4 * parts).be32(6, 0).be32(7, 8).be32(10, id)
        });
    }

    pub fn add_elements(&mut self, table: &str, map: &str, elements: &[(Vec<u8>, [u8; 8])]) {
        self.elements(NEWELEMENT, CREATE, table, map, elements);
    }

    /// The transaction fails when one of them is missing.
    pub fn delete_elements(&mut self, table: &str, map: &str, elements: &[(Vec<u8>, [u8; 8])]) {
        self.elements(DELELEMENT, 0, table, map, elements);
    }

    fn elements(&mut self, kind: u16, flags: u16, table: &str, map: &str, elements: &[(Vec<u8>, [u8; 8])]) {
        // Why in pieces: a nested attribute's length has 16 bits.
        for some in elements.chunks(512) {
            self.push(kind, flags, |m| {
                m.text(1, table).text(2, map).nested(3, |m| {
                    some.iter().fold(m, |m, (key, value)| {
                        m.nested(1, |m| {
                            let m = m.nested(1, |m| m.attribute(1, key));
                            if kind == NEWELEMENT { m.nested(2, |m| m.attribute(1, value)) } else { m }
                        })
                    })
                })
            });
        }
    }

    /// Hands the transaction to the kernel.
    pub fn commit(mut self, netlink: &mut Netlink) -> io::Result<()> {
        self.messages.push((0, Message::new(BATCH_END, 0, &header(0, SUBSYSTEM))));
        netlink.batch(self.messages)
    }
}

/// `struct nfgenmsg`.
fn header(family: u8, resource: u16) -> [u8; 4] {
    let [high, low] = resource.to_be_bytes();
    [family, 0, high, low]
}

/// A chain that sees forwarded packets and drops what its rules do not let pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DroppingChain {
    pub table: String,
    pub chain: String,
}

/// Everybody's chains of that kind.
pub fn dropping_forward_chains(netlink: &mut Netlink) -> io::Result<Vec<DroppingChain>> {
    let mut found = Vec::new();
    netlink.dump(GETCHAIN, &header(0, 0), |_, payload| {
        let (mut chain, mut hook, mut policy) =
            (DroppingChain { table: String::new(), chain: String::new() }, None, None);
        for (kind, value) in attributes(payload.get(4..).unwrap_or_default()) {
            match kind & 0x3fff {
                1 => chain.table = text(value),
                3 => chain.chain = text(value),
                4 => hook = attributes(value).find(|(kind, _)| *kind == 1).and_then(|(_, value)| be32(value)),
                5 => policy = be32(value),
                _ => {}
            }
        }
        if hook == Some(HOOK_FORWARD) && policy == Some(DROP) {
            found.push(chain);
        }
    })?;
    Ok(found)
}

fn be32(value: &[u8]) -> Option<u32> {
    value.get(..4)?.try_into().ok().map(u32::from_be_bytes)
}

/// What a rule is made of, a step above the kernel's expressions.
#[derive(Clone, Debug)]
pub enum Expression {
    /// The packet entered (left) by that link; or by any other.
    Input(String, Is),
    Output(String, Is),
    SourceIn(Subnet),
    Destination(Ipv4Addr),
    /// The transport protocol and the port it goes to.
    DestinationPort(u8, u16),
    EstablishedOrRelated,
    /// The packet belongs to a connection whose destination some rule has rewritten.
    DestinationChanged,
    /// An IPv4 packet of that transport protocol.
    Ipv4(u8),
    /// The packet is for an address of this machine.
    ToThisMachine,
    /// Rewrites the destination to what the map of that name and id has for the packet's port, or for its address and port.
    DestinationFrom {
        map: &'static str,
        id: u32,
        by_address: bool,
    },
    Masquerade,
    Redirect(Ipv4Addr, u16),
    Accept,
    Drop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Is {
    This,
    Another,
}

impl Expression {
    fn write(self, m: Message) -> Message {
        match self {
            Self::Input(link, is) => compare(meta(m, 6), is, &link_name(&link)),
            Self::Output(link, is) => compare(meta(m, 7), is, &link_name(&link)),
            Self::SourceIn(subnet) => {
                let (family, offset) = if subnet.is_ipv6() { (NFPROTO_IPV6, 8) } else { (NFPROTO_IPV4, 12) };
                let (address, mask) = (octets(subnet.address()), octets(subnet.mask()));
                let m = compare(meta(m, 15), Is::This, &[family]);
                compare(masked(payload(m, 1, offset, address.len() as u32), &mask), Is::This, &address)
            }
            Self::Destination(address) => compare(payload(m, 1, 16, 4), Is::This, &address.octets()),
            Self::DestinationPort(protocol, port) => {
                let m = compare(meta(m, 16), Is::This, &[protocol]);
                compare(payload(m, 2, 2, 2), Is::This, &port.to_be_bytes())
            }
            Self::EstablishedOrRelated => {
                let m = expression(m, "ct", |m| m.be32(1, 1).be32(2, 0));
                compare(masked(m, &ESTABLISHED_RELATED.to_ne_bytes()), Is::Another, &[0; 4])
            }
            Self::DestinationChanged => {
                let m = expression(m, "ct", |m| m.be32(1, 1).be32(2, 2));
                compare(masked(m, &DESTINATION_CHANGED.to_ne_bytes()), Is::Another, &[0; 4])
            }
            Self::Ipv4(protocol) => {
                let m = compare(meta(m, 15), Is::This, &[NFPROTO_IPV4]);
                compare(meta(m, 16), Is::This, &[protocol])
            }
            Self::ToThisMachine => {
                let m = expression(m, "fib", |m| m.be32(1, 1).be32(2, 3).be32(3, 2));
                compare(m, Is::This, &LOCAL.to_ne_bytes())
            }
            Self::DestinationFrom { map, id, by_address } => {
                let key = REGISTER32;
                let m = if by_address { load(m, key, 1, 16, 4) } else { m };
                let m = load(m, key + u32::from(by_address), 2, 2, 2);
                let value = key + 2;
                let m = expression(m, "lookup", |m| m.text(1, map).be32(2, key).be32(3, value).be32(4, id));
                expression(m, "nat", |m| {
                    m.be32(1, 1).be32(2, u32::from(NFPROTO_IPV4)).be32(3, value).be32(5, value + 1)
                })
            }
            Self::Masquerade => expression(m, "masq", |m| m),
            Self::Redirect(address, port) => {
                let m = immediate(immediate(m, 1, &address.octets()), 2, &port.to_be_bytes());
                // DNAT, from registers 1 (address) and 2 (port).
                expression(m, "nat", |m| m.be32(1, 1).be32(2, u32::from(NFPROTO_IPV4)).be32(3, 1).be32(5, 2))
            }
            Self::Accept => verdict(m, ACCEPT),
            Self::Drop => verdict(m, DROP),
        }
    }
}

/// Link names are compared with their padding.
fn link_name(name: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    let len = name.len().min(15);
    bytes[..len].copy_from_slice(&name.as_bytes()[..len]);
    bytes
}

fn expression(m: Message, name: &str, data: impl FnOnce(Message) -> Message) -> Message {
    m.nested(1, |m| m.text(1, name).nested(2, data))
}

fn meta(m: Message, key: u32) -> Message {
    expression(m, "meta", |m| m.be32(1, 1).be32(2, key))
}

fn payload(m: Message, base: u32, offset: u32, len: u32) -> Message {
    load(m, 1, base, offset, len)
}

fn load(m: Message, register: u32, base: u32, offset: u32, len: u32) -> Message {
    expression(m, "payload", |m| m.be32(1, register).be32(2, base).be32(3, offset).be32(4, len))
}

fn masked(m: Message, mask: &[u8]) -> Message {
    expression(m, "bitwise", |m| {
        let m = m.be32(1, 1).be32(2, 1).be32(3, mask.len() as u32);
        m.nested(4, |m| m.attribute(1, mask)).nested(5, |m| m.attribute(1, &vec![0; mask.len()]))
    })
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn compare(m: Message, is: Is, value: &[u8]) -> Message {
    let operation = if is == Is::This { EQUAL } else { UNEQUAL };
    expression(m, "cmp", |m| m.be32(1, 1).be32(2, operation).nested(3, |m| m.attribute(1, value)))
}

fn immediate(m: Message, register: u32, value: &[u8]) -> Message {
    expression(m, "immediate", |m| m.be32(1, register).nested(2, |m| m.attribute(1, value)))
}

fn verdict(m: Message, code: u32) -> Message {
    expression(m, "immediate", |m| m.be32(1, VERDICT_REGISTER).nested(2, |m| m.nested(2, |m| m.be32(1, code))))
}
