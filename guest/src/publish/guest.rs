//! Listeners on the host: asked for over vsock, open as long as the asking stream is.
//!
//! ```text
//! asked ──Open──▶ held ──stream ends (the host's process is gone)──▶ asks again for the same ports, until dropped
//!   └──Refused / no host──▶ error
//! ```

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use cubby_engine::{
    Error,
    error::Result,
    ports::{Publication, Publisher},
};
use cubby_wire::{
    forward::Protocol,
    frame, ports,
    publish::{Port, Publish, Published},
};
use futures_util::future::BoxFuture;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_vsock::{VsockAddr, VsockStream};

use super::Tasks;

/// How long the host may take to open listeners.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between attempts to have ports again after the host's process went away.
const PAUSE: Duration = Duration::from_secs(1);

/// See the module's documentation.
pub struct Guest;

impl Guest {
    pub fn new() -> Arc<Self> {
        Arc::new(Self)
    }
}

impl Publisher for Guest {
    fn publish<'a>(
        &'a self,
        container_id: &'a str,
        name: &'a str,
        ports: Vec<Port>,
    ) -> BoxFuture<'a, Result<Publication>> {
        let mut publish = Publish { container_id: container_id.to_owned(), container_name: name.to_owned(), ports };
        Box::pin(async move {
            if publish.ports.iter().any(|port| port.protocol == Protocol::Sctp) {
                return Err(Error::not_implemented(
                    "publishing sctp ports is not supported: only tcp and udp are forwarded to containers in a machine",
                ));
            }
            let (stream, host_ports) = ask(dial, &publish).await.map_err(Error::internal)?;
            // Why: when asked again, what the kernel chose then is what clients know by now.
            for (port, chosen) in publish.ports.iter_mut().zip(&host_ports) {
                (port.host_port, port.host_port_end) = (*chosen, *chosen);
            }
            let mut tasks = JoinSet::new();
            tasks.spawn(hold(stream, publish));
            Ok(Publication { host_ports, guard: Box::new(Tasks(tasks)) })
        })
    }

    /// The host is where the guest's own default route leads.
    fn host_gateway(&self) -> Option<IpAddr> {
        default_gateway(&fs::read_to_string("/proc/self/net/route").ok()?).map(IpAddr::V4)
    }
}

async fn dial() -> io::Result<VsockStream> {
    VsockStream::connect(VsockAddr::new(ports::HOST_CID, ports::PUBLISH)).await
}

/// Asks for listeners; the stream keeps them open.
pub(super) async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    dial: impl AsyncFnOnce() -> io::Result<S>,
    publish: &Publish,
) -> Result<(S, Vec<u16>), String> {
    let asked = async {
        let mut stream = dial().await.map_err(|error| format!("the host does not answer: {error}"))?;
        frame::write(&mut stream, publish).await.map_err(|error| format!("the host could not be asked: {error}"))?;
        match frame::read::<Published>(&mut stream).await {
            Ok(Some(Published::Open { host_ports })) if host_ports.len() == publish.ports.len() => {
                Ok((stream, host_ports))
            }
            Ok(Some(Published::Open { .. })) => Err("the host opened other ports than asked".to_owned()),
            Ok(Some(Published::Refused { reason, .. })) => Err(reason),
            Ok(None) => Err("the host hung up".to_owned()),
            Err(error) => Err(format!("the host's answer is not understood: {error}")),
        }
    };
    timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err("the host does not answer in time".to_owned()))
}

/// Holds the stream, and asks again whenever it ends. Runs until dropped.
async fn hold(mut stream: VsockStream, publish: Publish) {
    loop {
        let mut byte = [0];
        // The host says nothing more; whatever comes back is the end.
        while stream.read(&mut byte).await.is_ok_and(|len| len > 0) {}
        tracing::warn!(container_id = %publish.container_id, "the host closed published ports: asking again");
        stream = loop {
            match ask(dial, &publish).await {
                Ok((stream, _)) => break stream,
                Err(error) => {
                    tracing::debug!(container_id = %publish.container_id, err = %error, "ports not published yet")
                }
            }
            sleep(PAUSE).await;
        };
        tracing::info!(container_id = %publish.container_id, "ports published again");
    }
}

/// The gateway of the default route in the kernel's table, where numbers are hexadecimal in host byte order.
fn default_gateway(table: &str) -> Option<Ipv4Addr> {
    let mut routes = table.lines().skip(1).map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    let default = routes.find(|fields| fields.get(1) == Some(&"00000000") && fields.get(7) == Some(&"00000000"))?;
    let gateway = u32::from_str_radix(default.get(2)?, 16).ok().filter(|gateway| *gateway != 0)?;
    Some(Ipv4Addr::from(gateway.to_ne_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_route_is_found() {
        let table = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
            docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
            eth0\t00000000\t0202000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n";
        assert_eq!(default_gateway(table), Some(Ipv4Addr::new(10, 0, 2, 2)));
        assert_eq!(default_gateway("nothing"), None);
    }
}
