//! Binding all listeners of a container, or none.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use cubby_wire::forward::Protocol;
use cubby_wire::publish::Port;
use socket2::{Domain, Type};
use tokio::net::{TcpListener, UdpSocket};

const BACKLOG: i32 = 1024;

pub(super) struct Bound {
    pub socket: Socket,
    pub host_port: u16,
}

pub(super) enum Socket {
    Tcp(TcpListener),
    Udp(UdpSocket),
    /// This system has no IPv6; the same port is open on every IPv4 address.
    Shared,
}

/// Binds `asked` in order. On failure everything is closed again and the index of the culprit told, with the reason.
/// `holder` names who has a port that is taken.
pub(super) fn all(
    asked: &[Port],
    holder: impl Fn(Protocol, u16) -> Option<String>,
) -> Result<Vec<Bound>, (usize, String)> {
    let mut bound: Vec<Bound> = Vec::with_capacity(asked.len());
    for (index, port) in asked.iter().enumerate() {
        check(port).map_err(|reason| (index, reason))?;
        let sibling = asked[..index].iter().position(|other| is_sibling(other, port)).map(|at| bound[at].host_port);
        bound.push(one(port, sibling, &holder).map_err(|reason| (index, reason))?);
    }
    Ok(bound)
}

fn check(port: &Port) -> Result<(), String> {
    if port.target.port == 0 {
        return Err("the container's port is 0".into());
    }
    if port.target.protocol != port.protocol {
        return Err("the container's port has another protocol".into());
    }
    if port.host_port_end < port.host_port || (port.host_port == 0 && port.host_port_end != 0) {
        return Err(format!("{}-{} is not a range of ports", port.host_port, port.host_port_end));
    }
    Ok(())
}

/// The IPv4 half of what Docker's clients ask for as one port: `0.0.0.0` and `::` of the same container port.
fn is_sibling(other: &Port, port: &Port) -> bool {
    port.host_ip == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
        && other.host_ip == IpAddr::V4(Ipv4Addr::UNSPECIFIED)
        && (other.host_port, other.host_port_end) == (port.host_port, port.host_port_end)
        && other.target == port.target
}

fn one(port: &Port, sibling: Option<u16>, holder: &impl Fn(Protocol, u16) -> Option<String>) -> Result<Bound, String> {
    // A sibling decides: both halves of a port shall have the same number.
    let (first, last) = match sibling {
        Some(chosen) => (chosen, chosen),
        None => (port.host_port, port.host_port_end),
    };
    let mut taken = None;
    for host_port in first..=last {
        match listen(port.protocol, SocketAddr::new(port.host_ip, host_port)) {
            Ok(bound) => return Ok(bound),
            Err(err) if no_ipv6(&err) && sibling.is_some() => return Ok(Bound { socket: Socket::Shared, host_port }),
            Err(err) if err.kind() == io::ErrorKind::AddrInUse => taken = Some(host_port),
            Err(err) => return Err(refusal(port, host_port, &err)),
        }
    }
    match taken {
        Some(host_port) if first == last => {
            let holder = holder(port.protocol, host_port).map(|it| format!(" ({it} has it)")).unwrap_or_default();
            Err(format!("{}: address already in use{holder}", failed(port, host_port)))
        }
        _ => Err(format!("{}: every port up to {last} is already in use", failed(port, first))),
    }
}

/// dockerd's words. Source: moby 28, daemon/libnetwork/portmapper.
fn failed(port: &Port, host_port: u16) -> String {
    format!("failed to bind host port {}/{}", SocketAddr::new(port.host_ip, host_port), port.protocol.name())
}

fn no_ipv6(err: &io::Error) -> bool {
    // Source: winerror.h: WSAEAFNOSUPPORT.
    #[cfg(windows)]
    const NO_FAMILY: i32 = 10047;
    #[cfg(unix)]
    const NO_FAMILY: i32 = rustix::io::Errno::AFNOSUPPORT.raw_os_error();
    err.kind() == io::ErrorKind::AddrNotAvailable || err.raw_os_error() == Some(NO_FAMILY)
}

