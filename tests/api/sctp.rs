//! The first two packets of an SCTP association, made by hand: a kernel without such sockets still forwards it.
//! Source: RFC 9260, sections 3 (formats) and 6.8 (checksum).

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket},
    time::Duration,
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket_with};

use crate::neighbour::within;

const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
/// Of whoever begins; the answer carries it.
const TAG: u32 = 0x00c0_ffee;

/// What there is in a packet of one chunk.
struct Packet {
    from: u16,
    to: u16,
    kind: u8,
    tag: u32,
    /// The initial sequence number, which is free: answers say in it who asked.
    word: u32,
}

impl Packet {
    fn bytes(&self) -> Vec<u8> {
        let init_ack = self.kind == INIT_ACK;
        let mut bytes = [self.from.to_be_bytes(), self.to.to_be_bytes()].concat();
        bytes.extend(if init_ack { self.tag } else { 0 }.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend([self.kind, 0, 0, 20]);
        for word in [if init_ack { 1 } else { self.tag }, 0x1_0000, 0x0001_0001, self.word] {
            bytes.extend(word.to_be_bytes());
        }
        let checksum = crc32c(&bytes);
        bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Of a packet with its IPv4 header, as raw sockets have it.
    fn read(bytes: &[u8]) -> Option<Self> {
        let sctp = bytes.get(usize::from(bytes.first()? & 15) * 4..)?;
        let half = |at: usize| Some(u16::from_be_bytes(sctp.get(at..at + 2)?.try_into().ok()?));
        let word = |at: usize| Some(u32::from_be_bytes(sctp.get(at..at + 4)?.try_into().ok()?));
        let kind = *sctp.get(12)?;
        let tag = word(if kind == INIT_ACK { 4 } else { 16 })?;
        Some(Self { from: half(0)?, to: half(2)?, kind, tag, word: word(28)? })
    }
}

fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// A socket that sees and sends whole packets.
fn raw() -> io::Result<UdpSocket> {
    let socket = socket_with(AddressFamily::INET, SocketType::RAW, SocketFlags::CLOEXEC, Some(ipproto::SCTP))?;
    Ok(socket.into())
}

/// Answers everybody who begins an association at a port in that network namespace, until this process ends.
pub fn answer(netns: &str, port: u16) {
    let socket = within(netns, raw).expect("a raw socket");
    std::thread::spawn(move || {
        let mut bytes = [0; 256];
        while let Ok((len, SocketAddr::V4(from))) = socket.recv_from(&mut bytes) {
            let Some(asked) = Packet::read(&bytes[..len]).filter(|packet| (packet.kind, packet.to) == (INIT, port))
            else {
                continue;
            };
            let word = u32::from(*from.ip());
            let packet = Packet { from: port, to: asked.from, kind: INIT_ACK, tag: asked.tag, word };
            let _ = socket.send_to(&packet.bytes(), from);
        }
    });
}

/// Begins an association from that network namespace: who the other side saw, if it answers from the address that was asked.
pub fn begin(netns: &str, at: SocketAddrV4) -> Option<Ipv4Addr> {
    const OWN_PORT: u16 = 40_000;
    let asked = within(netns, || {
        let socket = raw()?;
        socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        let packet = Packet { from: OWN_PORT, to: at.port(), kind: INIT, tag: TAG, word: 1 };
        socket.send_to(&packet.bytes(), SocketAddrV4::new(*at.ip(), 0))?;
        let mut bytes = [0; 256];
        loop {
            let (len, from) = socket.recv_from(&mut bytes)?;
            let answer = Packet::read(&bytes[..len]).filter(|answer| {
                (answer.kind, answer.tag, answer.from, answer.to) == (INIT_ACK, TAG, at.port(), OWN_PORT)
            });
            if let Some(answer) = answer.filter(|_| from.ip() == *at.ip()) {
                return Ok(Ipv4Addr::from(answer.word));
            }
        }
    });
    asked.ok()
}

#[test]
fn the_checksum_is_the_right_one() {
    // Source: RFC 3720, B.4.
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
}
