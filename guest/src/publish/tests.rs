//! Publishers and forwarder over loopback; the container is a socket of the test.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use cubby_engine::ports::Publisher;
use cubby_wire::{
    forward::{Dial, Dialled, Protocol},
    frame,
    publish::{Port, Publish, Published},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    net::{TcpListener, TcpSocket, TcpStream, UdpSocket},
    time::timeout,
};

use super::{
    Native,
    dial::{self, Starting},
    forward::{self, Reachable},
    guest,
};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn port(protocol: Protocol, host_port: u16, target: SocketAddr) -> Port {
    let target = Dial { protocol, address: target.ip(), port: target.port() };
    Port { protocol, host_ip: LOOPBACK, host_port, host_port_end: host_port, target }
}

/// A container that sends back what it got, after it got all of it: works only if half-close is passed on.
async fn echo_after_end() -> SocketAddr {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((LOOPBACK, 0).into()).unwrap();
    // Why: a thousand connections at once overrun the usual 128, and that would be the container's own doing.
    let listener = socket.listen(4096).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut all = Vec::new();
                stream.read_to_end(&mut all).await.unwrap();
                stream.write_all(&all).await.unwrap();
            });
        }
    });
    address
}

async fn exchange(at: u16, sent: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect((LOOPBACK, at)).await.unwrap();
    let (mut read, mut write) = stream.split();
    let mut all = Vec::new();
    let send = async {
        write.write_all(sent).await.unwrap();
        write.shutdown().await.unwrap();
    };
    let (_, received) = tokio::join!(send, read.read_to_end(&mut all));
    received.unwrap();
    all
}

#[tokio::test]
async fn megabytes_and_half_close_pass_and_the_guard_closes() {
    let container = echo_after_end().await;
    let published = Native::new().publish("id", "web", vec![port(Protocol::Tcp, 0, container)]).await.unwrap();
    let [at] = published.host_ports[..] else { panic!("one port") };
    assert!(at >= 32768);
    let sent: Vec<u8> = (0..3_000_000u32).map(|n| (n * 7) as u8).collect();
    assert!(exchange(at, &sent).await == sent);
    let mut open = TcpStream::connect((LOOPBACK, at)).await.unwrap();
    open.write_all(b"x").await.unwrap();
    drop(published);
    let ended = timeout(Duration::from_secs(5), open.read(&mut [0])).await.unwrap();
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    TcpStream::connect((LOOPBACK, at)).await.unwrap_err();
}

#[tokio::test]
async fn a_taken_port_is_refused_with_its_holder_and_nothing_stays_open() {
    let holder = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let held = holder.local_addr().unwrap().port();
    let target: SocketAddr = "172.17.0.2:80".parse().unwrap();
    let probe = TcpListener::bind((LOOPBACK, 0)).await.unwrap().local_addr().unwrap().port();
    let ports = vec![port(Protocol::Tcp, probe, target), port(Protocol::Tcp, held, target)];
    let Err(error) = Native::new().publish("id", "web", ports).await else { panic!("a taken port was bound") };
    let expected =
        format!("failed to bind host port for 127.0.0.1:{held}:172.17.0.2:80/tcp: address already in use (held by ");
    assert!(error.message().starts_with(&expected), "{error}");
    assert!(error.message().ends_with(&format!("(pid {}))", std::process::id())), "{error}");
    TcpListener::bind((LOOPBACK, probe)).await.expect("the first port is free again");

    let native = Native::new();
    let first = native.publish("id", "web", vec![port(Protocol::Tcp, probe, target)]).await.unwrap();
    let Err(error) = native.publish("id2", "app", vec![port(Protocol::Tcp, probe, target)]).await else {
        panic!("a taken port was bound")
    };
    let expected = format!("Bind for 127.0.0.1:{probe} failed: port is already allocated (container web has it)");
    assert_eq!(error.message(), expected);
    drop(first);
    assert!(native.publish("id2", "app", vec![port(Protocol::Udp, probe, target)]).await.is_ok());
}

#[tokio::test]
async fn a_range_gives_its_first_free_port_and_udp_and_tcp_do_not_clash() {
    let holder = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let held = holder.local_addr().unwrap().port();
    let target: SocketAddr = "172.17.0.2:80".parse().unwrap();
    let mut range = port(Protocol::Tcp, held, target);
    range.host_port_end = held.saturating_add(20);
    let ports = vec![range, port(Protocol::Udp, held, target)];
    let published = Native::new().publish("id", "web", ports).await.unwrap();
    assert!(published.host_ports[0] > held && published.host_ports[0] <= held + 20);
    assert_eq!(published.host_ports[1], held);
}

