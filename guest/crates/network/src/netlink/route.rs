//! Addresses and routes. Source: include/uapi/linux/{if_addr,rtnetlink}.h.

use std::{io, net::IpAddr};

use super::{
    Netlink,
    message::{ACK, CREATE, Message, REPLACE, attributes},
};
use crate::subnet::Subnet;

const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
/// Why: duplicate address detection would leave the address unusable for a second; we hand addresses out ourselves.
const IFA_F_NODAD: u8 = 2;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_BOOT: u8 = 3;
const RTN_UNICAST: u8 = 1;
/// `struct rtmsg`, 12 bytes.
const ROUTE_BYTES: usize = 12;
/// `struct ifaddrmsg`, 8 bytes.
const ADDRESS_BYTES: usize = 8;
/// A destination that is on the link itself.
const RT_SCOPE_LINK: u8 = 253;

impl Netlink {
    pub fn add_address(&mut self, index: u32, address: IpAddr, prefix: u8) -> io::Result<()> {
        let (family, flags) = match address {
            IpAddr::V4(_) => (AF_INET, 0),
            IpAddr::V6(_) => (AF_INET6, IFA_F_NODAD),
        };
        let mut body = vec![family, prefix, flags, 0];
        body.extend(index.to_ne_bytes());
        let mut message = Message::new(RTM_NEWADDR, ACK | CREATE | REPLACE, &body);
        match address {
            IpAddr::V4(v4) => {
                let broadcast = u32::from(v4) | u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
                message = message
                    .attribute(IFA_LOCAL, &v4.octets())
                    .attribute(IFA_ADDRESS, &v4.octets())
                    .attribute(IFA_BROADCAST, &broadcast.to_be_bytes());
            }
            IpAddr::V6(v6) => message = message.attribute(IFA_ADDRESS, &v6.octets()),
        }
        self.request(message)
    }

    /// Index of the link that has an address, or none.
    pub fn link_with_address(&mut self, wanted: IpAddr) -> io::Result<Option<u32>> {
        let mut body = [0; ADDRESS_BYTES];
        body[0] = if wanted.is_ipv4() { AF_INET } else { AF_INET6 };
        let mut found = None;
        self.dump(RTM_GETADDR, &body, |kind, payload| {
            let has = payload.get(ADDRESS_BYTES..).is_some_and(|rest| {
                attributes(rest)
                    .any(|(kind, value)| matches!(kind, IFA_ADDRESS | IFA_LOCAL) && address(value) == Some(wanted))
            });
            if kind == RTM_NEWADDR && has {
                found = super::message::word(payload, 4);
            }
        })?;
        Ok(found)
    }

    /// The default route of the gateway's family. An unspecified gateway means that everything is on the link itself.
    pub fn add_default_route(&mut self, index: u32, gateway: IpAddr) -> io::Result<()> {
        let family = if gateway.is_ipv4() { AF_INET } else { AF_INET6 };
        let direct = gateway.is_unspecified();
        let scope = if direct && gateway.is_ipv4() { RT_SCOPE_LINK } else { 0 };
        let body = [family, 0, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, scope, RTN_UNICAST, 0, 0, 0, 0];
        let message = Message::new(RTM_NEWROUTE, ACK | CREATE | REPLACE, &body);
        let message = match gateway {
            _ if direct => message,
            IpAddr::V4(v4) => message.attribute(RTA_GATEWAY, &v4.octets()),
            IpAddr::V6(v6) => message.attribute(RTA_GATEWAY, &v6.octets()),
        };
        self.request(message.u32(RTA_OIF, index))
    }

    /// Destinations that are routed somewhere (default routes and link-local ones aside), with the link they go through.
    pub fn routes(&mut self) -> io::Result<Vec<(Subnet, u32)>> {
        let mut routes = Vec::new();
        for family in [AF_INET, AF_INET6] {
            let mut body = [0; ROUTE_BYTES];
            body[0] = family;
            self.dump(RTM_GETROUTE, &body, |kind, payload| {
                if kind == RTM_NEWROUTE {
                    routes.extend(parse(payload));
                }
            })?;
        }
        Ok(routes)
    }
}

fn parse(payload: &[u8]) -> Option<(Subnet, u32)> {
    let (prefix, table, kind) = (*payload.get(1)?, *payload.get(4)?, *payload.get(7)?);
    if prefix == 0 || table != RT_TABLE_MAIN || kind != RTN_UNICAST {
        return None;
    }
    let (mut destination, mut link) = (None, 0);
    for (kind, value) in attributes(payload.get(ROUTE_BYTES..)?) {
        match kind {
            RTA_DST => destination = address(value),
            RTA_OIF => link = super::message::word(value, 0)?,
            _ => {}
        }
    }
    let subnet = Subnet::new(destination?, prefix)?;
    let is_link_local = matches!(subnet.address(), IpAddr::V6(address) if address.is_unicast_link_local());
    (!is_link_local).then_some((subnet, link))
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
    }
}
