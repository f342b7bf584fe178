//! Netlink's wire form.
//!
//! A message is `nlmsghdr` (length, type, flags, sequence, port: 16 bytes), a fixed body that depends on the type, then
//! attributes: `u16` length (header included), `u16` type, payload, padded to four bytes; nested attributes are a payload
//! of attributes. All in host byte order. Source: include/uapi/linux/netlink.h.

use std::io;

pub const HEADER_BYTES: usize = 16;

pub const NLMSG_ERROR: u16 = 2;
pub const NLMSG_DONE: u16 = 3;

pub const REQUEST: u16 = 1;
pub const ACK: u16 = 4;
pub const DUMP: u16 = 0x300;
pub const REPLACE: u16 = 0x100;
pub const EXCLUSIVE: u16 = 0x200;
pub const CREATE: u16 = 0x400;
pub const APPEND: u16 = 0x800;

const NESTED: u16 = 0x8000;
/// Attribute type without the `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER` bits.
const TYPE_MASK: u16 = 0x3fff;

/// A message that is being written.
#[derive(Debug)]
pub struct Message(Vec<u8>);

impl Message {
    pub fn new(kind: u16, flags: u16, body: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend([0; 4]);
        bytes.extend(kind.to_ne_bytes());
        bytes.extend((flags | REQUEST).to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend(body);
        Self(bytes).padded()
    }

    /// Adds raw bytes: the `ifinfomsg` inside `VETH_INFO_PEER`.
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self.padded()
    }

    pub fn attribute(mut self, kind: u16, payload: &[u8]) -> Self {
        let start = self.open(kind);
        self.0.extend(payload);
        self.close(start);
        self
    }

    /// A NUL-terminated string.
    pub fn text(mut self, kind: u16, text: &str) -> Self {
        let start = self.open(kind);
        self.0.extend(text.as_bytes());
        self.0.push(0);
        self.close(start);
        self
    }

    pub fn u32(self, kind: u16, value: u32) -> Self {
        self.attribute(kind, &value.to_ne_bytes())
    }

    /// nftables' integers are big-endian. Source: include/uapi/linux/netfilter/nf_tables.h (`NLA_BE32`).
    pub fn be32(self, kind: u16, value: u32) -> Self {
        self.attribute(kind, &value.to_be_bytes())
    }

    pub fn nested(mut self, kind: u16, content: impl FnOnce(Self) -> Self) -> Self {
        let start = self.open(kind | NESTED);
        let mut inner = content(self);
        inner.close(start);
        inner
    }

    fn open(&mut self, kind: u16) -> usize {
        let start = self.0.len();
        self.0.extend([0; 2]);
        self.0.extend(kind.to_ne_bytes());
        start
    }

    fn close(&mut self, start: usize) {
        let len = u16::try_from(self.0.len() - start).expect("attributes of ours are far below 64 KiB");
        self.0[start..start + 2].copy_from_slice(&len.to_ne_bytes());
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    fn padded(mut self) -> Self {
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    pub fn finish(mut self, sequence: u32) -> Vec<u8> {
        let len = u32::try_from(self.0.len()).expect("messages of ours are far below 4 GiB");
        self.0[..4].copy_from_slice(&len.to_ne_bytes());
        self.0[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.0
    }
}

/// One received message.
#[derive(Debug)]
pub struct Received<'a> {
    pub kind: u16,
    pub sequence: u32,
    pub payload: &'a [u8],
}

/// The messages of one datagram.
pub fn split(mut datagram: &[u8]) -> impl Iterator<Item = io::Result<Received<'_>>> {
    std::iter::from_fn(move || {
        if datagram.is_empty() {
            return None;
        }
        let len = word(datagram, 0).map_or(0, |len| len as usize);
        if len < HEADER_BYTES || len > datagram.len() {
            datagram = &[];
            return Some(Err(io::Error::new(io::ErrorKind::InvalidData, "netlink message of impossible length")));
        }
        let (message, rest) = (&datagram[..len], datagram.get(len.next_multiple_of(4)..).unwrap_or_default());
        datagram = rest;
        let kind = u16::from_ne_bytes([message[4], message[5]]);
        Some(Ok(Received { kind, sequence: word(message, 8).unwrap_or(0), payload: &message[HEADER_BYTES..] }))
    })
}

/// The attributes in `bytes`; stops at the first that does not fit.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let header: [u8; 4] = bytes.get(..4)?.try_into().ok()?;
        let len = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let payload = bytes.get(4..len)?;
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([header[2], header[3]]) & TYPE_MASK, payload))
    })
}

pub fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// An attribute's NUL-terminated string.
pub fn text(payload: &[u8]) -> String {
    String::from_utf8_lossy(payload.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_cover_headers_and_padding_does_not_count() {
        let bytes = Message::new(16, ACK, &[0; 16])
            .text(3, "lo")
            .nested(18, |m| m.text(1, "veth").nested(2, |m| m.u32(4, 7)))
            .finish(9);
        let received: Vec<_> = split(&bytes).collect::<Result<_, _>>().unwrap();
        assert_eq!((received[0].kind, received[0].sequence), (16, 9));
        let outer: Vec<_> = attributes(&received[0].payload[16..]).collect();
        assert_eq!(outer[0], (3, &b"lo\0"[..]));
        let inner: Vec<_> = attributes(outer[1].1).collect();
        assert_eq!((outer[1].0, text(inner[0].1)), (18, "veth".to_owned()));
        assert_eq!(attributes(inner[1].1).next(), Some((4, &7u32.to_ne_bytes()[..])));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for message in split(&bytes).flatten() {
                let _ = attributes(message.payload).count();
            }
            let _ = attributes(&bytes).count();
        }
    }
}
