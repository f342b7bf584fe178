//! DNS messages, as far as the embedded server reads and writes them itself: one question, answers A, AAAA and PTR.
//!
//! Why our own: everything that is not ours is passed on unread, so of RFC 1035 only the header and one question remain.
//! Any bytes may come; nothing is indexed unchecked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const HEADER_BYTES: usize = 12;
/// RFC 1035 §3.1: a name has at most 255 bytes.
const NAME_BYTES: usize = 255;
/// Points at the question's name, which follows the header (RFC 1035 §4.1.4).
const NAME_POINTER: [u8; 2] = [0xc0, HEADER_BYTES as u8];
const CLASS_IN: u16 = 1;
const TYPE_A: u16 = 1;
const TYPE_PTR: u16 = 12;
const TYPE_AAAA: u16 = 28;
/// Seconds. Short: containers come and go, and asking again is cheap.
const TTL: u32 = 10;

pub const NO_ERROR: u8 = 0;
pub const FORMAT_ERROR: u8 = 1;
pub const SERVER_FAILURE: u8 = 2;

/// A query with exactly one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query<'a> {
    header: &'a [u8],
    /// The question as it came.
    question: &'a [u8],
    /// Lower case, without the final dot.
    pub name: String,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    A,
    Aaaa,
    Ptr,
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Address(IpAddr),
    Name(String),
}

impl<'a> Query<'a> {
    /// `None` for what is no standard query with one plain question.
    pub fn parse(packet: &'a [u8]) -> Option<Self> {
        let header = packet.get(..HEADER_BYTES)?;
        let is_query = header[2] & 0xf8 == 0;
        let questions = u16::from_be_bytes([header[4], header[5]]);
        if !is_query || questions != 1 {
            return None;
        }
        let (name, end) = read_name(packet)?;
        let kind = u16::from_be_bytes(packet.get(end..end + 2)?.try_into().ok()?);
        let class = u16::from_be_bytes(packet.get(end + 2..end + 4)?.try_into().ok()?);
        let kind = match (class, kind) {
            (CLASS_IN, TYPE_A) => Kind::A,
            (CLASS_IN, TYPE_AAAA) => Kind::Aaaa,
            (CLASS_IN, TYPE_PTR) => Kind::Ptr,
            _ => Kind::Other,
        };
        Some(Self { header, question: &packet[HEADER_BYTES..end + 4], name, kind })
    }

    /// The reply with these answers; those of another kind than asked for are left out.
    pub fn reply(&self, code: u8, answers: &[Answer]) -> Vec<u8> {
        let records: Vec<_> = answers.iter().filter_map(|answer| self.record(answer)).collect();
        let mut reply = header(self.header, code, 1, records.len() as u16);
        reply.extend(self.question);
        for (kind, data) in records {
            reply.extend(NAME_POINTER);
            reply.extend(kind.to_be_bytes());
            reply.extend(CLASS_IN.to_be_bytes());
            reply.extend(TTL.to_be_bytes());
            reply.extend((data.len() as u16).to_be_bytes());
            reply.extend(data);
        }
        reply
    }

    fn record(&self, answer: &Answer) -> Option<(u16, Vec<u8>)> {
        match (self.kind, answer) {
            (Kind::A, Answer::Address(IpAddr::V4(address))) => Some((TYPE_A, address.octets().to_vec())),
            (Kind::Aaaa, Answer::Address(IpAddr::V6(address))) => Some((TYPE_AAAA, address.octets().to_vec())),
            (Kind::Ptr, Answer::Name(name)) => Some((TYPE_PTR, write_name(name)?)),
            _ => None,
        }
    }

    /// The address that a reverse question is about.
    pub fn reverse(&self) -> Option<IpAddr> {
        if self.kind != Kind::Ptr {
            return None;
        }
        if let Some(parts) = self.name.strip_suffix(".in-addr.arpa") {
            let octets: Vec<u8> = parts.split('.').rev().map(|part| part.parse().ok()).collect::<Option<_>>()?;
            return Some(Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?).into());
        }
        let digits: Vec<&str> = self.name.strip_suffix(".ip6.arpa")?.split('.').rev().collect();
        let plain = digits.len() == 32 && digits.iter().all(|digit| digit.len() == 1);
        let hex = plain.then(|| u128::from_str_radix(&digits.concat(), 16).ok())??;
        Some(Ipv6Addr::from(hex).into())
    }
}

/// The refusal of a packet that [`Query::parse`] could not read; `None` when it has not even a header or is a reply.
pub fn refusal(packet: &[u8], code: u8) -> Option<Vec<u8>> {
    let asked = packet.get(..HEADER_BYTES)?;
    (asked[2] & 0x80 == 0).then(|| header(asked, code, 0, 0))
}

