//! Links that share another one: macvlan and ipvlan for sandboxes, and what these are put on when there is nothing else:
//! a VLAN of a link, or a dummy.
//! Source: include/uapi/linux/if_link.h.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

use super::{
    Netlink,
    link::{
        AF_UNSPEC, IFLA_ADDRESS, IFLA_IFNAME, IFLA_INFO_DATA, IFLA_INFO_KIND, IFLA_LINKINFO, IFLA_NET_NS_FD,
        RTM_NEWLINK, info,
    },
    message::{ACK, CREATE, EXCLUSIVE, Message},
};

const IFLA_LINK: u16 = 5;
const IFLA_MACVLAN_MODE: u16 = 1;
const IFLA_IPVLAN_MODE: u16 = 1;
const IFLA_IPVLAN_FLAGS: u16 = 2;
const IFLA_VLAN_ID: u16 = 1;

/// How the children of one parent see each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MacvlanMode {
    Private,
    Vepa,
    Bridge,
    Passthru,
}

/// At which layer an ipvlan parent tells its children apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpvlanMode {
    L2,
    L3,
    /// As `L3`, and the host's rules see the packets.
    L3s,
}

/// How the children of one ipvlan parent see each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpvlanFlag {
    Bridge,
    Private,
    Vepa,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildKind {
    /// Has a MAC of its own.
    Macvlan { mode: MacvlanMode, mac: [u8; 6] },
    /// Has its parent's.
    Ipvlan { mode: IpvlanMode, flag: IpvlanFlag },
}

/// A link in a sandbox that shares one of this namespace.
#[derive(Debug)]
pub struct Child<'a> {
    /// Index of the shared link.
    pub parent: u32,
    /// Name in the sandbox.
    pub inside: &'a str,
    pub netns: BorrowedFd<'a>,
    pub kind: ChildKind,
}

impl Netlink {
    /// Creates a child, born in the sandbox and down, of its parent's MTU.
    pub fn create_child(&mut self, child: &Child) -> io::Result<()> {
        let message = Message::new(RTM_NEWLINK, ACK | CREATE | EXCLUSIVE, &info(AF_UNSPEC, 0, false))
            .text(IFLA_IFNAME, child.inside)
            .u32(IFLA_LINK, child.parent)
            .attribute(IFLA_NET_NS_FD, &child.netns.as_raw_fd().to_ne_bytes());
        let message = match child.kind {
            ChildKind::Macvlan { mode, mac } => message.attribute(IFLA_ADDRESS, &mac).nested(IFLA_LINKINFO, |m| {
                m.text(IFLA_INFO_KIND, "macvlan")
                    .nested(IFLA_INFO_DATA, |m| m.u32(IFLA_MACVLAN_MODE, macvlan_mode(mode)))
            }),
            ChildKind::Ipvlan { mode, flag } => message.nested(IFLA_LINKINFO, |m| {
                m.text(IFLA_INFO_KIND, "ipvlan").nested(IFLA_INFO_DATA, |m| {
                    m.attribute(IFLA_IPVLAN_MODE, &ipvlan_mode(mode).to_ne_bytes())
                        .attribute(IFLA_IPVLAN_FLAGS, &ipvlan_flag(flag).to_ne_bytes())
                })
            }),
        };
        self.request(message)
    }

    /// Creates a link that is up and leads nowhere.
    pub fn create_dummy(&mut self, name: &str) -> io::Result<()> {
        let message = Message::new(RTM_NEWLINK, ACK | CREATE | EXCLUSIVE, &info(AF_UNSPEC, 0, true))
            .text(IFLA_IFNAME, name)
            .nested(IFLA_LINKINFO, |m| m.text(IFLA_INFO_KIND, "dummy"));
        self.request(message)
    }

    /// Creates the link for one VLAN (1 to 4094) of another link, up.
    pub fn create_vlan(&mut self, name: &str, parent: u32, id: u16) -> io::Result<()> {
        let message = Message::new(RTM_NEWLINK, ACK | CREATE | EXCLUSIVE, &info(AF_UNSPEC, 0, true))
            .text(IFLA_IFNAME, name)
            .u32(IFLA_LINK, parent)
            .nested(IFLA_LINKINFO, |m| {
                m.text(IFLA_INFO_KIND, "vlan").nested(IFLA_INFO_DATA, |m| m.attribute(IFLA_VLAN_ID, &id.to_ne_bytes()))
            });
        self.request(message)
    }
}

fn macvlan_mode(mode: MacvlanMode) -> u32 {
    match mode {
        MacvlanMode::Private => 1,
        MacvlanMode::Vepa => 2,
        MacvlanMode::Bridge => 4,
        MacvlanMode::Passthru => 8,
    }
}

fn ipvlan_mode(mode: IpvlanMode) -> u16 {
    match mode {
        IpvlanMode::L2 => 0,
        IpvlanMode::L3 => 1,
        IpvlanMode::L3s => 2,
    }
}

fn ipvlan_flag(flag: IpvlanFlag) -> u16 {
    match flag {
        IpvlanFlag::Bridge => 0,
        IpvlanFlag::Private => 1,
        IpvlanFlag::Vepa => 2,
    }
}
