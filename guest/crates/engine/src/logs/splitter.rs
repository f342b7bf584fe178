//! Bytes of a stream to entries of a log.

use std::{sync::Arc, time::SystemTime};

use super::{journal::Slot, line, line::Source, writer::Log};
use crate::timestamps::rfc3339_nano;

/// A longer line becomes several entries. Source: moby daemon/logger `defaultBufSize`.
const ENTRY_BYTES: usize = 16 * 1024;

/// Cuts one stream into lines and logs them. One time per call: whatever arrives together happened together.
pub struct Splitter {
    log: Arc<Log>,
    source: Source,
    partial: Vec<u8>,
    encoded: Vec<u8>,
    failed: bool,
}

impl Splitter {
    pub fn new(log: Arc<Log>, source: Source) -> Self {
        Self { log, source, partial: Vec::new(), encoded: Vec::new(), failed: false }
    }

    /// The log and the stream's name in it.
    pub fn target(&self) -> (&Arc<Log>, Source) {
        (&self.log, self.source)
    }

    /// Logs every line that `bytes` ends; keeps the rest for the next call. `slot`: where the bytes are safe meanwhile.
    pub fn feed(&mut self, mut bytes: &[u8], slot: Option<&mut Slot>) {
        let now = rfc3339_nano(SystemTime::now());
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
            let (text, rest) = bytes.split_at(end);
            if self.partial.is_empty() {
                self.entries(text, true, &now);
            } else {
                let mut whole = std::mem::take(&mut self.partial);
                whole.extend_from_slice(text);
                self.entries(&whole, true, &now);
            }
            bytes = &rest[1..];
        }
        self.partial.extend_from_slice(bytes);
        if self.partial.len() >= ENTRY_BYTES {
            let long = std::mem::take(&mut self.partial);
            let whole = long.len() - long.len() % ENTRY_BYTES;
            self.entries(&long[..whole], false, &now);
            self.partial = long[whole..].to_vec();
        }
        self.write(slot);
    }

    /// Logs what is left when the stream has ended.
    pub fn finish(&mut self, slot: Option<&mut Slot>) {
        if !self.partial.is_empty() {
            let rest = std::mem::take(&mut self.partial);
            self.entries(&rest, false, &rfc3339_nano(SystemTime::now()));
            self.write(slot);
        }
    }

    fn entries(&mut self, mut text: &[u8], newline: bool, now: &str) {
        while text.len() > ENTRY_BYTES {
            let (entry, rest) = text.split_at(ENTRY_BYTES);
            line::encode(&mut self.encoded, entry, false, self.source, self.log.attributes(), now);
            text = rest;
        }
        line::encode(&mut self.encoded, text, newline, self.source, self.log.attributes(), now);
    }

    fn write(&mut self, slot: Option<&mut Slot>) {
        if self.encoded.is_empty() {
            return;
        }
        if let Err(error) = self.log.append(&self.encoded, slot.map(|slot| (slot, self.partial.len()))) {
            if !self.failed {
                tracing::error!(err = %error, "container log cannot be written; lines are lost until it can");
            }
            self.failed = true;
        } else {
            self.failed = false;
        }
        self.encoded.clear();
        // Why: one large burst must not keep its memory for the container's life.
        self.encoded.shrink_to(64 * 1024);
    }
}
