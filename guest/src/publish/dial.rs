//! Connections to containers.
//!
//! A service needs a moment from the container's start until it listens. Whoever comes in that moment is not reset at once, as
//! a browser opened a little too early would be: the connection is tried again for a while ([`Starting`]). A container that
//! has been up for longer and does not listen is a reset at once.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};

use cubby_wire::forward::Dial;
use tokio::{
    net::{TcpStream, UdpSocket},
    time::sleep,
};

/// Between two tries: a connect on this machine's own bridge costs next to nothing.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// What counts as the moment until a container's service listens.
#[derive(Clone, Copy, Debug)]
pub struct Starting {
    /// For how long a container is believed to be starting.
    pub young: Duration,
    /// How long one connection waits. Shorter than a former container's address rests, so it never ends up at another's.
    pub wait: Duration,
}

impl Default for Starting {
    fn default() -> Self {
        Self { young: Duration::from_secs(30), wait: Duration::from_millis(1500) }
    }
}

/// Connects. `age` tells for how long the container has been there; none: it is gone.
///
/// There is no deadline but the kernel's own (`tcp_syn_retries`: 127 s): a service whose backlog is full answers late, and a
/// container that went is unreachable within seconds. Whoever calls drops this when its client gives up.
pub async fn tcp(target: &Dial, starting: Starting, age: impl Fn() -> Option<Duration>) -> io::Result<TcpStream> {
    let began = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        match TcpStream::connect((target.address, target.port)).await {
            Err(error)
                if error.kind() == io::ErrorKind::ConnectionRefused
                    && began.elapsed() < starting.wait
                    && age().is_some_and(|age| age < starting.young) =>
            {
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            connected => {
                let stream = connected?;
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
        }
    }
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
