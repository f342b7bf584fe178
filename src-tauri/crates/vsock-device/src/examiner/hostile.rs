//! What a hostile or merely odd driver may do, and what must come of it.

use rustix::event::{PollFd, PollFlags, Timespec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::raw::{Piece, Raw, header};
use super::{hal, together, until};
use crate::connection::BUF_ALLOC;
use crate::device::{Device, Listener, Stream};
use crate::packet::{HEADER_BYTES, Header, Op, SHUTDOWN_RCV, SHUTDOWN_SEND};

const PORT: u32 = 1024;
const GUEST: u32 = 600;

fn op(packet: &(Header, Vec<u8>)) -> Option<Op> {
    Op::from_raw(packet.0.op)
}

/// A connection that the guest opened to the host.
async fn connected() -> (Raw, Device, Listener, Stream) {
    let (mut raw, device) = Raw::new();
    let mut listener = device.listen(PORT).unwrap();
    raw.send(header(Op::Request, GUEST, PORT, 0), &[]);
    assert_eq!(op(&raw.next().unwrap()), Some(Op::Response));
    let stream = listener.accept().await.unwrap();
    (raw, device, listener, stream)
}

async fn read_exactly(raw: &mut Raw, stream: &mut Stream, len: usize) -> Vec<u8> {
    let mut heard = vec![0; len];
    together(stream.read_exact(&mut heard), || raw.run()).await.unwrap();
    heard
}

/// The device answered with a reset, and still serves a new connection.
async fn expect_reset_and_life(raw: &mut Raw, listener: &mut Listener) {
    let mut reset = false;
    while let Some(packet) = raw.next() {
        reset |= op(&packet) == Some(Op::Rst);
    }
    assert!(reset, "no reset came");
    expect_life(raw, listener).await;
}

async fn expect_life(raw: &mut Raw, listener: &mut Listener) {
    raw.inbox.clear();
    raw.send(header(Op::Request, 4242, PORT, 0), &[]);
    assert_eq!(op(&raw.next().unwrap()), Some(Op::Response));
    let mut stream = listener.accept().await.unwrap();
    raw.send(header(Op::Rw, 4242, PORT, 4), b"ping");
    assert_eq!(read_exactly(raw, &mut stream, 4).await, b"ping");
}

#[tokio::test]
async fn header_and_payload_may_be_cut_anywhere() {
    let (mut raw, _device, _listener, mut stream) = connected().await;
    let payload = b"cut me as you like";
    let bytes = [&header(Op::Rw, GUEST, PORT, payload.len() as u32).to_bytes()[..], payload].concat();
    let cuts: &[&[usize]] =
        &[&[], &[HEADER_BYTES], &[1], &[0, 0, 43], &[HEADER_BYTES, HEADER_BYTES], &[7, 20, 44, 45, 50], &[50]];
    for cuts in cuts {
        let pieces = raw.lay_out(&bytes, cuts);
        raw.send_chain(&pieces);
        assert_eq!(read_exactly(&mut raw, &mut stream, payload.len()).await, payload, "cut at {cuts:?}");
        raw.send_indirect(&pieces);
        assert_eq!(read_exactly(&mut raw, &mut stream, payload.len()).await, payload, "indirect, cut at {cuts:?}");
    }
}

#[tokio::test]
async fn data_right_behind_the_request_is_not_lost() {
    let (mut raw, device) = Raw::new();
    let mut listener = device.listen(PORT).unwrap();
    raw.send(header(Op::Request, GUEST, PORT, 0), &[]);
    raw.send(header(Op::Rw, GUEST, PORT, 5), b"early");
    raw.send(Header { flags: SHUTDOWN_SEND, ..header(Op::Shutdown, GUEST, PORT, 0) }, &[]);
    let mut stream = listener.accept().await.unwrap();
    let mut heard = Vec::new();
    together(stream.read_to_end(&mut heard), || raw.run()).await.unwrap();
    assert_eq!(heard, b"early");
}

#[tokio::test]
async fn chains_that_make_no_sense_are_given_back_unread() {
    let (mut raw, _device, mut listener, _stream) = connected().await;
    let good = raw.lay_out(&header(Op::Rw, GUEST, PORT, 0).to_bytes(), &[])[0];
    let chains: &[&[Piece]] = &[
        &[Piece { len: 0, ..good }],
        &[Piece { len: 43, ..good }],
        &[Piece { writable: true, ..good }],
        &[Piece { address: 0, ..good }],
        &[Piece { address: u64::MAX - 4, ..good }],
        &[Piece { len: u32::MAX, ..good }],
        &[Piece { address: hal::BASE - 8, ..good }],
        &[good, Piece { address: 1, len: 1, writable: false }],
    ];
    raw.completed();
    for chain in chains {
        raw.send_chain(chain);
        assert_eq!(raw.completed(), 1, "{chain:?} was kept");
    }
    // An indirect table that is no table, and one inside another.
    raw.send_indirect(&[Piece { len: 0, ..good }]);
    expect_life(&mut raw, &mut listener).await;
}

#[tokio::test]
async fn packets_for_somebody_else_are_dropped() {
    let (mut raw, _device, mut listener, _stream) = connected().await;
    raw.send(Header { src_cid: 99, ..header(Op::Rw, GUEST, PORT, 4) }, b"evil");
    raw.send(Header { dst_cid: 99, ..header(Op::Rw, GUEST, PORT, 4) }, b"evil");
    raw.send(Header { src_cid: u64::MAX, ..header(Op::Request, 1, PORT, 0) }, &[]);
    assert_eq!(raw.next(), None);
    expect_life(&mut raw, &mut listener).await;
}

#[tokio::test]
async fn unknown_connections_types_and_ports_are_reset() {
    let (mut raw, _device, mut listener, _stream) = connected().await;
    for stray in [
        header(Op::Rw, 1, PORT, 0),
        header(Op::Response, 1, PORT, 0),
        header(Op::CreditUpdate, 1, PORT, 0),
        header(Op::Shutdown, 1, PORT, 0),
        header(Op::Request, 1, 99, 0),
        Header { type_: 2, ..header(Op::Request, 1, PORT, 0) },
        Header { type_: 2, ..header(Op::Rw, GUEST, PORT, 0) },
        Header { op: 77, ..header(Op::Rw, 1, PORT, 0) },
    ] {
        raw.send(stray, &[]);
        let (answer, _) = raw.next().unwrap();
        assert_eq!(answer, stray.reset(), "{stray:?}");
    }
    raw.send(header(Op::Rst, 1, PORT, 0), &[]);
    raw.send(Header { type_: 2, ..header(Op::Rst, 1, PORT, 0) }, &[]);
    assert_eq!(raw.next(), None, "a reset must not be answered");
    expect_life(&mut raw, &mut listener).await;
}

#[tokio::test]
async fn breaking_the_protocol_costs_the_connection() {
    let data_after_end = |raw: &mut Raw| {
        raw.send(Header { flags: SHUTDOWN_SEND, ..header(Op::Shutdown, GUEST, PORT, 0) }, &[]);
        raw.send(header(Op::Rw, GUEST, PORT, 1), b"x");
    };
    let length_beyond_chain = |raw: &mut Raw| raw.send(header(Op::Rw, GUEST, PORT, 100), b"short");
    let second_request = |raw: &mut Raw| raw.send(header(Op::Request, GUEST, PORT, 0), &[]);
    let response_unasked = |raw: &mut Raw| raw.send(header(Op::Response, GUEST, PORT, 0), &[]);
    let unknown_op = |raw: &mut Raw| raw.send(Header { op: 0, ..header(Op::Rw, GUEST, PORT, 0) }, &[]);
    type Violation<'a> = (&'static str, &'a dyn Fn(&mut Raw));
    let cases: [Violation; 5] = [
        ("data after SHUTDOWN(SEND)", &data_after_end),
        ("length beyond the chain", &length_beyond_chain),
        ("second request", &second_request),
        ("response unasked", &response_unasked),
        ("unknown operation", &unknown_op),
    ];
    for (name, violate) in cases {
        let (mut raw, _device, mut listener, mut stream) = connected().await;
        violate(&mut raw);
        expect_reset_and_life(&mut raw, &mut listener).await;
        let end = together(stream.read_to_end(&mut Vec::new()), || raw.run()).await;
        assert!(end.is_err() && stream.was_reset(), "{name}: {end:?}");
    }
}

#[tokio::test]
async fn data_beyond_credit_costs_the_connection_and_memory_stays_bounded() {
    let (mut raw, _device, mut listener, stream) = connected().await;
    let block = vec![1; 60_000];
    let mut sent = 0;
    loop {
        raw.send(header(Op::Rw, GUEST, PORT, block.len() as u32), &block);
        sent += block.len();
        if raw.inbox.iter().any(|packet| op(packet) == Some(Op::Rst)) {
            break;
        }
        // The socketpair takes some itself, then at most BUF_ALLOC is kept.
        assert!(sent < 4 << 20, "nothing stops the guest");
    }
    assert!(sent > BUF_ALLOC as usize);
    expect_reset_and_life(&mut raw, &mut listener).await;
    drop(stream);
}

#[tokio::test]
async fn a_full_shutdown_is_answered_and_the_ports_are_free_again() {
    let (mut raw, _device, mut listener, mut stream) = connected().await;
    raw.send(header(Op::Rw, GUEST, PORT, 3), b"end");
    raw.send(Header { flags: SHUTDOWN_SEND | SHUTDOWN_RCV, ..header(Op::Shutdown, GUEST, PORT, 0) }, &[]);
    assert_eq!(op(&raw.next().unwrap()), Some(Op::Rst));
    raw.send(header(Op::Request, GUEST, PORT, 0), &[]);
    assert_eq!(op(&raw.next().unwrap()), Some(Op::Response));
    let mut again = listener.accept().await.unwrap();
    raw.send(header(Op::Rw, GUEST, PORT, 3), b"new");
    assert_eq!(read_exactly(&mut raw, &mut again, 3).await, b"new");
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"end");
}

