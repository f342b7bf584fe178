//! Accepted TCP connections: one stream to the guest each.

use std::time::Duration;

use cubby_wire::forward::Dial;
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::Forwarder;
use crate::relay::relay_client;

/// Accepts until dropped, which closes the connections too.
pub(super) async fn serve(forwarder: &std::sync::Arc<Forwarder>, listener: TcpListener, target: Dial) {
    let mut connections = JoinSet::new();
    loop {
        let Ok(slot) = forwarder.connections.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
        };
        match accepted {
            Ok((client, from)) => {
                let (forwarder, target) = (forwarder.clone(), target.clone());
                connections.spawn(async move {
                    tracing::trace!(%from, port = target.port, "connection to a published port");
                    connection(&forwarder, client, &target).await;
                    drop(slot);
                });
            }
            Err(err) => {
                tracing::warn!(%err, port = target.port, "could not accept a connection to a published port");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(forwarder: &Forwarder, client: TcpStream, target: &Dial) {
    // Delays are the far ends' business.
    let _ = client.set_nodelay(true);
    let connected = tokio::select! {
        connected = forwarder.connect(target) => connected,
        // It gave up while the guest waits for the container's service.
        _ = client.ready(Interest::ERROR) => return,
    };
    match connected {
        Ok(guest) => {
            if let Err(err) = relay_client(client, guest).await {
                tracing::debug!(%err, port = target.port, "connection to a published port broke");
            }
        }
        Err(reason) => {
            tracing::debug!(%reason, port = target.port, "the container does not take the connection");
            // A reset says "refused" as well as it can still be said after the accept.
            let _ = client.set_zero_linger();
        }
    }
}
