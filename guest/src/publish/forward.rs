//! The guest's end of [`cubby_wire::forward`]: connections that the host accepted, brought to containers.
//!
//! ```text
//! host: connect ──Dial──▶ address of a running container? ──connect──▶ container
//!               ◀─Dialled─┘ else Failed, and the stream ends
//!               then bytes both ways, or datagrams with their length in front
//! ```
//!
//! Only containers are ever dialled: the host is trusted, but what reaches it over published ports is not.

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use cubby_engine::networks::Networks;
use cubby_wire::{
    forward::{Dial, Dialled, Protocol},
    frame, ports,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::UdpSocket,
    sync::Semaphore,
    time::{sleep, timeout},
};

use super::{
    dial::{self, Starting},
    flow::{DATAGRAM_BYTES, IDLE},
    relay::relay,
};
use crate::from_host;

/// Connections at once; further ones wait in the kernel's backlog.
const CONNECTIONS: usize = 16_384;
/// How long the host may take to say where it wants to go.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which addresses may be dialled.
pub trait Reachable: Send + Sync + 'static {
    /// For how long a running container has had the address; none: no container has it.
    fn container_age(&self, address: IpAddr) -> Option<Duration>;
}

impl Reachable for Networks {
    fn container_age(&self, address: IpAddr) -> Option<Duration> {
        self.container_age(address)
    }
}

/// Starts to serve [`ports::FORWARD`].
pub fn serve(reachable: Arc<dyn Reachable>) -> io::Result<()> {
    let listener = from_host::listen(ports::FORWARD)?;
    tokio::spawn(async move {
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(slot) = slots.clone().acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let reachable = reachable.clone();
                    tokio::spawn(async move {
                        if let Err(error) = answer(stream, &*reachable, Starting::default()).await {
                            tracing::trace!(err = %error, "forwarded connection broke");
                        }
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!(err = %error, "forwarded connection not accepted");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    });
    Ok(())
}

/// Serves one stream of the host's.
pub(super) async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    reachable: &dyn Reachable,
    starting: Starting,
) -> io::Result<()> {
    let asked = timeout(PATIENCE, frame::read::<Dial>(&mut stream)).await?.map_err(io::Error::other)?;
    let Some(target) = asked else { return Ok(()) };
    let age = || reachable.container_age(target.address);
    if age().is_none() {
        return refuse(&mut stream, format!("{} is no address of a running container", target.address)).await;
    }
    match target.protocol {
        Protocol::Tcp => match dial_or_end(&mut stream, dial::tcp(&target, starting, age)).await? {
            Ok(mut container) => {
                frame::write(&mut stream, &Dialled::Connected).await.map_err(io::Error::other)?;
                let relayed = relay(&mut stream, &mut container).await;
                if relayed.is_err() {
                    // Why: the container shall see a broken connection as broken.
                    container.set_zero_linger()?;
                }
                relayed
            }
            Err(error) => refuse(&mut stream, error.to_string()).await,
        },
        Protocol::Udp => match dial::udp(&target).await {
            Ok(container) => {
                frame::write(&mut stream, &Dialled::Connected).await.map_err(io::Error::other)?;
                datagrams(stream, &container).await
            }
            Err(error) => refuse(&mut stream, error.to_string()).await,
        },
        Protocol::Sctp => refuse(&mut stream, "sctp is not relayed".to_owned()).await,
    }
}

/// The outcome of `dialling`, unless the host ends the stream before: it says nothing until it has the answer.
async fn dial_or_end<T>(
    stream: &mut (impl AsyncRead + Unpin),
    dialling: impl Future<Output = io::Result<T>>,
) -> io::Result<io::Result<T>> {
    tokio::select! {
        biased;
        dialled = dialling => Ok(dialled),
        _ = stream.read_u8() => Err(io::ErrorKind::ConnectionAborted.into()),
    }
}

async fn refuse(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), reason: String) -> io::Result<()> {
    frame::write(stream, &Dialled::Failed { reason }).await.map_err(io::Error::other)?;
    stream.shutdown().await
}

/// Both ways until the host ends the stream, or nothing has come from either side for long.
async fn datagrams(stream: impl AsyncRead + AsyncWrite + Unpin, container: &UdpSocket) -> io::Result<()> {
    let (mut from_host, mut to_host) = tokio::io::split(stream);
    let there = async {
        let mut datagram = vec![0; DATAGRAM_BYTES];
        loop {
            let len = match timeout(IDLE, from_host.read_u16_le()).await? {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                len => usize::from(len?),
            };
            from_host.read_exact(&mut datagram[..len]).await?;
            // Why: a refusal by the container shows up at the next call and says nothing about this datagram.
            let _ = container.send(&datagram[..len]).await;
        }
    };
    let back = async {
        let mut framed = vec![0; 2 + DATAGRAM_BYTES];
        loop {
            let Ok(len) = container.recv(&mut framed[2..]).await else { continue };
            framed[..2].copy_from_slice(&(len as u16).to_le_bytes());
            to_host.write_all(&framed[..2 + len]).await?;
        }
    };
    tokio::select! {
        ended = there => ended,
        ended = back => ended,
    }
}
