//! What a person would want to know who does not look: shown in the app, and by the desktop when the window is away.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::{JobKind, StopReason};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum NewsKind {
    /// It ended by itself, and not well.
    ContainerDied {
        container: String,
        name: String,
        reason: StopReason,
    },
    ContainerUnhealthy {
        container: String,
        name: String,
    },
    /// It went away by itself and is back.
    MachineRestarted,
    MachineFailed {
        title: String,
    },
    /// The machine's own disk, or this computer's where that disk is kept.
    DiskNearlyFull {
        disk: DiskKind,
        free_bytes: u64,
        total_bytes: u64,
    },
    /// Long work ended.
    JobDone {
        job: JobKind,
        subject: String,
    },
    JobFailed {
        job: JobKind,
        subject: String,
        detail: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum DiskKind {
    Machine,
    Computer,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct News {
    pub id: u32,
    pub at_unix_ms: u64,
    pub what: NewsKind,
}
