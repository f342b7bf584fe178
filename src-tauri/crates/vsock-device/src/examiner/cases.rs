//! What a well-behaved driver must be able to do.

use virtio_drivers::device::socket::{
    ConnectionInfo, DisconnectReason, SocketError, StreamShutdown, VMADDR_CID_HOST, VirtIOSocket, VsockAddr,
    VsockConnectionManager, VsockEvent, VsockEventType,
};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::hal::GuestRam;
use super::{Bench, Wire, together, until};
use crate::device::{ConnectError, Device, Stream};

const GUEST_PORT: u32 = 2375;
const HOST_PORT: u32 = 1024;

type Manager = VsockConnectionManager<GuestRam, Wire, 512>;

struct Guest {
    manager: Manager,
    bench: std::rc::Rc<std::cell::RefCell<Bench>>,
}

fn set_up(buffer_bytes: u32) -> (Guest, Device) {
    let (bench, device) = Bench::new();
    let driver = VirtIOSocket::new(Wire(bench.clone())).unwrap();
    (Guest { manager: Manager::new_with_capacity(driver, buffer_bytes), bench }, device)
}

fn host(port: u32) -> VsockAddr {
    VsockAddr { cid: VMADDR_CID_HOST, port }
}

/// Every position has its own byte, so that loss, repetition and disorder all show.
fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

impl Guest {
    fn poll(&mut self) -> Option<VsockEvent> {
        self.bench.borrow_mut().run();
        self.manager.poll().expect("the device keeps to the protocol")
    }

    async fn event(&mut self, wanted: impl Fn(&VsockEventType) -> bool) -> VsockEvent {
        until(|| self.poll().filter(|event| wanted(&event.event_type))).await
    }

    /// Accepts the host's dial to `port`; both ends, the guest's as the address it talks to.
    async fn accept_dial(&mut self, device: &Device, port: u32) -> (Stream, VsockAddr) {
        self.manager.listen(port);
        let mut peer = None;
        let dialer = device.dialer();
        let stream = together(dialer.connect(port), || {
            if let Some(event) = self.poll()
                && event.event_type == VsockEventType::ConnectionRequest
            {
                peer = Some(event.source);
            }
        });
        let stream = stream.await.unwrap();
        (stream, peer.expect("a connection request"))
    }

    fn send_all(&mut self, peer: VsockAddr, port: u32, data: &[u8], sent: &mut usize) {
        while *sent < data.len() {
            let piece = &data[*sent..data.len().min(*sent + 4096)];
            match self.manager.send(peer, port, piece) {
                Ok(()) => *sent += piece.len(),
                Err(virtio_drivers::Error::SocketDeviceError(SocketError::InsufficientBufferSpaceInPeer)) => return,
                Err(err) => panic!("guest cannot send: {err}"),
            }
        }
    }

    fn receive(&mut self, peer: VsockAddr, port: u32, limit: usize, into: &mut Vec<u8>) {
        let mut piece = vec![0; limit];
        let n = self.manager.recv(peer, port, &mut piece).unwrap_or(0);
        into.extend_from_slice(&piece[..n]);
    }
}

#[tokio::test]
async fn the_host_connects_and_both_echo() {
    let (mut guest, device) = set_up(4096);
    let (mut stream, peer) = guest.accept_dial(&device, GUEST_PORT).await;
    assert_eq!(stream.guest_port(), GUEST_PORT);
    stream.write_all(b"hello guest").await.unwrap();
    guest.event(|event| *event == VsockEventType::Received { length: 11 }).await;
    let mut heard = Vec::new();
    guest.receive(peer, GUEST_PORT, 64, &mut heard);
    assert_eq!(heard, b"hello guest");

    guest.manager.send(peer, GUEST_PORT, b"hello host").unwrap();
    let mut reply = [0; 10];
    together(stream.read_exact(&mut reply), || guest.poll()).await.unwrap();
    assert_eq!(&reply, b"hello host");
}

