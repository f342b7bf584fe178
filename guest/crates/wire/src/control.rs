//! The control protocol on [`crate::ports::CONTROL`]: one request frame, one reply frame, in turn.

use serde::{Deserialize, Serialize};

/// What the host asks of the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Request {
    /// First frame of a connection.
    Hello { protocol: u32 },
    /// Memory, disk and load figures.
    Figures,
    /// Sets the guest's wall clock. `unix_ns` is nanoseconds since 1970-01-01 UTC, as the host sees it now.
    // Why 64 bits (enough until 2262): serde cannot read wider integers within a tagged enum.
    SetClock { unix_ns: i64 },
    /// Stops containers in order, flushes the data disk and powers the guest off. The reply comes before the power goes.
    Shutdown { stop_timeout_s: u32 },
    /// Grows the data filesystem to its disk's size, after the host enlarged the disk.
    GrowDisk,
    /// Returns free blocks of the data disk to the host.
    TrimDisk,
    /// Drops caches and hands free memory back to the host, now. Slows nothing down that runs but what it reads again.
    GiveBack,
}

/// What the guest answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    Hello {
        protocol: u32,
        guest_version: String,
    },
    Figures(Figures),
    Done,
    /// The request could not be served; the reason is a sentence for a person.
    Failed {
        reason: String,
    },
}

/// The guest's own view of its resources. All sizes in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Figures {
    pub uptime_ms: u64,
    pub unix_ns: i64,
    pub cpus: u32,
    pub memory_total_bytes: u64,
    pub memory_available_bytes: u64,
    /// Caches: gone within seconds once nothing runs, or at once by [`Request::GiveBack`].
    pub memory_reclaimable_bytes: u64,
    /// Nobody has this memory; the host need not have it either.
    pub memory_free_bytes: u64,
    pub containers_running: u32,
    /// Resident size of the engine process.
    pub engine_resident_bytes: u64,
    /// Resident size of pid 1.
    pub init_resident_bytes: u64,
    pub disk_total_bytes: u64,
    pub disk_free_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame;

    #[test]
    fn numbers_survive_the_round_trip() {
        let request = Request::SetClock { unix_ns: 1_800_000_000_123_456_789 };
        let bytes = frame::encode(&request).unwrap();
        assert_eq!(frame::read_blocking::<Request>(&mut &bytes[..]).unwrap(), Some(request));
        let reply = Reply::Figures(Figures { unix_ns: 1_800_000_000_123_456_789, cpus: 2, ..Figures::default() });
        let bytes = frame::encode(&reply).unwrap();
        assert_eq!(frame::read_blocking::<Reply>(&mut &bytes[..]).unwrap(), Some(reply));
    }
}
