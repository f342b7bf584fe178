//! The machine as the UI shows it.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::Remedy;

/// ```text
/// off ──▶ starting ──▶ running ──▶ stopping ──▶ off
///             │            │           │
///             └────────────┴───────────┴──▶ failed ──▶ starting
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum MachinePhase {
    Off,
    Starting,
    Running,
    Stopping,
    Failed,
}

/// The steps of a start, in order. The UI has a sentence for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum StageName {
    /// Guest image, data disk and hypervisor are found or made.
    Prepare,
    /// The hypervisor runs; the kernel starts.
    Power,
    /// Pid 1 of the guest answered.
    Init,
    /// The data disk is checked and mounted.
    Disk,
    /// The container engine opens its state.
    Engine,
    /// The Docker API answers on the host's socket.
    Ready,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum StageStatus {
    Waiting,
    Running,
    Done,
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Stage {
    pub stage: StageName,
    pub status: StageStatus,
    /// Since the start was asked for.
    pub started_ms: Option<u64>,
    pub took_ms: Option<u64>,
}

/// Why the machine is not running, and the one button that helps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Problem {
    /// A short sentence.
    pub title: String,
    /// What exactly happened; may have several lines.
    pub detail: String,
    pub remedy: Option<Remedy>,
}

/// The whole of it: sent whenever any part changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct MachineState {
    pub phase: MachinePhase,
    /// Paused because nobody uses it; the first connection wakes it. Only while `phase` is `running`.
    #[serde(default)]
    #[ts(optional, as = "Option<bool>")]
    pub sleeping: bool,
    /// An answer is late. Nothing that is open ends of it, and what is known may be old; it goes by itself when an answer comes. Only
    /// of engines across a network.
    #[serde(default)]
    #[ts(optional, as = "Option<bool>")]
    pub silent: bool,
    /// What the user should know although the machine works: an upgrade that was taken back, for example.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub notice: Option<String>,
    /// All stages of the current or last start, waiting ones included; empty before the first.
    pub stages: Vec<Stage>,
    /// Set while `phase` is `failed`.
    pub problem: Option<Problem>,
    /// `kvm`, `tcg`, `hvf`, …; known once the hypervisor was chosen.
    pub accelerator: Option<String>,
    /// When the API first answered in this run.
    pub running_since_unix_ms: Option<u64>,
    /// From asked to ready, for the last complete start.
    pub start_took_ms: Option<u64>,
    pub guest_version: Option<String>,
    pub kernel: Option<String>,
    /// `unix:///…/docker.sock`
    pub docker_host: String,
    /// Path of the guest's console log on the host.
    pub console_log: String,
    /// Path of the data disk on the host.
    pub data_disk: String,
}

/// Sampled while somebody looks: an item of the stream that `open_figures` opens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Figures {
    pub cpus: u32,
    /// The guest's own view.
    pub memory_total_bytes: u64,
    pub memory_used_bytes: u64,
    /// Caches: given back once nothing runs.
    pub memory_reclaimable_bytes: u64,
    /// Nobody has it.
    pub memory_free_bytes: u64,
    pub engine_resident_bytes: u64,
    pub disk_total_bytes: u64,
    pub disk_used_bytes: u64,
    /// What the host really gives: the hypervisor's resident memory and the disk image's allocated blocks.
    pub host_memory_bytes: Option<u64>,
    pub host_disk_bytes: Option<u64>,
}

/// The Docker context named `cubby` of the user's docker CLI.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ContextStatus {
    /// A docker CLI is on the PATH.
    pub cli_found: bool,
    /// The context exists and points at our socket.
    pub exists: bool,
    /// It is the one in use. Cubby never switches it by itself.
    pub current: bool,
}