/// Recursion is available, and everything here is said with authority over nothing but ourselves.
fn header(asked: &[u8], code: u8, questions: u16, answers: u16) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512);
    bytes.extend([asked[0], asked[1], 0x80 | (asked[2] & 0x79), 0x80 | code]);
    bytes.extend(questions.to_be_bytes());
    bytes.extend(answers.to_be_bytes());
    bytes.extend([0; 4]);
    bytes
}

/// The question's name and where it ends. A compressed name has no place in a question.
fn read_name(packet: &[u8]) -> Option<(String, usize)> {
    let (mut name, mut at) = (String::new(), HEADER_BYTES);
    loop {
        let len = usize::from(*packet.get(at)?);
        at += 1;
        if len == 0 {
            return Some((name, at));
        }
        if len > 63 || at + len - HEADER_BYTES > NAME_BYTES {
            return None;
        }
        let label = packet.get(at..at + len)?;
        if !name.is_empty() {
            name.push('.');
        }
        // Why: bytes beyond ASCII, or a dot within a label, make it a name of nobody here; it is passed on as it came.
        name.extend(label.iter().map(|byte| match byte {
            b'.' => '\u{fffd}',
            byte if byte.is_ascii() => byte.to_ascii_lowercase() as char,
            _ => '\u{fffd}',
        }));
        at += len;
    }
}

fn write_name(name: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(name.len() + 2);
    for label in name.split('.').filter(|label| !label.is_empty()) {
        let len = u8::try_from(label.len()).ok().filter(|len| *len <= 63)?;
        bytes.push(len);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    (bytes.len() <= NAME_BYTES).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn query(name: &str, kind: u16) -> Vec<u8> {
        let mut packet = vec![0xab, 0xcd, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];
        packet.extend(write_name(name).unwrap());
        packet.extend(kind.to_be_bytes());
        packet.extend(CLASS_IN.to_be_bytes());
        packet
    }

    #[test]
    fn an_address_is_asked_for_and_answered() {
        let packet = query("Web.Example", TYPE_A);
        let query = Query::parse(&packet).unwrap();
        assert_eq!((query.name.as_str(), query.kind), ("web.example", Kind::A));
        let reply = query.reply(NO_ERROR, &[Answer::Address([10, 0, 0, 2].into()), Answer::Name("no".into())]);
        assert_eq!(reply[..8], [0xab, 0xcd, 0x81, 0x80, 0, 1, 0, 1]);
        assert_eq!(reply[12..packet.len()], packet[12..]);
        assert_eq!(reply[packet.len()..], [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 10, 0, 4, 10, 0, 0, 2]);
    }

    #[test]
    fn reverse_names_are_understood() {
        let packet = query("2.0.17.172.in-addr.arpa", TYPE_PTR);
        assert_eq!(Query::parse(&packet).unwrap().reverse(), Some([172, 17, 0, 2].into()));
        for bad in ["2.17.172.in-addr.arpa", "300.0.17.172.in-addr.arpa", "in-addr.arpa", "a.ip6.arpa"] {
            assert_eq!(Query::parse(&query(bad, TYPE_PTR)).unwrap().reverse(), None, "{bad}");
        }
        let v6 = format!("1.{}ip6.arpa", "0.".repeat(31));
        assert_eq!(Query::parse(&query(&v6, TYPE_PTR)).unwrap().reverse(), Some(Ipv6Addr::LOCALHOST.into()));
    }

    #[test]
    fn what_is_no_plain_query_is_refused() {
        let good = query("a", TYPE_A);
        let changed = |at: usize, byte: u8| {
            let mut packet = good.clone();
            packet[at] = byte;
            packet
        };
        assert!(Query::parse(&changed(2, 0x81)).is_none(), "a reply");
        assert!(Query::parse(&changed(5, 2)).is_none(), "two questions");
        assert!(Query::parse(&changed(12, 0xc0)).is_none(), "a compressed name");
        assert!(Query::parse(&good[..good.len() - 1]).is_none(), "cut off");
        assert_eq!(refusal(&changed(5, 2), FORMAT_ERROR).unwrap()[2..4], [0x81, 0x81]);
        assert_eq!(refusal(&changed(2, 0x81), FORMAT_ERROR), None, "replies are not answered");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            if let Some(query) = Query::parse(&bytes) {
                let _ = query.reverse();
                let reply = query.reply(NO_ERROR, &[Answer::Address([10, 0, 0, 1].into())]);
                prop_assert!(reply.len() >= HEADER_BYTES);
            }
            let _ = refusal(&bytes, FORMAT_ERROR);
        }

        #[test]
        fn any_question_is_read(labels in proptest::collection::vec("[a-z0-9_-]{1,63}", 1..4), kind in any::<u16>()) {
            let name = labels.join(".");
            let packet = query(&name, kind);
            prop_assert_eq!(Query::parse(&packet).unwrap().name, name);
        }
    }
}