#[tokio::test]
async fn credit_is_asked_for_once_and_updates_are_answered() {
    let (mut raw, device) = Raw::new();
    let mut listener = device.listen(PORT).unwrap();
    raw.send(Header { buf_alloc: 10, ..header(Op::Request, GUEST, PORT, 0) }, &[]);
    assert_eq!(op(&raw.next().unwrap()), Some(Op::Response));
    let mut stream = listener.accept().await.unwrap();
    stream.write_all(&[7; 25]).await.unwrap();
    let (data, payload) = raw.next().unwrap();
    assert_eq!((data.op, payload.len()), (Op::Rw as u16, 10));
    assert_eq!(op(&raw.next().unwrap()), Some(Op::CreditRequest));
    raw.send(Header { buf_alloc: 10, ..header(Op::CreditRequest, GUEST, PORT, 0) }, &[]);
    let (update, _) = raw.next().unwrap();
    assert_eq!((update.op, update.buf_alloc), (Op::CreditUpdate as u16, BUF_ALLOC));
    assert_eq!(raw.next(), None, "asked twice");
    raw.send(Header { buf_alloc: 10, fwd_cnt: 10, ..header(Op::CreditUpdate, GUEST, PORT, 0) }, &[]);
    assert_eq!(raw.next().unwrap().1.len(), 10);
    // A lie: more consumed than was ever sent. It must not open the gates.
    raw.inbox.clear();
    raw.send(Header { buf_alloc: 10, fwd_cnt: 5000, ..header(Op::CreditUpdate, GUEST, PORT, 0) }, &[]);
    while let Some((header, payload)) = raw.next() {
        assert_eq!((header.op, payload.len()), (Op::CreditRequest as u16, 0));
    }
}