#[tokio::test]
async fn the_guest_connects_and_both_talk() {
    let (mut guest, device) = set_up(4096);
    let mut listener = device.listen(HOST_PORT).unwrap();
    guest.manager.connect(host(HOST_PORT), 555).unwrap();
    guest.event(|event| *event == VsockEventType::Connected).await;
    guest.manager.send(host(HOST_PORT), 555, b"boot").unwrap();
    let mut stream = listener.accept().await.unwrap();
    assert_eq!(stream.guest_port(), 555);
    let mut heard = [0; 4];
    together(stream.read_exact(&mut heard), || guest.poll()).await.unwrap();
    assert_eq!(&heard, b"boot");
    stream.write_all(b"ok").await.unwrap();
    guest.event(|event| *event == VsockEventType::Received { length: 2 }).await;
}

#[tokio::test]
async fn closed_ports_refuse_on_both_sides() {
    let (mut guest, device) = set_up(4096);
    let dialer = device.dialer();
    let refused = together(dialer.connect(9), || guest.poll()).await;
    assert!(matches!(refused, Err(ConnectError::Refused)), "{refused:?}");

    guest.manager.connect(host(9), 555).unwrap();
    let reset = VsockEventType::Disconnected { reason: DisconnectReason::Reset };
    guest.event(|event| *event == reset).await;
}

#[tokio::test]
async fn a_dropped_listener_refuses_and_its_port_is_free_again() {
    let (mut guest, device) = set_up(4096);
    let listener = device.listen(HOST_PORT).unwrap();
    assert!(device.listen(HOST_PORT).is_err());
    drop(listener);
    guest.manager.connect(host(HOST_PORT), 555).unwrap();
    guest.event(|event| matches!(event, VsockEventType::Disconnected { .. })).await;
    device.listen(HOST_PORT).unwrap();
}

#[tokio::test]
async fn a_guest_that_reads_slowly_gets_everything_within_its_credit() {
    let (mut guest, device) = set_up(3000);
    let (mut stream, peer) = guest.accept_dial(&device, GUEST_PORT).await;
    let sent = pattern(1_200_000);
    let expected = sent.clone();
    let writer = tokio::spawn(async move {
        stream.write_all(&sent).await.unwrap();
        stream
    });
    let mut heard = Vec::new();
    until(|| {
        // `poll` fails if the device sends more than the guest has room for.
        guest.poll();
        guest.receive(peer, GUEST_PORT, 700, &mut heard);
        if heard.len() % 1400 < 700 {
            guest.manager.update_credit(peer, GUEST_PORT).unwrap();
        }
        (heard.len() >= expected.len()).then_some(())
    })
    .await;
    assert!(heard == expected, "bytes were lost, repeated or reordered");
    writer.await.unwrap();
}

#[tokio::test]
async fn a_host_that_reads_slowly_gets_everything_and_the_guest_waits() {
    let (mut guest, device) = set_up(4096);
    let (mut stream, peer) = guest.accept_dial(&device, GUEST_PORT).await;
    let expected = pattern(2_000_000);
    let mut sent = 0;
    // Nobody reads: the guest must run out of credit long before all is sent.
    until(|| {
        let before = sent;
        guest.poll();
        guest.send_all(peer, GUEST_PORT, &expected, &mut sent);
        (sent == before).then_some(())
    })
    .await;
    assert!(sent < 1_500_000, "{sent} bytes taken without a reader");

    let mut heard = vec![0; expected.len()];
    together(stream.read_exact(&mut heard), || {
        guest.poll();
        guest.send_all(peer, GUEST_PORT, &expected, &mut sent);
    })
    .await
    .unwrap();
    assert!(heard == expected, "bytes were lost, repeated or reordered");
}

#[tokio::test]
async fn a_reset_by_the_guest_is_an_error_after_the_last_byte() {
    let (mut guest, device) = set_up(4096);
    let (mut stream, peer) = guest.accept_dial(&device, GUEST_PORT).await;
    guest.manager.send(peer, GUEST_PORT, b"last").unwrap();
    guest.manager.force_close(peer, GUEST_PORT).unwrap();
    let mut heard = Vec::new();
    let end = together(stream.read_to_end(&mut heard), || guest.poll()).await;
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(heard, b"last");
    assert!(stream.was_reset());
}

