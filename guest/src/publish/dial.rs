//! Connections to containers.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use cubby_wire::forward::Dial;
use tokio::{
    net::{TcpStream, UdpSocket},
    time::timeout,
};

/// A container is a few microseconds away; what takes longer has gone.
const PATIENCE: Duration = Duration::from_secs(10);

pub async fn tcp(target: &Dial) -> io::Result<TcpStream> {
    let stream = timeout(PATIENCE, TcpStream::connect((target.address, target.port))).await??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

pub async fn udp(target: &Dial) -> io::Result<UdpSocket> {
    let local: SocketAddr = match target.address {
        IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(local).await?;
    socket.connect((target.address, target.port)).await?;
    Ok(socket)
}
