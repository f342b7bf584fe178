//! Datagrams of a published port: one stream to the guest per client address, forgotten when idle.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use cubby_wire::forward::Dial;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::Forwarder;
use crate::link::BoxStream;

/// Datagrams of one client that wait for the guest; more are dropped, as networks do.
const QUEUE: usize = 64;

/// Receives until dropped, which ends the flows too.
pub(super) async fn serve(forwarder: &Arc<Forwarder>, socket: UdpSocket, target: Dial) {
    let socket = Arc::new(socket);
    let mut flows: HashMap<SocketAddr, mpsc::Sender<Vec<u8>>> = HashMap::new();
    let mut running = JoinSet::new();
    let mut datagram = vec![0; usize::from(u16::MAX)];
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut datagram) => received,
            Some(ended) = running.join_next(), if !running.is_empty() => {
                // A client that came back at that very moment has a new flow: its sender is open.
                if let Ok(client) = ended && flows.get(&client).is_some_and(mpsc::Sender::is_closed) {
                    flows.remove(&client);
                }
                continue;
            }
        };
        // An error is about a datagram sent before (ICMP), not about the socket.
        let Ok((length, client)) = received else { continue };
        let payload = datagram[..length].to_vec();
        let payload = match flows.get(&client).map(|flow| flow.try_send(payload)) {
            None => datagram[..length].to_vec(),
            Some(Ok(()) | Err(mpsc::error::TrySendError::Full(_))) => continue,
            Some(Err(mpsc::error::TrySendError::Closed(payload))) => payload,
        };
        if flows.len() >= forwarder.limits.udp_flows {
            tracing::debug!(port = target.port, "too many UDP clients; a datagram was dropped");
            continue;
        }
        let (queue, datagrams) = mpsc::channel(QUEUE);
        // The queue is new and has room.
        let _ = queue.try_send(payload);
        flows.insert(client, queue);
        let (forwarder, socket, target) = (forwarder.clone(), socket.clone(), target.clone());
        running.spawn(async move {
            if let Err(reason) = flow(&forwarder, &socket, client, &target, datagrams).await {
                tracing::debug!(%reason, port = target.port, "a UDP flow ended");
            }
            client
        });
    }
}

async fn flow(
    forwarder: &Forwarder,
    socket: &UdpSocket,
    client: SocketAddr,
    target: &Dial,
    mut datagrams: mpsc::Receiver<Vec<u8>>,
) -> Result<(), String> {
    let guest = forwarder.connect(target).await?;
    let (mut from_guest, mut to_guest) = tokio::io::split(guest);
    let (answers, mut answered) = mpsc::channel(QUEUE);
    // A frame is read in two steps, so the reading must not be one of the arms that `select!` gives up.
    let reading = async move {
        while let Some(payload) = read_datagram(&mut from_guest).await? {
            if answers.send(payload).await.is_err() {
                break;
            }
        }
        io::Result::Ok(())
    };
    let moving = async {
        let mut idle_at = Instant::now() + forwarder.limits.udp_idle;
        loop {
            tokio::select! {
                out = timeout_at(idle_at, datagrams.recv()) => match out {
                    Ok(Some(payload)) => write_datagram(&mut to_guest, &payload).await?,
                    Ok(None) | Err(_) => return Ok(()),
                },
                back = answered.recv() => match back {
                    Some(payload) => { let _ = socket.send_to(&payload, client).await; }
                    None => return Ok(()),
                },
            }
            idle_at = Instant::now() + forwarder.limits.udp_idle;
        }
    };
    tokio::select! {
        read = reading => read.map_err(|err| err.to_string()),
        moved = moving => moved.map_err(|err: io::Error| err.to_string()),
    }
}

async fn write_datagram(to: &mut tokio::io::WriteHalf<BoxStream>, payload: &[u8]) -> io::Result<()> {
    // `recv_from` never yields more than a `u16` counts.
    let mut message = (payload.len() as u16).to_le_bytes().to_vec();
    message.extend_from_slice(payload);
    to.write_all(&message).await?;
    to.flush().await
}

async fn read_datagram(from: &mut tokio::io::ReadHalf<BoxStream>) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 2];
    match from.read_exact(&mut length).await {
        Err(err) if err.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    };
    let mut payload = vec![0; usize::from(u16::from_le_bytes(length))];
    from.read_exact(&mut payload).await?;
    Ok(Some(payload))
}
