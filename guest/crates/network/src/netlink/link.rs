//! Links: bridges, cables (veth pairs), and their attributes.
//! Source: include/uapi/linux/if_link.h, rtnetlink.h, veth.h.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

use super::{
    Netlink,
    message::{ACK, CREATE, EXCLUSIVE, Message, attributes, text, word},
};

pub(super) const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_SETLINK: u16 = 19;

pub(super) const AF_UNSPEC: u8 = 0;
const AF_BRIDGE: u8 = 7;
const IFF_UP: u32 = 1;

pub(super) const IFLA_ADDRESS: u16 = 1;
pub(super) const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
const IFLA_PROTINFO: u16 = 12;
pub(super) const IFLA_LINKINFO: u16 = 18;
const IFLA_IFALIAS: u16 = 20;
pub(super) const IFLA_NET_NS_FD: u16 = 28;
pub(super) const IFLA_INFO_KIND: u16 = 1;
pub(super) const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFLA_BRPORT_ISOLATED: u16 = 33;

/// `struct ifinfomsg`, 16 bytes.
const INFO_BYTES: usize = 16;

/// A link as the kernel lists it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub name: String,
    pub alias: String,
    /// `bridge`, `veth`…; empty for those that have no software driver.
    pub kind: String,
    /// All zero when it has none.
    pub mac: [u8; 6],
    /// Index of the bridge it is a port of, or 0.
    pub master: u32,
}

/// Whether the kernel takes this as a link's name. Source: net/core/dev.c, `dev_valid_name`.
pub fn is_link_name(name: &str) -> bool {
    // `IFNAMSIZ` less the NUL.
    (1..=15).contains(&name.len())
        && !matches!(name, "." | "..")
        && !name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace())
}

/// A veth pair between a bridge and a sandbox.
#[derive(Debug)]
pub struct Cable<'a> {
    /// Name of the end on the bridge.
    pub outside: &'a str,
    pub bridge: u32,
    /// Name of the end in the sandbox.
    pub inside: &'a str,
    pub netns: BorrowedFd<'a>,
    pub mac: [u8; 6],
    pub mtu: u32,
}

pub(super) fn info(family: u8, index: u32, up: bool) -> [u8; INFO_BYTES] {
    let mut body = [0; INFO_BYTES];
    body[0] = family;
    body[4..8].copy_from_slice(&index.to_ne_bytes());
    if up {
        body[8..12].copy_from_slice(&IFF_UP.to_ne_bytes());
        body[12..16].copy_from_slice(&IFF_UP.to_ne_bytes());
    }
    body
}

impl Netlink {
    /// Creates a bridge that is up and keeps its MAC whatever its ports are.
    pub fn create_bridge(&mut self, name: &str, mac: [u8; 6], mtu: u32) -> io::Result<()> {
        let message = Message::new(RTM_NEWLINK, ACK | CREATE | EXCLUSIVE, &info(AF_UNSPEC, 0, true))
            .text(IFLA_IFNAME, name)
            .attribute(IFLA_ADDRESS, &mac)
            .u32(IFLA_MTU, mtu)
            .nested(IFLA_LINKINFO, |m| m.text(IFLA_INFO_KIND, "bridge"));
        self.request(message)
    }

    /// Creates a cable, the outer end a port of the bridge and up, the inner *born* in the sandbox; the kernel refuses to
    /// bring that one up before both ends exist ([`crate::Sandbox::configure`] does).
    ///
    /// Why: moving a finished end waits for an RCU grace period, 17 ms against 0.4 ms.
    pub fn create_cable(&mut self, cable: &Cable) -> io::Result<()> {
        let message = Message::new(RTM_NEWLINK, ACK | CREATE | EXCLUSIVE, &info(AF_UNSPEC, 0, true))
            .text(IFLA_IFNAME, cable.outside)
            .u32(IFLA_MASTER, cable.bridge)
            .u32(IFLA_MTU, cable.mtu)
            .nested(IFLA_LINKINFO, |m| {
                m.text(IFLA_INFO_KIND, "veth").nested(IFLA_INFO_DATA, |m| {
                    m.nested(VETH_INFO_PEER, |m| {
                        m.raw(&info(AF_UNSPEC, 0, false))
                            .text(IFLA_IFNAME, cable.inside)
                            .attribute(IFLA_ADDRESS, &cable.mac)
                            .u32(IFLA_MTU, cable.mtu)
                            .attribute(IFLA_NET_NS_FD, &cable.netns.as_raw_fd().to_ne_bytes())
                    })
                })
            });
        self.request(message)
    }

