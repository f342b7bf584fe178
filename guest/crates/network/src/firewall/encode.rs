//! nftables' wire form: the handful of messages and expressions our rules are made of.
//!
//! A transaction is one datagram: `BATCH_BEGIN`, messages, `BATCH_END`; the kernel applies all of it or nothing. A rule is a
//! list of expressions that load registers, compare them, and end in a verdict. Register 0 is the verdict, 1 to 4 hold 16 bytes
//! each. Integers in attributes are big-endian, data in registers is as in the packet (or host order for `ct` and `meta`).
//! Source: include/uapi/linux/netfilter/{nf_tables,nfnetlink}.h.

use std::{io, net::Ipv4Addr};

use crate::{
    netlink::{
        Netlink,
        message::{ACK, APPEND, CREATE, EXCLUSIVE, Message},
    },
    subnet::Subnet,
};

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEWTABLE: u16 = SUBSYSTEM << 8;
const DELTABLE: u16 = (SUBSYSTEM << 8) | 2;
const NEWCHAIN: u16 = (SUBSYSTEM << 8) | 3;
const NEWRULE: u16 = (SUBSYSTEM << 8) | 6;
const NFPROTO_IPV4: u8 = 2;

/// Address families of tables.
pub const INET: u8 = 1;
pub const IP: u8 = 2;

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
                let mask = u32::MAX.checked_shl(32 - u32::from(subnet.prefix())).unwrap_or(0).to_be_bytes();
                let m = compare(meta(m, 15), Is::This, &[NFPROTO_IPV4]);
                compare(masked(payload(m, 1, 12, 4), mask), Is::This, &subnet.address().octets())
            }
            Self::Destination(address) => compare(payload(m, 1, 16, 4), Is::This, &address.octets()),
            Self::DestinationPort(protocol, port) => {
                let m = compare(meta(m, 16), Is::This, &[protocol]);
                compare(payload(m, 2, 2, 2), Is::This, &port.to_be_bytes())
            }
            Self::EstablishedOrRelated => {
                let m = expression(m, "ct", |m| m.be32(1, 1).be32(2, 0));
                compare(masked(m, ESTABLISHED_RELATED.to_ne_bytes()), Is::Another, &[0; 4])
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
    expression(m, "payload", |m| m.be32(1, 1).be32(2, base).be32(3, offset).be32(4, len))
}

fn masked(m: Message, mask: [u8; 4]) -> Message {
    expression(m, "bitwise", |m| {
        m.be32(1, 1).be32(2, 1).be32(3, 4).nested(4, |m| m.attribute(1, &mask)).nested(5, |m| m.attribute(1, &[0; 4]))
    })
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
