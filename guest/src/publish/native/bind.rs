//! Binding all listeners of a container, or none.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::RangeInclusive,
    os::fd::OwnedFd,
};

use cubby_wire::{forward::Protocol, publish::Port};
use rustix::{
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, ipproto, listen, socket_with, sockopt},
};
use tokio::net::{TcpListener, UdpSocket};

use super::holder;

const BACKLOG: i32 = 4096;
/// Where the kernel looks for a free port, unless it is told otherwise.
const EPHEMERAL: RangeInclusive<u16> = 32768..=60999;

pub struct Bound {
    pub socket: Socket,
    pub host_port: u16,
}

pub enum Socket {
    Tcp(TcpListener),
    Udp(UdpSocket),
    /// There is no IPv6: the IPv4 half is all.
    Shared,
    /// The kernel forwards what comes; the port is held where the kernel has sockets of that kind.
    Forwarded(Option<OwnedFd>),
}

/// Names the container of ours that has an address, if one has.
type Ours<'a> = &'a dyn Fn(Protocol, SocketAddr) -> Option<String>;

/// Binds `ports` in order. When one cannot be bound all are closed again, and the reason is in dockerd's words.
pub fn all(ports: &[Port], ours: impl Fn(Protocol, SocketAddr) -> Option<String>) -> Result<Vec<Bound>, String> {
    let mut bound: Vec<Bound> = Vec::with_capacity(ports.len());
    for (index, port) in ports.iter().enumerate() {
        let sibling = index.checked_sub(1).filter(|before| is_sibling(&ports[*before], port));
        match sibling.map(|before| bound[before].host_port) {
            Some(host_port) => bound.push(other_half(port, host_port, &ours)?),
            None => bound.push(one(port, &ours)?),
        }
    }
    Ok(bound)
}

/// The IPv4 half of what a client asks for as one port: `0.0.0.0` and `::` of the same container port.
fn is_sibling(other: &Port, port: &Port) -> bool {
    port.host_ip == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
        && other.host_ip == IpAddr::V4(Ipv4Addr::UNSPECIFIED)
        && (other.host_port, other.host_port_end) == (port.host_port, port.host_port_end)
        && other.target == port.target
}

/// Both halves have the same number. A machine without IPv6 has one half alone.
fn other_half(port: &Port, host_port: u16, ours: Ours) -> Result<Bound, String> {
    match open(port.protocol, SocketAddr::new(port.host_ip, host_port)) {
        Ok(bound) => Ok(bound),
        Err(error) if no_ipv6(&error) => Ok(Bound { socket: Socket::Shared, host_port }),
        Err(error) => Err(refusal(port, host_port, &error, ours)),
    }
}

fn no_ipv6(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(Errno::AFNOSUPPORT.raw_os_error())
}

/// The first free port of the range; of port 0 the kernel chooses, from 32768 up.
fn one(port: &Port, ours: Ours) -> Result<Bound, String> {
    for host_port in port.host_port..=port.host_port_end.max(port.host_port) {
        let at = SocketAddr::new(port.host_ip, host_port);
        let opened = if port.protocol == Protocol::Sctp { hold_sctp(at, ours) } else { open(port.protocol, at) };
        match opened {
            Ok(bound) => return Ok(bound),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && host_port < port.host_port_end => {}
            Err(error) => return Err(refusal(port, host_port, &error, ours)),
        }
    }
    Err(refusal(port, port.host_port, &io::ErrorKind::AddrInUse.into(), ours))
}

/// Source: moby 28, libnetwork/drivers/bridge/port_mapping_linux.go. The holder is our addition.
fn refusal(port: &Port, host_port: u16, error: &io::Error, ours: Ours) -> String {
    let protocol = port.protocol.name();
    let (host, target) =
        (SocketAddr::new(port.host_ip, host_port), SocketAddr::new(port.target.address, port.target.port));
    let failed = format!("failed to bind host port for {host}:{target}/{protocol}");
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            if let Some(name) = ours(port.protocol, host) {
                // Why other words: dockerd's own port allocator says these, and clients look for them.
                return format!("Bind for {host} failed: port is already allocated (container {name} has it)");
            }
            let holder = holder::of(port.protocol, host_port).map(|holder| format!(" (held by {holder})"));
            format!("{failed}: address already in use{}", holder.unwrap_or_default())
        }
        io::ErrorKind::AddrNotAvailable => format!("{failed}: cannot assign requested address"),
        io::ErrorKind::PermissionDenied => format!("{failed}: permission denied"),
        _ => format!("{failed}: {error}"),
    }
}

/// Takes a port without listening on it. A kernel without such sockets still forwards; then only containers can clash.
fn hold_sctp(at: SocketAddr, ours: Ours) -> io::Result<Bound> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    match socket_with(AddressFamily::INET, SocketType::STREAM, flags, Some(ipproto::SCTP)) {
        Ok(socket) => {
            bind(&socket, &at)?;
            let host_port = SocketAddr::try_from(getsockname(&socket)?)?.port();
            Ok(Bound { socket: Socket::Forwarded(Some(socket)), host_port })
        }
        Err(Errno::PROTONOSUPPORT) => {
            let free = |port: &u16| ours(Protocol::Sctp, SocketAddr::new(at.ip(), *port)).is_none();
            let asked = if at.port() == 0 { EPHEMERAL } else { at.port()..=at.port() };
            let host_port = asked.into_iter().find(free).ok_or(io::ErrorKind::AddrInUse)?;
            Ok(Bound { socket: Socket::Forwarded(None), host_port })
        }
        Err(error) => Err(error.into()),
    }
}

fn open(protocol: Protocol, at: SocketAddr) -> io::Result<Bound> {
    let family = if at.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let (kind, number) = match protocol {
        Protocol::Tcp => (SocketType::STREAM, ipproto::TCP),
        Protocol::Udp => (SocketType::DGRAM, ipproto::UDP),
        Protocol::Sctp => return Err(io::ErrorKind::Unsupported.into()),
    };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, Some(number))?;
    if at.is_ipv6() {
        // Why: `0.0.0.0` is asked for on its own.
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    if protocol == Protocol::Tcp {
        // Why: a port whose last connections are in TIME_WAIT is free.
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    bind(&socket, &at)?;
    let (socket, host_port) = match protocol {
        Protocol::Tcp => {
            listen(&socket, BACKLOG)?;
            let listener = TcpListener::from_std(socket.into())?;
            let port = listener.local_addr()?.port();
            (Socket::Tcp(listener), port)
        }
        Protocol::Udp | Protocol::Sctp => {
            let socket = UdpSocket::from_std(socket.into())?;
            let port = socket.local_addr()?.port();
            (Socket::Udp(socket), port)
        }
    };
    Ok(Bound { socket, host_port })
}
