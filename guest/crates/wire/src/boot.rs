//! Boot stages, pushed by pid 1 to the host over [`crate::ports::BOOT`].
//!
//! ```text
//! Hello → Stage(Init) → Stage(Disk) → Stage(Engine) → Stage(Ready)      the stream stays open while the guest lives
//!                           └──────────────┴───▶ Failed{stage, reason}
//!                                          Ready ──▶ EngineExited ──▶ Stage(Engine) → Stage(Ready)
//!                                          ClockStepped at any time
//! ```

use serde::{Deserialize, Serialize};

/// The stages of a guest's boot, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The kernel handed over to pid 1; kernel filesystems are mounted.
    Init,
    /// The data disk is checked, grown where needed, and mounted.
    Disk,
    /// The engine process runs and opens its state.
    Engine,
    /// The Docker Engine API answers.
    Ready,
}

/// One message of the boot stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum BootMessage {
    /// First frame. `guest_version` is the cubbyd version, `kernel` is `uname -r`.
    Hello { protocol: u32, guest_version: String, kernel: String },
    /// A stage was reached; `clock_us` is the guest's monotonic clock, microseconds since its kernel started.
    Stage { stage: Stage, clock_us: u64 },
    /// A stage failed for good; the reason is a sentence for a person.
    Failed { stage: Stage, reason: String },
    /// The engine process ended unasked; pid 1 starts it again.
    EngineExited { reason: String },
    /// Somebody set the guest's wall clock. The host compares it with its own.
    ClockStepped,
    /// Something that a newer guest says and this host does not know.
    #[serde(other)]
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_newer_guest_says_is_no_error() {
        let newer = br#"{"type":"phase_of_moon","moon":"full"}"#;
        assert_eq!(serde_json::from_slice::<BootMessage>(newer).unwrap(), BootMessage::Unknown);
        let stepped = serde_json::to_vec(&BootMessage::ClockStepped).unwrap();
        assert_eq!(serde_json::from_slice::<BootMessage>(&stepped).unwrap(), BootMessage::ClockStepped);
    }
}
