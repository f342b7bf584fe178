//! Names inside sandboxes: a DNS server at 127.0.0.11 of each.
//!
//! ```text
//! container ──53──▶ 127.0.0.11 ──rule in the sandbox──▶ our sockets, opened in the sandbox, served by the engine's tasks
//!                     names of containers: answered from the [`Zone`]
//!                     everything else: passed on, byte for byte, to the upstream servers from the engine's namespace
//! ```
//!
//! A server holds its sandbox alive through its sockets; dropping the [`Server`] closes them.

mod message;
mod upstream;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4},
    sync::Arc,
    time::Duration,
};

use message::{Answer, FORMAT_ERROR, Kind, NO_ERROR, Query, SERVER_FAILURE};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::Semaphore,
    task::JoinHandle,
    time::timeout,
};

use crate::{error::Result, firewall, sandbox::Sandbox};

/// Where containers find the server. Source: dockerd's own choice, which people rely on.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
/// Largest datagram we take or pass on; what EDNS clients ask for at most in practice.
const DATAGRAM_BYTES: usize = 4096;
/// Queries of one sandbox that may be under way; further datagrams are dropped, and clients ask again.
const UNDER_WAY: usize = 256;
/// How long a TCP client may take for its next query.
const TCP_IDLE: Duration = Duration::from_secs(10);

/// The names that one container sees.
pub trait Zone: Send + Sync + 'static {
    /// Addresses of a lower-case name; `None` when the name is not ours.
    fn addresses(&self, name: &str) -> Option<Vec<IpAddr>>;
    /// The name of one of our addresses.
    fn name_of(&self, address: IpAddr) -> Option<String>;
    /// Where other questions go, in order of preference; none: they fail.
    fn upstream(&self) -> Vec<SocketAddr>;
}

/// A running server. See the module's documentation.
#[derive(Debug)]
pub struct Server {
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Server {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Server {
    /// Opens the sockets in the sandbox and serves them. Blocks; to be called within the async runtime's context.
    pub fn start(sandbox: &Sandbox, zone: Arc<dyn Zone>) -> Result<Self> {
        let (udp, tcp) = sandbox.within(|| {
            let udp = std::net::UdpSocket::bind((ADDRESS, 0))?;
            let tcp = std::net::TcpListener::bind((ADDRESS, 0))?;
            firewall::redirect_dns(ADDRESS, v4(udp.local_addr()?)?, v4(tcp.local_addr()?)?)?;
            udp.set_nonblocking(true)?;
            tcp.set_nonblocking(true)?;
            Ok((udp, tcp))
        })?;
        let failed = |source| crate::Error::new("serve DNS sockets", source);
        let udp = UdpSocket::from_std(udp).map_err(failed)?;
        let tcp = TcpListener::from_std(tcp).map_err(failed)?;
        let under_way = Arc::new(Semaphore::new(UNDER_WAY));
        let datagrams = tokio::spawn(serve_udp(Arc::new(udp), zone.clone(), under_way.clone()));
        let streams = tokio::spawn(serve_tcp(tcp, zone, under_way));
        Ok(Self { tasks: [datagrams, streams] })
    }
}

fn v4(address: SocketAddr) -> io::Result<SocketAddrV4> {
    match address {
        SocketAddr::V4(address) => Ok(address),
        SocketAddr::V6(_) => Err(io::ErrorKind::AddrNotAvailable.into()),
    }
}

async fn serve_udp(socket: Arc<UdpSocket>, zone: Arc<dyn Zone>, under_way: Arc<Semaphore>) {
    let mut buffer = [0; DATAGRAM_BYTES];
    // Why: aborting the server must end its queries too, and a set does that when dropped.
    let mut queries = tokio::task::JoinSet::new();
    loop {
        while queries.try_join_next().is_some() {}
        let Ok((len, client)) = socket.recv_from(&mut buffer).await else { continue };
        let Ok(permit) = under_way.clone().try_acquire_owned() else { continue };
        if let Some(reply) = own_answer(&buffer[..len], &*zone) {
            // Why: a client that is gone needs no reply.
            let _ = socket.try_send_to(&reply, client);
            continue;
        }
        let (socket, zone, packet) = (socket.clone(), zone.clone(), buffer[..len].to_vec());
        queries.spawn(async move {
            let _permit = permit;
            let reply = upstream::ask_udp(&packet, &zone.upstream()).await;
            if let Some(reply) = reply.or_else(|| failure(&packet)) {
                let _ = socket.send_to(&reply, client).await;
            }
        });
    }
}

async fn serve_tcp(listener: TcpListener, zone: Arc<dyn Zone>, under_way: Arc<Semaphore>) {
    let mut clients = tokio::task::JoinSet::new();
    loop {
        while clients.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            // Why: out of descriptors, most likely; accepting again at once would spin.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Ok(permit) = under_way.clone().try_acquire_owned() else { continue };
        let zone = zone.clone();
        clients.spawn(async move {
            let _permit = permit;
            // Why: a client that breaks off has its reasons.
            let _ = converse(stream, &*zone).await;
        });
    }
}

/// Queries and replies, each preceded by its length (RFC 1035 §4.2.2), until the client ends.
async fn converse(mut stream: TcpStream, zone: &dyn Zone) -> io::Result<()> {
    loop {
        let len = timeout(TCP_IDLE, stream.read_u16()).await??;
        let mut packet = vec![0; usize::from(len)];
        timeout(TCP_IDLE, stream.read_exact(&mut packet)).await??;
        let reply = match own_answer(&packet, zone) {
            Some(reply) => Some(reply),
            None => upstream::ask_tcp(&packet, &zone.upstream()).await.or_else(|| failure(&packet)),
        };
        let Some(reply) = reply else { return Ok(()) };
        let len = u16::try_from(reply.len()).map_err(io::Error::other)?;
        let framed = [&len.to_be_bytes()[..], &reply].concat();
        timeout(TCP_IDLE, stream.write_all(&framed)).await??;
    }
}

/// The reply to what is ours to answer, refusals included; `None` for what goes upstream. Any bytes may come.
pub fn own_answer(packet: &[u8], zone: &dyn Zone) -> Option<Vec<u8>> {
    let Some(query) = Query::parse(packet) else {
        return message::refusal(packet, FORMAT_ERROR);
    };
    if let Some(address) = query.reverse() {
        return Some(query.reply(NO_ERROR, &[Answer::Name(zone.name_of(address)?)]));
    }
    let asks_address = matches!(query.kind, Kind::A | Kind::Aaaa);
    let addresses = asks_address.then(|| zone.addresses(&query.name)).flatten()?;
    // Why: a name of ours without an address of the kind exists all the same: an empty answer, not an unknown name.
    let answers: Vec<_> = addresses.into_iter().map(Answer::Address).collect();
    Some(query.reply(NO_ERROR, &answers))
}

fn failure(packet: &[u8]) -> Option<Vec<u8>> {
    match Query::parse(packet) {
        Some(query) => Some(query.reply(SERVER_FAILURE, &[])),
        None => message::refusal(packet, SERVER_FAILURE),
    }
}
