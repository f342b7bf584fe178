//! The key sequence that leaves a container without stopping it (`ctrl-p,ctrl-q`).

use crate::error::{Error, Result};

/// Recognises the sequence in a client's input, across reads.
#[derive(Clone, Debug)]
pub struct DetachKeys {
    keys: Vec<u8>,
    matched: usize,
}

/// What [`DetachKeys::feed`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Detached {
    No,
    /// The sequence was completed; what came before it is still to be delivered.
    Yes,
}

const DEFAULT: &[u8] = &[16, 17];

impl DetachKeys {
    /// `ctrl-<letter>` or single characters, comma-separated; empty is the default. Source: moby/term `ToBytes`.
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self { keys: DEFAULT.to_vec(), matched: 0 });
        }
        let keys = text.split(',').map(key).collect::<Option<Vec<u8>>>()?;
        Some(Self { keys, matched: 0 })
    }

    /// # Errors
    /// Invalid, in the words of attach.
    pub fn for_attach(text: &str) -> Result<Self> {
        Self::parse(text).ok_or_else(|| Error::invalid(format!("Invalid detach keys ({text}) provided")))
    }

    /// Passes `input` to `output`, holding back what may be the beginning of the sequence.
    pub fn feed(&mut self, input: &[u8], output: &mut Vec<u8>) -> Detached {
        for &byte in input {
            if byte == self.keys[self.matched] {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    self.matched = 0;
                    return Detached::Yes;
                }
                continue;
            }
            output.extend_from_slice(&self.keys[..self.matched]);
            self.matched = 0;
            if byte == self.keys[0] {
                self.matched = 1;
            } else {
                output.push(byte);
            }
        }
        Detached::No
    }
}

fn key(text: &str) -> Option<u8> {
    if let [single] = text.as_bytes() {
        return Some(*single);
    }
    match text.strip_prefix("ctrl-")?.as_bytes() {
        [letter @ b'a'..=b'z'] => Some(letter - b'a' + 1),
        b"@" => Some(0),
        b"[" => Some(27),
        b"\\" => Some(28),
        b"]" => Some(29),
        b"^" => Some(30),
        b"_" => Some(31),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_found_across_reads_and_not_delivered() {
        let mut keys = DetachKeys::parse("").unwrap();
        let mut output = Vec::new();
        assert_eq!(keys.feed(b"ls\x10", &mut output), Detached::No);
        assert_eq!(keys.feed(b"\x11rest", &mut output), Detached::Yes);
        assert_eq!(output, b"ls");
    }

    #[test]
    fn a_beginning_that_leads_nowhere_is_delivered() {
        let mut keys = DetachKeys::parse("a,b").unwrap();
        let mut output = Vec::new();
        assert_eq!(keys.feed(b"aac", &mut output), Detached::No);
        assert_eq!(output, b"aac");
    }

    #[test]
    fn key_names_are_checked() {
        assert_eq!(DetachKeys::parse("ctrl-p,ctrl-q").unwrap().keys, DEFAULT);
        for bad in ["ctrl-", "ctrl-1", "meta-a", "ctrl-p,,"] {
            assert!(DetachKeys::parse(bad).is_none(), "{bad}");
        }
    }
}
