//! The four rtnetlink requests that bring an interface up. Hand-written: pid 1 has no async runtime, and needs no more.
//!
//! Source: include/uapi/linux/{netlink,rtnetlink,if_link,if_addr}.h, rtnetlink(7). A request is `nlmsghdr`, a fixed body, then
//! attributes (`u16` length, `u16` type, payload, padded to 4); the kernel answers each with one `NLMSG_ERROR`, 0 for success.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_REPLACE: u16 = 0x100;
const NLM_F_CREATE: u16 = 0x400;
const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
const IFF_UP: u32 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_BOOT: u8 = 3;
const RTN_UNICAST: u8 = 1;
const AF_INET: u8 = 2;
const HEADER_BYTES: usize = 16;

/// A route socket.
#[derive(Debug)]
pub struct Netlink {
    socket: OwnedFd,
}

impl Netlink {
    pub fn open() -> io::Result<Netlink> {
        // NETLINK_ROUTE is protocol 0.
        let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, 0))?;
        Ok(Netlink { socket })
    }

    /// `ip link set INDEX up`
    pub fn set_up(&self, index: u32) -> io::Result<()> {
        self.request(Request::new(RTM_NEWLINK, 0).bytes(&link_body(index)))
    }

    /// `ip addr replace ADDRESS/PREFIX dev INDEX`
    pub fn add_address(&self, index: u32, address: Ipv4Addr, prefix: u8) -> io::Result<()> {
        let mut body = vec![AF_INET, prefix, 0, 0];
        body.extend(index.to_ne_bytes());
        let host_bits = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
        let broadcast = Ipv4Addr::from(u32::from(address) | host_bits);
        self.request(
            Request::new(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE)
                .bytes(&body)
                .attribute(IFA_LOCAL, &address.octets())
                .attribute(IFA_ADDRESS, &address.octets())
                .attribute(IFA_BROADCAST, &broadcast.octets()),
        )
    }

    /// `ip route replace default via GATEWAY dev INDEX`
    pub fn add_default_route(&self, index: u32, gateway: Ipv4Addr) -> io::Result<()> {
        let body = [AF_INET, 0, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, 0, RTN_UNICAST, 0, 0, 0, 0];
        self.request(
            Request::new(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE)
                .bytes(&body)
                .attribute(RTA_GATEWAY, &gateway.octets())
                .attribute(RTA_OIF, &index.to_ne_bytes()),
        )
    }

    fn request(&self, request: Request) -> io::Result<()> {
        rustix::net::send(&self.socket, &request.finish(), SendFlags::empty())?;
        let mut reply = [0; 1024];
        let (len, _) = rustix::net::recv(&self.socket, &mut reply, RecvFlags::empty())?;
        acknowledged(&reply[..len])
    }
}

/// `ifinfomsg`: family, pad, type, index, flags, change mask.
fn link_body(index: u32) -> Vec<u8> {
    let mut body = vec![0; 4];
    body.extend(index.to_ne_bytes());
    body.extend(IFF_UP.to_ne_bytes());
    body.extend(IFF_UP.to_ne_bytes());
    body
}

fn acknowledged(reply: &[u8]) -> io::Result<()> {
    let odd = || io::Error::new(io::ErrorKind::InvalidData, "the kernel's netlink reply is no acknowledgement");
    let kind = reply.get(4..6).ok_or_else(odd)?;
    let code: [u8; 4] =
        reply.get(HEADER_BYTES..HEADER_BYTES + 4).and_then(|code| code.try_into().ok()).ok_or_else(odd)?;
    if kind != NLMSG_ERROR.to_ne_bytes() {
        return Err(odd());
    }
    match i32::from_ne_bytes(code) {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(-code)),
    }
}

struct Request(Vec<u8>);

impl Request {
    fn new(kind: u16, flags: u16) -> Request {
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend((NLM_F_REQUEST | NLM_F_ACK | flags).to_ne_bytes());
        bytes.resize(HEADER_BYTES, 0);
        Request(bytes)
    }

    fn bytes(mut self, body: &[u8]) -> Request {
        self.0.extend(body);
        self
    }

    fn attribute(mut self, kind: u16, payload: &[u8]) -> Request {
        let len = u16::try_from(4 + payload.len()).expect("our attributes are a few bytes");
        self.0.extend(len.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(payload);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    fn finish(mut self) -> Vec<u8> {
        let len = u32::try_from(self.0.len()).expect("our requests are a few dozen bytes");
        self.0[..4].copy_from_slice(&len.to_ne_bytes());
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_counts_its_own_bytes_and_pads_attributes() {
        let bytes = Request::new(RTM_NEWLINK, 0).bytes(&[0; 16]).attribute(3, b"lo").finish();
        assert_eq!(bytes.len(), 16 + 16 + 8);
        assert_eq!(bytes[..4], 40_u32.to_ne_bytes());
        assert_eq!(bytes[32..34], 6_u16.to_ne_bytes(), "padding is not part of an attribute's length");
    }

    #[test]
    fn the_kernel_s_refusal_becomes_an_error() {
        let mut reply = vec![0; 4];
        reply.extend(NLMSG_ERROR.to_ne_bytes());
        reply.resize(HEADER_BYTES, 0);
        reply.extend((-19_i32).to_ne_bytes());
        assert_eq!(acknowledged(&reply).unwrap_err().raw_os_error(), Some(19));
        reply[HEADER_BYTES..].fill(0);
        assert!(acknowledged(&reply).is_ok());
        assert!(acknowledged(&reply[..10]).is_err());
    }

    #[test]
    fn the_kernel_accepts_the_loopback_request() {
        // Whoever may not do it is told so by the kernel in the same reply: the request itself was understood.
        match Netlink::open().and_then(|netlink| netlink.set_up(1)) {
            Ok(()) => {}
            Err(err) => assert_eq!(err.kind(), io::ErrorKind::PermissionDenied, "{err}"),
        }
    }
}
