//! UDP: which client's answers come back on which socket.
//!
//! Each client has a socket of its own towards the container, so that the container can tell clients apart and its answers
//! find their way. A flow that is silent ends; there are never more than a fixed number.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use cubby_wire::forward::Dial;
use tokio::{
    net::UdpSocket,
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::dial;

/// Largest UDP payload.
pub const DATAGRAM_BYTES: usize = 65_535;
/// Silence that ends a flow. Source: docker-proxy's `UDPConnTrackTimeout`.
pub const IDLE: Duration = Duration::from_secs(90);
/// Clients of one port at a time; datagrams of further ones are dropped.
const FLOWS: usize = 1024;
/// Datagrams of one client that wait for the container; further ones are dropped, as a full socket would.
const WAITING: usize = 64;

/// Serves a listening socket until dropped, which ends the flows too.
pub async fn serve(socket: UdpSocket, target: Dial) {
    let socket = Arc::new(socket);
    let mut clients: HashMap<SocketAddr, mpsc::Sender<Vec<u8>>> = HashMap::new();
    let mut flows = JoinSet::new();
    let mut buffer = vec![0; DATAGRAM_BYTES];
    loop {
        while flows.try_join_next().is_some() {}
        let Ok((len, client)) = socket.recv_from(&mut buffer).await else { continue };
        if clients.get(&client).is_none_or(mpsc::Sender::is_closed) {
            clients.retain(|_, sender| !sender.is_closed());
            if clients.len() == FLOWS {
                tracing::debug!(%client, "too many UDP clients: datagram dropped");
                continue;
            }
            let (sender, receiver) = mpsc::channel(WAITING);
            clients.insert(client, sender);
            flows.spawn(flow(socket.clone(), client, target.clone(), receiver));
        }
        if let Some(sender) = clients.get(&client) {
            // Why: dropping is what UDP does when a receiver is slow.
            let _ = sender.try_send(buffer[..len].to_vec());
        }
    }
}

async fn flow(socket: Arc<UdpSocket>, client: SocketAddr, target: Dial, mut from_client: mpsc::Receiver<Vec<u8>>) {
    let container = match dial::udp(&target).await {
        Ok(container) => container,
        Err(error) => return tracing::debug!(%client, err = %error, "container is not reached"),
    };
    let mut buffer = vec![0; DATAGRAM_BYTES];
    let mut end = Instant::now() + IDLE;
    loop {
        tokio::select! {
            datagram = from_client.recv() => match datagram {
                // Why: a refusal by the container shows up at the next call and says nothing about this datagram.
                Some(datagram) => { let _ = container.send(&datagram).await; }
                None => return,
            },
            answer = container.recv(&mut buffer) => if let Ok(len) = answer {
                let _ = socket.send_to(&buffer[..len], client).await;
            },
            () = sleep_until(end) => return,
        }
        end = Instant::now() + IDLE;
    }
}
