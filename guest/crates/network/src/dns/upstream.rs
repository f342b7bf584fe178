//! Questions that are not ours, passed on as they came.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

use super::DATAGRAM_BYTES;

/// Servers that are asked at most, and how long each may take.
const SERVERS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(3);

/// The first reply that some server gives.
pub async fn ask_udp(query: &[u8], servers: &[SocketAddr]) -> Option<Vec<u8>> {
    for server in servers.iter().take(SERVERS) {
        match timeout(PATIENCE, exchange_datagrams(query, *server)).await {
            Ok(Ok(reply)) => return Some(reply),
            Ok(Err(error)) => tracing::debug!(%server, err = %error, "upstream DNS failed"),
            Err(_) => tracing::debug!(%server, "upstream DNS did not answer"),
        }
    }
    None
}

pub async fn ask_tcp(query: &[u8], servers: &[SocketAddr]) -> Option<Vec<u8>> {
    for server in servers.iter().take(SERVERS) {
        match timeout(PATIENCE, exchange_stream(query, *server)).await {
            Ok(Ok(reply)) => return Some(reply),
            Ok(Err(error)) => tracing::debug!(%server, err = %error, "upstream DNS over TCP failed"),
            Err(_) => tracing::debug!(%server, "upstream DNS over TCP did not answer"),
        }
    }
    None
}

/// A fresh socket each time: its random port is what makes forged replies hard.
async fn exchange_datagrams(query: &[u8], server: SocketAddr) -> io::Result<Vec<u8>> {
    let local: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(local).await?;
    socket.connect(server).await?;
    socket.send(query).await?;
    let mut reply = vec![0; DATAGRAM_BYTES];
    loop {
        let len = socket.recv(&mut reply).await?;
        // Why: a late or forged datagram has another id; the true reply may still come.
        if len >= 12 && reply[..2] == query[..2] {
            reply.truncate(len);
            return Ok(reply);
        }
    }
}

async fn exchange_stream(query: &[u8], server: SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let len = u16::try_from(query.len()).map_err(io::Error::other)?;
    stream.write_all(&[&len.to_be_bytes()[..], query].concat()).await?;
    let mut reply = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut reply).await?;
    Ok(reply)
}