#[tokio::test]
async fn a_clean_close_by_the_guest_is_end_of_file_and_is_answered() {
    let (mut guest, device) = set_up(4096);
    let (mut stream, peer) = guest.accept_dial(&device, GUEST_PORT).await;
    guest.manager.send(peer, GUEST_PORT, b"last").unwrap();
    guest.manager.shutdown(peer, GUEST_PORT).unwrap();
    let mut heard = Vec::new();
    let mut answered = false;
    let reset = VsockEventType::Disconnected { reason: DisconnectReason::Reset };
    together(stream.read_to_end(&mut heard), || answered |= guest.poll().is_some_and(|e| e.event_type == reset))
        .await
        .unwrap();
    assert_eq!(heard, b"last");
    if !answered {
        guest.event(|event| *event == reset).await;
    }
    assert!(!stream.was_reset());
}

#[tokio::test]
async fn a_stream_dropped_by_the_host_says_goodbye_after_its_data() {
    let (mut guest, device) = set_up(4096);
    let (mut stream, peer) = guest.accept_dial(&device, GUEST_PORT).await;
    stream.write_all(b"bye").await.unwrap();
    drop(stream);
    let mut heard = Vec::new();
    until(|| {
        let event = guest.poll();
        guest.receive(peer, GUEST_PORT, 64, &mut heard);
        event.filter(|event| matches!(event.event_type, VsockEventType::Disconnected { .. }))
    })
    .await;
    assert_eq!(heard, b"bye");
}

#[tokio::test]
async fn hundreds_of_connections_do_not_mix() {
    const CONNECTIONS: u32 = 300;
    let (mut guest, device) = set_up(1024);
    let mut peers = Vec::new();
    for i in 0..CONNECTIONS {
        let (stream, peer) = guest.accept_dial(&device, 3000 + i).await;
        peers.push((stream, peer, 3000 + i));
    }
    for (stream, _, port) in &mut peers {
        stream.write_all(&port.to_le_bytes()).await.unwrap();
    }
    let mut waiting = CONNECTIONS;
    until(|| {
        if let Some(VsockEvent { event_type: VsockEventType::Received { length: 4 }, source, destination, .. }) =
            guest.poll()
        {
            let mut heard = Vec::new();
            guest.receive(source, destination.port, 4, &mut heard);
            assert_eq!(heard, destination.port.to_le_bytes());
            guest.manager.send(source, destination.port, &heard).unwrap();
            waiting -= 1;
        }
        (waiting == 0).then_some(())
    })
    .await;
    for (stream, _, port) in &mut peers {
        let mut echoed = [0; 4];
        together(stream.read_exact(&mut echoed), || guest.poll()).await.unwrap();
        assert_eq!(u32::from_le_bytes(echoed), *port);
    }
}

#[tokio::test]
async fn without_a_driver_a_dial_fails_at_once() {
    let (bench, device) = Bench::new();
    let dialer = device.dialer();
    let dial = together(dialer.connect(1), || bench.borrow_mut().run()).await;
    assert!(matches!(dial, Err(ConnectError::GuestGone)), "{dial:?}");
    drop(device);
    assert!(matches!(dialer.connect(1).await, Err(ConnectError::GuestGone)));
}

#[tokio::test]
async fn a_restarted_driver_knows_no_old_connections() {
    let (mut guest, device) = set_up(4096);
    let (mut stream, _) = guest.accept_dial(&device, GUEST_PORT).await;
    let bench = guest.bench.clone();
    drop(guest);
    {
        let bench = &mut *bench.borrow_mut();
        bench.rx = virtio_queue::QueueT::new(super::MAX_QUEUE_SIZE).unwrap();
        bench.tx = virtio_queue::QueueT::new(super::MAX_QUEUE_SIZE).unwrap();
    }
    let driver = VirtIOSocket::new(Wire(bench.clone())).unwrap();
    let mut guest = Guest { manager: Manager::new(driver), bench };
    let end = together(stream.read_to_end(&mut Vec::new()), || guest.poll()).await;
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    guest.accept_dial(&device, GUEST_PORT).await;
}