fn refusal(port: &Port, host_port: u16, err: &io::Error) -> String {
    let failed = failed(port, host_port);
    match err.kind() {
        io::ErrorKind::PermissionDenied => format!("{failed}: {}", why_denied(port.host_ip, host_port)),
        io::ErrorKind::AddrNotAvailable => {
            format!("{failed}: this computer has no address {}", port.host_ip)
        }
        _ => format!("{failed}: {err}"),
    }
}

/// What each system means by a permission that is lacking, and what to do.
fn why_denied(host_ip: IpAddr, host_port: u16) -> String {
    let higher = 8000 + u32::from(host_port % 1000);
    if cfg!(windows) {
        return format!(
            "Windows keeps this port for itself (netsh int {} show excludedportrange protocol=tcp lists them); publish on \
             another one, such as {higher}",
            if host_ip.is_ipv4() { "ipv4" } else { "ipv6" },
        );
    }
    if cfg!(target_os = "macos") {
        return format!(
            "macOS lets everybody open ports below 1024 on all addresses, but on {host_ip} only its administrator; publish \
             without an address, or on a higher port, such as {higher}"
        );
    }
    format!(
        "this system lets only its administrator open ports below {}; publish on a higher one, such as {higher}, or allow \
         it: sysctl net.ipv4.ip_unprivileged_port_start={host_port}",
        unprivileged_start(),
    )
}

fn unprivileged_start() -> u16 {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
    text.trim().parse().unwrap_or(1024)
}

fn listen(protocol: Protocol, at: SocketAddr) -> io::Result<Bound> {
    let kind = match protocol {
        Protocol::Tcp => Type::STREAM,
        Protocol::Udp => Type::DGRAM,
        // The guest's engine refuses it before it asks.
        Protocol::Sctp => {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "sctp is not forwarded to the machine"));
        }
    };
    let socket = socket2::Socket::new(Domain::for_address(at), kind, None)?;
    socket.set_nonblocking(true)?;
    if at.is_ipv6() {
        // `0.0.0.0` is bound on its own.
        socket.set_only_v6(true)?;
    }
    if protocol == Protocol::Tcp && cfg!(unix) {
        // A port whose last connections are still in TIME_WAIT is free. On Windows it always is, and the option would let
        // two programs have the same one.
        socket.set_reuse_address(true)?;
    }
    socket.bind(&at.into())?;
    let (socket, at) = match protocol {
        Protocol::Tcp => {
            socket.listen(BACKLOG)?;
            let listener = TcpListener::from_std(socket.into())?;
            let at = listener.local_addr()?;
            (Socket::Tcp(listener), at)
        }
        Protocol::Udp | Protocol::Sctp => {
            let socket = UdpSocket::from_std(socket.into())?;
            let at = socket.local_addr()?;
            (Socket::Udp(socket), at)
        }
    };
    Ok(Bound { socket, host_port: at.port() })
}

#[cfg(test)]
mod tests {
    use cubby_wire::forward::Dial;

    use super::*;

    #[test]
    fn a_port_that_is_only_the_administrators_is_explained() {
        let address = IpAddr::from([127, 0, 0, 1]);
        let target = Dial { protocol: Protocol::Tcp, address, port: 80 };
        let port = Port { protocol: Protocol::Tcp, host_ip: address, host_port: 80, host_port_end: 80, target };
        let text = refusal(&port, 80, &io::ErrorKind::PermissionDenied.into());
        assert!(text.starts_with("failed to bind host port 127.0.0.1:80/tcp: "), "{text}");
        assert!(text.contains("such as 8080"), "{text}");
        if cfg!(target_os = "linux") {
            assert!(text.ends_with("sysctl net.ipv4.ip_unprivileged_port_start=80"), "{text}");
        }
    }
}
