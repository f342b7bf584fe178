//! One line of a `json-file` log: `{"log":"text\n","stream":"stdout","attrs":{…},"time":"…"}`.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::Deserialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Where a line came from. A terminal's output is all [`Source::Stdout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    Stdout,
    Stderr,
}

impl Source {
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// A line read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub source: Source,
    /// RFC 3339, as written. Why a text: most readers show it or do not ask, and reading a time costs more than the rest.
    pub time: String,
    /// With its newline, unless the line was longer than one entry holds.
    pub text: String,
    pub attributes: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    log: String,
    stream: String,
    #[serde(default)]
    attrs: Option<BTreeMap<String, String>>,
    time: String,
}

/// Reads one line of a log file. `None` for what is not one (a torn write).
pub fn decode(line: &[u8]) -> Option<Entry> {
    let raw: Raw = serde_json::from_slice(line).ok()?;
    let source = match raw.stream.as_str() {
        "stdout" => Source::Stdout,
        "stderr" => Source::Stderr,
        _ => return None,
    };
    Some(Entry { source, time: raw.time, text: raw.log, attributes: raw.attrs.unwrap_or_default() })
}

impl Entry {
    /// When it was written; none when the file does not say so sensibly.
    pub fn at(&self) -> Option<SystemTime> {
        let nanos = OffsetDateTime::parse(&self.time, &Rfc3339).ok()?.unix_timestamp_nanos();
        UNIX_EPOCH.checked_add(Duration::from_nanos(u64::try_from(nanos).ok()?))
    }
}

/// Appends one line of a log file to `out`. `time` is RFC 3339; `attributes` an encoded JSON object or empty.
pub fn encode(out: &mut Vec<u8>, text: &[u8], newline: bool, source: Source, attributes: &str, time: &str) {
    out.extend_from_slice(br#"{"log":""#);
    escape(out, text);
    if newline {
        out.extend_from_slice(br"\n");
    }
    out.extend_from_slice(br#"","stream":""#);
    out.extend_from_slice(source.name().as_bytes());
    if !attributes.is_empty() {
        out.extend_from_slice(br#"","attrs":"#);
        out.extend_from_slice(attributes.as_bytes());
        out.extend_from_slice(br#","time":""#);
    } else {
        out.extend_from_slice(br#"","time":""#);
    }
    out.extend_from_slice(time.as_bytes());
    out.extend_from_slice(b"\"}\n");
}

/// Bytes that go into a JSON string as they are. Like Go's encoder, `<`, `>` and `&` do not.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0x20;
    while byte < 0x80 {
        plain[byte] = !matches!(byte as u8, b'"' | b'\\' | b'<' | b'>' | b'&' | 0x7f);
        byte += 1;
    }
    plain[0x7f] = true;
    plain
};

fn escape(out: &mut Vec<u8>, mut text: &[u8]) {
    loop {
        let plain = text.iter().position(|&byte| !PLAIN[usize::from(byte)]).unwrap_or(text.len());
        out.extend_from_slice(&text[..plain]);
        text = &text[plain..];
        let Some(&byte) = text.first() else { return };
        if byte >= 0x80 {
            text = escape_wide(out, text);
            continue;
        }
        match byte {
            b'"' => out.extend_from_slice(br#"\""#),
            b'\\' => out.extend_from_slice(br"\\"),
            b'\n' => out.extend_from_slice(br"\n"),
            b'\r' => out.extend_from_slice(br"\r"),
            b'\t' => out.extend_from_slice(br"\t"),
            other => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(br"\u00");
                out.push(HEX[usize::from(other >> 4)]);
                out.push(HEX[usize::from(other & 15)]);
            }
        }
        text = &text[1..];
    }
}

/// A run of bytes beyond ASCII: valid UTF-8 as it is, the rest as U+FFFD, byte by byte like Go.
fn escape_wide<'a>(out: &mut Vec<u8>, text: &'a [u8]) -> &'a [u8] {
    let end = text.iter().position(|&byte| byte < 0x80).unwrap_or(text.len());
    let (wide, rest) = text.split_at(end);
    for chunk in wide.utf8_chunks() {
        out.extend_from_slice(chunk.valid().as_bytes());
        for _ in chunk.invalid() {
            out.extend_from_slice(br"\ufffd");
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "2026-01-02T03:04:05.5Z";

    fn line(text: &[u8], newline: bool, attributes: &str) -> String {
        let mut out = Vec::new();
        encode(&mut out, text, newline, Source::Stderr, attributes, TIME);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_are_as_dockerd_writes_them() {
        assert_eq!(
            line(b"a \"b\" <c>\t\x1b[0m", true, ""),
            "{\"log\":\"a \\\"b\\\" \\u003cc\\u003e\\t\\u001b[0m\\n\",\"stream\":\"stderr\",\"time\":\"2026-01-02T03:04:05.5Z\"}\n"
        );
        assert!(line(b"x", false, r#"{"k":"v"}"#).contains(r#""log":"x","stream":"stderr","attrs":{"k":"v"},"time""#));
    }

    #[test]
    fn what_is_written_is_read_back() {
        for text in ["plain", "ünï — 漢字 🦀", "\0\u{1}\u{7f}\r", "", "\\n"] {
            let entry = decode(line(text.as_bytes(), true, "").as_bytes()).unwrap();
            assert_eq!(entry.text, format!("{text}\n"));
            assert_eq!(entry.source, Source::Stderr);
        }
    }

    #[test]
    fn broken_utf8_and_torn_lines_do_no_harm() {
        let entry = decode(line(b"a\xff\xe6\xbc", true, "").as_bytes()).unwrap();
        assert_eq!(entry.text, "a\u{fffd}\u{fffd}\u{fffd}\n");
        assert_eq!(decode(br#"{"log":"a","stre"#), None);
        assert_eq!(decode(b""), None);
    }
}
