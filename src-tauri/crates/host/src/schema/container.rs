//! Containers as the UI shows them: one flat row each, complete, so that a change replaces a row.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum ContainerState {
    Created,
    Running,
    Paused,
    Restarting,
    Removing,
    Exited,
    Dead,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    Starting,
    Healthy,
    Unhealthy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

/// A port of the container; `host_port` is set when it is published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Port {
    pub container_port: u16,
    pub protocol: Protocol,
    pub host_ip: Option<String>,
    pub host_port: Option<u16>,
    /// What a browser on this computer can open; TCP only.
    pub url: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum MountKind {
    Volume,
    Bind,
    Tmpfs,
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Mount {
    pub kind: MountKind,
    /// Volume name or host path; empty for tmpfs.
    pub source: String,
    pub target: String,
    pub read_only: bool,
    /// A volume without a name of its own: goes when the container is removed with its volumes.
    pub anonymous: bool,
}

/// Why a container is not running, as far as the host can tell. The UI has a sentence for each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum StopReason {
    /// Never started.
    NotStarted,
    /// Ended by itself with exit code 0.
    Finished,
    /// Ended by itself with another code.
    Failed { exit_code: i32 },
    /// The kernel ended it: it used more memory than it may.
    OutOfMemory,
    /// Somebody asked for it (stop, kill, restart).
    Stopped,
    /// A signal that nobody here sent, by number.
    Signal { signal: i32 },
    /// The program named in the command does not exist in the image (127).
    ProgramNotFound,
    /// The program exists but cannot be run (126).
    ProgramNotExecutable,
    /// It never came up; the engine's own words.
    StartFailed { detail: String },
    /// The machine went away underneath it.
    MachineStopped,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Container {
    pub id: String,
    /// Without the leading slash.
    pub name: String,
    /// As the user wrote it.
    pub image: String,
    pub image_id: String,
    pub state: ContainerState,
    pub health: Option<Health>,
    pub created_unix_ms: u64,
    pub started_unix_ms: Option<u64>,
    pub finished_unix_ms: Option<u64>,
    /// Of the last run; absent before the first and while running.
    pub exit_code: Option<i32>,
    /// Set unless running, paused or restarting.
    pub stop_reason: Option<StopReason>,
    pub ports: Vec<Port>,
    pub mounts: Vec<Mount>,
    /// Path and arguments.
    pub command: Vec<String>,
    pub tty: bool,
    /// Docker's name: `no`, `always`, `unless-stopped`, `on-failure`.
    pub restart_policy: String,
    /// `com.docker.compose.project` and `.service`.
    pub compose_project: Option<String>,
    pub compose_service: Option<String>,
    /// It is in the bin: stopped, renamed, and removed for good later.
    pub binned: Option<Binned>,
}

/// When something went into the bin, and when it is removed for good unless the bin is full before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Kept {
    pub at_unix_ms: u64,
    pub until_unix_ms: u64,
}

/// A container in the bin. The mark is its name in the engine, so that no file of ours has to be kept in step with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Binned {
    /// What it was called, and will be again.
    pub name: String,
    pub at_unix_ms: u64,
    /// When it is removed for good, unless the bin is full before.
    pub until_unix_ms: u64,
    /// It ran and is started again when it is taken out.
    pub was_running: bool,
    /// Its restart policy, as the docker command is told it.
    pub restart: Option<String>,
    /// Its unnamed volumes go with it.
    pub volumes: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ContainerRef {
    pub id: String,
    pub name: String,
}

/// What removing a container takes away and what it leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Removal {
    pub id: String,
    pub name: String,
    /// It runs now and would be stopped by force.
    pub running: bool,
    /// Size of the files written inside the container since it was created; they go.
    pub written_bytes: Option<u64>,
    /// Names of unnamed volumes that go with it.
    pub volumes_gone: Vec<String>,
    /// Names of volumes that stay.
    pub volumes_kept: Vec<String>,
    /// Folders of this computer that stay untouched.
    pub folders_kept: Vec<String>,
    /// The image stays.
    pub image: String,
}