#[tokio::test]
async fn a_flood_of_strays_without_buffers_for_the_answers_is_bounded() {
    let (mut raw, _device, mut listener, _stream) = connected().await;
    // Take all receive buffers away by never giving any back: answers pile up only to their limit.
    for port in 0..2000 {
        raw.send(header(Op::Rw, port + 10_000, PORT, 0), &[]);
    }
    raw.inbox.clear();
    expect_life(&mut raw, &mut listener).await;
}

#[tokio::test]
async fn a_guest_that_ignores_our_goodbye_is_reset_in_the_end() {
    let (mut raw, _device, mut listener, stream) = connected().await;
    raw.bench.borrow_mut().switch.close_timeout = std::time::Duration::from_millis(20);
    drop(stream);
    let (goodbye, _) = until(|| raw.next()).await;
    assert_eq!((goodbye.op, goodbye.flags), (Op::Shutdown as u16, SHUTDOWN_RCV | SHUTDOWN_SEND));
    // Nothing but the switch's own timer can bring it about: nobody kicks.
    let (reset, _) = loop {
        assert!(wait_for_events(&raw), "the timer does not ring");
        if let Some(packet) = raw.next() {
            break packet;
        }
    };
    assert_eq!(reset.op, Op::Rst as u16);
    expect_life(&mut raw, &mut listener).await;
}

/// Waits as a real device would; `false` when nothing happens.
fn wait_for_events(raw: &Raw) -> bool {
    let bench = raw.bench.borrow();
    let mut fds = [PollFd::from_borrowed_fd(bench.switch.events(), PollFlags::IN)];
    rustix::event::poll(&mut fds, Some(&Timespec { tv_sec: 10, tv_nsec: 0 })).unwrap() > 0
}