    pub fn set_up(&mut self, index: u32) -> io::Result<()> {
        self.request(Message::new(RTM_NEWLINK, ACK, &info(AF_UNSPEC, index, true)))
    }

    /// A note of up to 255 bytes that the kernel keeps with the link.
    pub fn set_alias(&mut self, index: u32, alias: &str) -> io::Result<()> {
        let message = Message::new(RTM_SETLINK, ACK, &info(AF_UNSPEC, index, false));
        self.request(message.attribute(IFLA_IFALIAS, alias.as_bytes()))
    }

    /// Another name for a link that is down.
    pub fn rename(&mut self, index: u32, name: &str) -> io::Result<()> {
        self.request(Message::new(RTM_SETLINK, ACK, &info(AF_UNSPEC, index, false)).text(IFLA_IFNAME, name))
    }

    /// An isolated port of a bridge reaches the bridge itself but no other isolated port.
    pub fn isolate_port(&mut self, index: u32) -> io::Result<()> {
        let message = Message::new(RTM_SETLINK, ACK, &info(AF_BRIDGE, index, false));
        self.request(message.nested(IFLA_PROTINFO, |m| m.attribute(IFLA_BRPORT_ISOLATED, &[1])))
    }

    pub fn delete_link(&mut self, index: u32) -> io::Result<()> {
        self.request(Message::new(RTM_DELLINK, ACK, &info(AF_UNSPEC, index, false)))
    }

    /// The link of that name, or none.
    pub fn link(&mut self, name: &str) -> io::Result<Option<Link>> {
        let mut found = None;
        let message = Message::new(RTM_GETLINK, ACK, &info(AF_UNSPEC, 0, false)).text(IFLA_IFNAME, name);
        let result = self.fetch(message, |kind, payload| {
            if kind == RTM_NEWLINK {
                found = parse(payload);
            }
        });
        match result {
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error()) => Ok(None),
            result => result.map(|()| found),
        }
    }

    /// Returns when what the link's driver said last (that its other end is up) has taken effect; a packet sent earlier
    /// would be dropped, and sent again after a second. An absent link is fine.
    ///
    /// Why a mere look: the kernel does that work later, on a queue of its own, or at once for whoever asks for the link.
    /// Source: net/core/rtnetlink.c, `linkwatch_sync_dev` in `rtnl_getlink`, Linux 6.8.
    pub fn settle(&mut self, name: &str) -> io::Result<()> {
        self.link(name).map(|_| ())
    }

    pub fn links(&mut self) -> io::Result<Vec<Link>> {
        let mut links = Vec::new();
        self.dump(RTM_GETLINK, &info(AF_UNSPEC, 0, false), |kind, payload| {
            if kind == RTM_NEWLINK {
                links.extend(parse(payload));
            }
        })?;
        Ok(links)
    }
}

fn parse(payload: &[u8]) -> Option<Link> {
    let mut link = Link { index: word(payload, 4)?, ..Link::default() };
    for (kind, value) in attributes(payload.get(INFO_BYTES..)?) {
        match kind {
            IFLA_IFNAME => link.name = text(value),
            IFLA_IFALIAS => link.alias = text(value),
            IFLA_ADDRESS => link.mac = value.try_into().unwrap_or_default(),
            IFLA_MASTER => link.master = word(value, 0)?,
            IFLA_LINKINFO => {
                let kind = attributes(value).find(|(kind, _)| *kind == IFLA_INFO_KIND);
                link.kind = kind.map(|(_, value)| text(value)).unwrap_or_default();
            }
            _ => {}
        }
    }
    Some(link)
}