/// The connection manager treats every SHUTDOWN as the end; half-closes need the bare driver below it.
mod half_close {
    use super::*;

    struct Bare {
        driver: VirtIOSocket<GuestRam, Wire, 512>,
        bench: std::rc::Rc<std::cell::RefCell<Bench>>,
        info: ConnectionInfo,
        heard: Vec<u8>,
    }

    impl Bare {
        /// The guest's end of a connection that it made to the host's listener.
        async fn connect(device: &Device, bench: std::rc::Rc<std::cell::RefCell<Bench>>) -> (Bare, Stream) {
            let mut listener = device.listen(HOST_PORT).unwrap();
            let mut driver = VirtIOSocket::new(Wire(bench.clone())).unwrap();
            let mut info = ConnectionInfo::new(host(HOST_PORT), 555);
            info.buf_alloc = 4096;
            driver.connect(&info).unwrap();
            let mut bare = Bare { driver, bench, info, heard: Vec::new() };
            bare.event(|event| *event == VsockEventType::Connected).await;
            let stream = listener.accept().await.unwrap();
            (bare, stream)
        }

        fn poll(&mut self) -> Option<VsockEventType> {
            self.bench.borrow_mut().run();
            let (info, heard) = (&mut self.info, &mut self.heard);
            let event = self.driver.poll(|event, body| {
                info.update_for_event(&event);
                heard.extend_from_slice(body);
                info.done_forwarding(body.len());
                Ok(Some(event))
            });
            event.unwrap().map(|event| event.event_type)
        }

        async fn event(&mut self, wanted: impl Fn(&VsockEventType) -> bool) {
            until(|| self.poll().filter(&wanted)).await;
        }
    }

    #[tokio::test]
    async fn the_host_ends_its_direction_and_still_hears_the_guest() {
        let (bench, device) = Bench::new();
        let (mut guest, mut stream) = Bare::connect(&device, bench).await;
        stream.write_all(b"question").await.unwrap();
        stream.shutdown().await.unwrap();
        guest.event(|event| matches!(event, VsockEventType::Disconnected { reason: DisconnectReason::Shutdown })).await;
        assert_eq!(guest.heard, b"question");

        guest.driver.send(b"answer", &mut guest.info).unwrap();
        guest.driver.shutdown_with_hints(&guest.info, StreamShutdown::SEND).unwrap();
        let mut heard = Vec::new();
        together(stream.read_to_end(&mut heard), || guest.poll()).await.unwrap();
        assert_eq!(heard, b"answer");
    }

    #[tokio::test]
    async fn the_guest_ends_its_direction_and_still_hears_the_host() {
        let (bench, device) = Bench::new();
        let (mut guest, mut stream) = Bare::connect(&device, bench).await;
        guest.driver.send(b"question", &mut guest.info).unwrap();
        guest.driver.shutdown_with_hints(&guest.info, StreamShutdown::SEND).unwrap();
        let mut heard = Vec::new();
        together(stream.read_to_end(&mut heard), || guest.poll()).await.unwrap();
        assert_eq!(heard, b"question");

        stream.write_all(b"late answer").await.unwrap();
        until(|| {
            guest.poll();
            (guest.heard == b"late answer").then_some(())
        })
        .await;
    }

    #[tokio::test]
    async fn a_guest_that_receives_no_more_makes_writes_fail() {
        let (bench, device) = Bench::new();
        let (mut guest, mut stream) = Bare::connect(&device, bench).await;
        guest.driver.shutdown_with_hints(&guest.info, StreamShutdown::RECEIVE).unwrap();
        guest.poll();
        let refused = async {
            loop {
                if let Err(err) = stream.write_all(&[0; 1024]).await {
                    return err.kind();
                }
                tokio::task::yield_now().await;
            }
        };
        assert_eq!(together(refused, || guest.poll()).await, std::io::ErrorKind::BrokenPipe);
    }
}
