use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr};

use cubby_wire::forward::Protocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::*;
use crate::fake::{Guest, Wire, open_descriptors, pair, wait_for};

const ECHO: u16 = 7;
const REFUSED: u16 = 9;
/// Echoes like [`ECHO`], a minute later.
const SLOW: u16 = 10;

fn port(protocol: Protocol, ip: &str, host_port: u16, container_port: u16) -> Port {
    let target = Dial { protocol, address: "172.17.0.2".parse().unwrap(), port: container_port };
    Port { protocol, host_ip: ip.parse().unwrap(), host_port, host_port_end: host_port, target }
}

/// A guest whose containers echo on [`ECHO`].
fn guest() -> Arc<Guest> {
    Guest::new(|port, mut stream| async move {
        assert_eq!(port, ports::FORWARD);
        let dial: Dial = frame::read(&mut stream).await.unwrap().unwrap();
        if dial.port == REFUSED {
            let reason = "nothing listens".to_owned();
            return frame::write(&mut stream, &Dialled::Failed { reason }).await.unwrap();
        }
        if dial.port == SLOW {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        frame::write(&mut stream, &Dialled::Connected).await.unwrap();
        let (mut read, mut write) = tokio::io::split(stream);
        let _ = tokio::io::copy(&mut read, &mut write).await;
    })
}

struct Opened {
    answer: Published,
    /// Its end is the container's end.
    stream: Wire,
    serving: tokio::task::JoinHandle<()>,
}

async fn publish(forwarder: &Arc<Forwarder>, ports: Vec<Port>) -> Opened {
    let (mut stream, theirs) = pair().unwrap();
    let serving = tokio::spawn(forwarder.clone().serve(Box::new(theirs)));
    let publish = Publish { container_id: "c1".into(), container_name: "web".into(), ports };
    frame::write(&mut stream, &publish).await.unwrap();
    let answer = frame::read(&mut stream).await.unwrap().unwrap();
    Opened { answer, stream, serving }
}

fn opened(answer: &Published) -> &[u16] {
    match answer {
        Published::Open { host_ports } => host_ports,
        Published::Refused { reason, .. } => panic!("refused: {reason}"),
    }
}

fn refused(answer: &Published) -> (usize, &str) {
    match answer {
        Published::Refused { port, reason } => (*port, reason),
        Published::Open { .. } => panic!("opened"),
    }
}

fn forwarder() -> Arc<Forwarder> {
    Forwarder::new(guest(), Limits::default())
}

#[tokio::test]
async fn tcp_reaches_the_container_with_half_close_and_ends_with_the_stream() {
    let opening = publish(&forwarder(), vec![port(Protocol::Tcp, "127.0.0.1", 0, ECHO)]).await;
    let at: SocketAddr = ([127, 0, 0, 1], opened(&opening.answer)[0]).into();
    let mut client = TcpStream::connect(at).await.unwrap();
    client.write_all(b"hello").await.unwrap();
    client.shutdown().await.unwrap();
    let mut echoed = Vec::new();
    client.read_to_end(&mut echoed).await.unwrap();
    assert_eq!(echoed, b"hello");

    drop(opening.stream);
    opening.serving.await.unwrap();
    assert_eq!(TcpStream::connect(at).await.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn all_or_nothing_and_the_holder_is_named() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().port();
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let ports =
        vec![port(Protocol::Tcp, "127.0.0.1", free.port(), ECHO), port(Protocol::Tcp, "127.0.0.1", taken, ECHO)];
    let opening = publish(&forwarder(), ports).await;
    let (index, reason) = refused(&opening.answer);
    assert_eq!(index, 1);
    assert!(reason.contains("address already in use"), "{reason}");
    let holder = format!("process {}", std::process::id());
    assert!(!cfg!(target_os = "linux") || reason.contains(&holder), "{reason}");
    opening.serving.await.unwrap();
    let forwarder = forwarder();
    let held = publish(&forwarder, vec![port(Protocol::Tcp, "127.0.0.1", 0, ECHO)]).await;
    let ours = opened(&held.answer)[0];
    let again = publish(&forwarder, vec![port(Protocol::Tcp, "127.0.0.1", ours, ECHO)]).await;
    assert!(refused(&again.answer).1.contains("container web has it"), "{:?}", again.answer);
    TcpListener::bind(free).await.expect("the first port was closed again");
}

#[tokio::test]
async fn both_address_families_get_the_same_port() {
    let ports = vec![port(Protocol::Tcp, "0.0.0.0", 0, ECHO), port(Protocol::Tcp, "::", 0, ECHO)];
    let opening = publish(&forwarder(), ports).await;
    let host_ports = opened(&opening.answer);
    assert_eq!(host_ports[0], host_ports[1]);
    assert_ne!(host_ports[0], 0);
}

#[tokio::test]
async fn a_range_takes_the_first_free_port() {
    // Two neighbours, the first of them taken.
    let (first, _held) = loop {
        let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let first = held.local_addr().unwrap().port();
        if first < u16::MAX && std::net::TcpListener::bind(("127.0.0.1", first + 1)).is_ok() {
            break (first, held);
        }
    };
    let range = Port { host_port_end: first + 1, ..port(Protocol::Tcp, "127.0.0.1", first, ECHO) };
    let opening = publish(&forwarder(), vec![range.clone()]).await;
    assert_eq!(opened(&opening.answer), [first + 1]);
    let again = publish(&forwarder(), vec![range]).await;
    assert!(refused(&again.answer).1.contains("already in use"), "{:?}", again.answer);
}

#[tokio::test]
async fn a_refusing_container_resets_the_connection() {
    let opening = publish(&forwarder(), vec![port(Protocol::Tcp, "127.0.0.1", 0, REFUSED)]).await;
    let mut client = TcpStream::connect(("127.0.0.1", opened(&opening.answer)[0])).await.unwrap();
    match client.read(&mut [0; 1]).await {
        // Wine closes what Windows would reset.
        Ok(read) => assert!(cfg!(windows) && read == 0),
        Err(err) => assert_eq!(err.kind(), std::io::ErrorKind::ConnectionReset),
    }
}

/// The clock is the test's: it jumps whenever nothing else is left to do.
#[tokio::test(start_paused = true)]
async fn a_container_that_is_slow_to_accept_is_waited_for() {
    let opening = publish(&forwarder(), vec![port(Protocol::Tcp, "127.0.0.1", 0, SLOW)]).await;
    let mut client = TcpStream::connect(("127.0.0.1", opened(&opening.answer)[0])).await.unwrap();
    client.write_all(b"x").await.unwrap();
    let mut echoed = [0];
    client.read_exact(&mut echoed).await.unwrap();
    assert_eq!(echoed, *b"x");
}

#[tokio::test]
async fn nonsense_from_the_guest_opens_nothing() {
    let good = port(Protocol::Tcp, "127.0.0.1", 0, ECHO);
    let bad = [
        Port { host_port: 9000, host_port_end: 8000, ..good.clone() },
        Port { host_port: 0, host_port_end: 10, ..good.clone() },
        port(Protocol::Tcp, "127.0.0.1", 0, 0),
        Port { target: Dial { protocol: Protocol::Udp, ..good.target.clone() }, ..good.clone() },
        Port { host_ip: "203.0.113.9".parse::<IpAddr>().unwrap(), ..good.clone() },
    ];
    for bad in bad {
        let opening = publish(&forwarder(), vec![good.clone(), bad]).await;
        assert_eq!(refused(&opening.answer).0, 1, "{:?}", opening.answer);
        opening.serving.await.unwrap();
    }
    let many = Forwarder::new(guest(), Limits { listeners: 2, ..Limits::default() });
    assert_eq!(refused(&publish(&many, vec![good.clone(); 3]).await.answer).0, 0);
    let held = publish(&many, vec![good.clone(); 2]).await;
    opened(&held.answer);
    refused(&publish(&many, vec![good.clone()]).await.answer);
    drop(held.stream);
    held.serving.await.unwrap();
    opened(&publish(&many, vec![good]).await.answer);
}

#[tokio::test]
async fn datagrams_keep_their_borders_and_idle_flows_are_forgotten() {
    let guest = guest();
    let idle = Duration::from_secs(1);
    let forwarder = Forwarder::new(guest.clone(), Limits { udp_idle: idle, ..Limits::default() });
    let opening = publish(&forwarder, vec![port(Protocol::Udp, "127.0.0.1", 0, ECHO)]).await;
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(("127.0.0.1", opened(&opening.answer)[0])).await.unwrap();
    let mut buffer = [0; 2048];
    for round in 0..2 {
        let (before, began) = (guest.dialled(), std::time::Instant::now());
        for payload in [&b"one"[..], b"", &[3; 1400]] {
            client.send(payload).await.unwrap();
            let n = client.recv(&mut buffer).await.unwrap();
            assert_eq!(&buffer[..n], payload, "round {round}");
        }
        // On a machine that took longer, the flow may have been idle in between.
        assert!(began.elapsed() >= idle || guest.dialled() == before + 1, "round {round}");
        wait_for("the flow is forgotten", || guest.live() == 0).await;
    }
    assert!(guest.dialled() >= 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_connections_leak_nothing() {
    let guest = guest();
    let forwarder = Forwarder::new(guest.clone(), Limits::default());
    let opening = publish(&forwarder, vec![port(Protocol::Tcp, "127.0.0.1", 0, ECHO)]).await;
    let at: SocketAddr = ([127, 0, 0, 1], opened(&opening.answer)[0]).into();
    let before = open_descriptors();
    for _ in 0..10 {
        let batch = (0..100).map(|_| {
            tokio::task::spawn_blocking(move || {
                let mut client = std::net::TcpStream::connect(at).unwrap();
                client.write_all(b"ping").unwrap();
                let mut echoed = [0; 4];
                client.read_exact(&mut echoed).unwrap();
                assert_eq!(&echoed, b"ping");
            })
        });
        for client in batch.collect::<Vec<_>>() {
            client.await.unwrap();
        }
    }
    assert_eq!(guest.dialled(), 1000);
    wait_for("every stream is closed", || guest.live() == 0).await;
    // Other tests of this process open and close descriptors meanwhile; a leak of one per connection would show.
    wait_for("descriptors are back", || open_descriptors() < before + 200).await;
}