#[tokio::test]
async fn a_container_that_does_not_listen_is_a_broken_connection() {
    let gone = TcpListener::bind((LOOPBACK, 0)).await.unwrap().local_addr().unwrap();
    let published = Native::new().publish("id", "web", vec![port(Protocol::Tcp, 0, gone)]).await.unwrap();
    let mut stream = TcpStream::connect((LOOPBACK, published.host_ports[0])).await.unwrap();
    let error = timeout(PATIENCE, stream.read(&mut [0])).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

/// Waits for what never comes, of a container that never ages.
const FOR_EVER: Starting = Starting { young: Duration::MAX, wait: Duration::MAX };
/// The same, of a container that has been there for long.
const GROWN_UP: Starting = Starting { young: Duration::ZERO, wait: Duration::MAX };
const PATIENCE: Duration = Duration::from_secs(60);

/// A port that is taken, and refuses connections until it listens.
fn silent() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((LOOPBACK, 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// Until so many of the relay's places are taken: one waits for the next connection.
async fn until_taken(native: &Native, free_before: usize, taken: usize) {
    let settled = async {
        while free_before - native.connections.available_permits() != taken {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, settled).await.expect("as many connections as expected");
}

#[tokio::test]
async fn who_comes_before_the_service_listens_is_served_when_it_does() {
    let (socket, target) = silent();
    let native = Native::with(FOR_EVER);
    let free = native.connections.available_permits();
    let published = native.publish("id", "web", vec![port(Protocol::Tcp, 0, target)]).await.unwrap();
    let mut client = TcpStream::connect((LOOPBACK, published.host_ports[0])).await.unwrap();
    client.write_all(b"early").await.unwrap();
    client.shutdown().await.unwrap();
    until_taken(&native, free, 2).await;
    let listener = socket.listen(8).unwrap();
    let (mut service, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    let mut asked = Vec::new();
    service.read_to_end(&mut asked).await.unwrap();
    assert_eq!(asked, b"early");
    service.write_all(b"late").await.unwrap();
    drop(service);
    let mut answer = Vec::new();
    timeout(PATIENCE, client.read_to_end(&mut answer)).await.unwrap().unwrap();
    assert_eq!(answer, b"late");
}

/// The clock is the test's: it jumps whenever nothing else is left to do. Only the kernel's retransmission (1 s) is real.
#[tokio::test(start_paused = true)]
async fn a_service_that_is_slow_to_accept_is_waited_for() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((LOOPBACK, 0).into()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let _waiting = [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
    let target = Dial { protocol: Protocol::Tcp, address: LOOPBACK, port: address.port() };
    let mut dialling = std::pin::pin!(dial::tcp(&target, GROWN_UP, || Some(Duration::MAX)));
    timeout(Duration::from_secs(120), &mut dialling).await.expect_err("the backlog is full");
    for _ in 0..2 {
        listener.accept().await.unwrap();
    }
    let connected = dialling.await.unwrap();
    assert_eq!(listener.accept().await.unwrap().1, connected.local_addr().unwrap());
}

#[tokio::test]
async fn nobody_is_waited_for_who_has_gone() {
    let (_socket, target) = silent();
    let native = Native::with(FOR_EVER);
    let free = native.connections.available_permits();
    let published = native.publish("id", "web", vec![port(Protocol::Tcp, 0, target)]).await.unwrap();
    let client = TcpStream::connect((LOOPBACK, published.host_ports[0])).await.unwrap();
    until_taken(&native, free, 2).await;
    client.set_zero_linger().unwrap();
    drop(client);
    until_taken(&native, free, 1).await;

    let (mut host, guest) = duplex(4096);
    let ended = tokio::spawn(async move { forward::answer(guest, &Loopback, FOR_EVER).await });
    frame::write(&mut host, &Dial { protocol: Protocol::Tcp, address: LOOPBACK, port: target.port() }).await.unwrap();
    drop(host);
    timeout(PATIENCE, ended).await.expect("the guest stops dialling").unwrap().unwrap_err();
}

#[tokio::test]
async fn a_container_that_has_been_up_for_long_is_not_waited_for() {
    let (_socket, target) = silent();
    let native = Native::with(GROWN_UP);
    let published = native.publish("id", "web", vec![port(Protocol::Tcp, 0, target)]).await.unwrap();
    let mut client = TcpStream::connect((LOOPBACK, published.host_ports[0])).await.unwrap();
    let error = timeout(PATIENCE, client.read(&mut [0])).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let (_, answer) = dialled(Dial { protocol: Protocol::Tcp, address: LOOPBACK, port: target.port() }, GROWN_UP).await;
    assert!(matches!(answer, Dialled::Failed { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_connections_at_once() {
    let container = echo_after_end().await;
    let published = Native::new().publish("id", "web", vec![port(Protocol::Tcp, 0, container)]).await.unwrap();
    let at = published.host_ports[0];
    let before = std::fs::read_dir("/proc/self/fd").unwrap().count();
    let mut clients = tokio::task::JoinSet::new();
    for n in 0..1000u32 {
        clients.spawn(async move { exchange(at, &n.to_le_bytes()).await == n.to_le_bytes() });
    }
    assert!(clients.join_all().await.into_iter().all(|intact| intact));
    let settled = async {
        // Other tests of this process hold a few descriptors.
        while std::fs::read_dir("/proc/self/fd").unwrap().count() > before + 50 {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), settled).await.expect("descriptors are given back");
}

#[tokio::test]
async fn udp_clients_get_their_own_answers() {
    let container = UdpSocket::bind((LOOPBACK, 0)).await.unwrap();
    let target = container.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 2048];
        while let Ok((len, from)) = container.recv_from(&mut buffer).await {
            buffer[..len].reverse();
            container.send_to(&buffer[..len], from).await.unwrap();
        }
    });
    let published = Native::new().publish("id", "dns", vec![port(Protocol::Udp, 0, target)]).await.unwrap();
    for round in [b"abc", b"xyz"] {
        for _ in 0..2 {
            let client = UdpSocket::bind((LOOPBACK, 0)).await.unwrap();
            client.connect((LOOPBACK, published.host_ports[0])).await.unwrap();
            client.send(round).await.unwrap();
            let mut answer = [0; 16];
            let len = timeout(Duration::from_secs(5), client.recv(&mut answer)).await.unwrap().unwrap();
            assert!(answer[..len].iter().eq(round.iter().rev()));
        }
    }
}

struct Loopback;

impl Reachable for Loopback {
    fn container_age(&self, address: IpAddr) -> Option<Duration> {
        (address == LOOPBACK).then_some(Duration::ZERO)
    }
}

async fn dialled(target: Dial, starting: Starting) -> (tokio::io::DuplexStream, Dialled) {
    let (mut host, guest) = duplex(64 * 1024);
    tokio::spawn(async move { forward::answer(guest, &Loopback, starting).await });
    frame::write(&mut host, &target).await.unwrap();
    let answer = frame::read(&mut host).await.unwrap().unwrap();
    (host, answer)
}

#[tokio::test]
async fn the_forwarder_dials_containers_and_nothing_else() {
    let container = echo_after_end().await;
    let dial = |address: IpAddr, port| Dial { protocol: Protocol::Tcp, address, port };
    let (mut host, answer) = dialled(dial(LOOPBACK, container.port()), GROWN_UP).await;
    assert_eq!(answer, Dialled::Connected);
    host.write_all(b"hello").await.unwrap();
    host.shutdown().await.unwrap();
    let mut all = Vec::new();
    host.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, b"hello");

    let (mut host, answer) = dialled(dial([192, 0, 2, 1].into(), 80), GROWN_UP).await;
    let Dialled::Failed { reason } = answer else { panic!("{answer:?}") };
    assert_eq!(reason, "192.0.2.1 is no address of a running container");
    assert_eq!(host.read(&mut [0]).await.unwrap(), 0);
    let gone = TcpListener::bind((LOOPBACK, 0)).await.unwrap().local_addr().unwrap();
    let (_, answer) = dialled(dial(LOOPBACK, gone.port()), GROWN_UP).await;
    assert!(matches!(answer, Dialled::Failed { .. }));
}

#[tokio::test]
async fn the_forwarder_carries_datagrams_with_their_lengths() {
    let container = UdpSocket::bind((LOOPBACK, 0)).await.unwrap();
    let target = Dial { protocol: Protocol::Udp, address: LOOPBACK, port: container.local_addr().unwrap().port() };
    let (mut host, answer) = dialled(target, GROWN_UP).await;
    assert_eq!(answer, Dialled::Connected);
    host.write_all(b"\x02\x00hi\x00\x00").await.unwrap();
    let mut buffer = [0; 16];
    let (len, from) = container.recv_from(&mut buffer).await.unwrap();
    assert_eq!(&buffer[..len], b"hi");
    assert_eq!(container.recv_from(&mut buffer).await.unwrap().0, 0, "an empty datagram is one too");
    container.send_to(b"yes", from).await.unwrap();
    let mut framed = [0; 5];
    host.read_exact(&mut framed).await.unwrap();
    assert_eq!(&framed, b"\x03\x00yes");
}

#[tokio::test]
async fn the_host_is_asked_and_its_refusal_told() {
    let target: SocketAddr = "172.17.0.2:80".parse().unwrap();
    let publish = Publish {
        container_id: "id".into(),
        container_name: "web".into(),
        ports: vec![port(Protocol::Tcp, 0, target)],
    };
    let answers = [
        (Published::Open { host_ports: vec![8080] }, Ok(vec![8080])),
        (Published::Open { host_ports: vec![] }, Err("the host opened other ports than asked")),
        (Published::Refused { port: 0, reason: "taken".into() }, Err("taken")),
    ];
    for (answer, expected) in answers {
        let (mut host, guest) = duplex(4096);
        let asked = publish.clone();
        let server = tokio::spawn(async move {
            assert_eq!(frame::read::<Publish>(&mut host).await.unwrap(), Some(asked));
            frame::write(&mut host, &answer).await.unwrap();
            host
        });
        let result = guest::ask(async || Ok(guest), &publish).await.map(|(_, ports)| ports);
        assert_eq!(result, expected.map_err(str::to_owned));
        server.await.unwrap();
    }
    let refused =
        guest::ask(async || Err::<TcpStream, _>(std::io::ErrorKind::ConnectionRefused.into()), &publish).await;
    assert!(refused.unwrap_err().starts_with("the host does not answer"));
}

/// Two connections with a relay between them: the client's end, and the server's.
async fn relayed() -> (TcpStream, TcpStream) {
    let (near, far) =
        (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let client = TcpStream::connect(near.local_addr().unwrap()).await.unwrap();
    let mut accepted = near.accept().await.unwrap().0;
    let mut onward = TcpStream::connect(far.local_addr().unwrap()).await.unwrap();
    let server = far.accept().await.unwrap().0;
    tokio::spawn(async move { super::relay::relay(&mut accepted, &mut onward).await });
    (client, server)
}

#[tokio::test]
async fn much_at_once_arrives_whole_both_ways_and_so_does_its_end() {
    let (client, server) = relayed().await;
    let ((mut from_server, mut to_server), (mut from_client, mut to_client)) =
        (client.into_split(), server.into_split());
    // Blocks of all sizes, so that copying and handing on take turns.
    let content: Vec<u8> = (0..9 << 20).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let sent = content.clone();
    let writer = tokio::spawn(async move {
        let (mut rest, mut size) = (sent.as_slice(), 1);
        while !rest.is_empty() {
            let (block, later) = rest.split_at(size.min(rest.len()));
            to_server.write_all(block).await.unwrap();
            (rest, size) = (later, if size > 2 << 20 { 1 } else { size * 3 });
        }
    });
    let echoed = content.clone();
    let back = tokio::spawn(async move { to_client.write_all(&echoed).await.unwrap() });
    let (mut there, mut here) = (Vec::new(), Vec::new());
    let (read, answered) = tokio::join!(from_client.read_to_end(&mut there), from_server.read_to_end(&mut here));
    read.unwrap();
    answered.unwrap();
    writer.await.unwrap();
    back.await.unwrap();
    assert!(there == content && here == content, "{} there, {} here", there.len(), here.len());
}

#[tokio::test]
async fn a_reader_that_takes_nothing_holds_the_writer_back() {
    let (mut client, mut server) = relayed().await;
    let block = vec![7; 1 << 20];
    let mut sent = 0;
    // What fits into sockets and one pipe; after that nothing more is taken.
    while let Ok(written) = tokio::time::timeout(Duration::from_millis(500), client.write(&block)).await {
        sent += written.unwrap();
        assert!(sent < 256 << 20, "the relay takes without end");
    }
    client.shutdown().await.unwrap();
    let mut received = 0;
    let mut buffer = vec![0; 1 << 16];
    loop {
        match server.read(&mut buffer).await.unwrap() {
            0 => break,
            read => received += read,
        }
    }
    assert_eq!(received, sent);
}
