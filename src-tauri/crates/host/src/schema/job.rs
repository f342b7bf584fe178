//! Long work as the UI shows it: a pull, a push, a load. It goes on when the page that began it is gone.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::AppError;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    Pull,
    Push,
    Save,
    Load,
    /// Everything the machine has, into one file.
    Export,
    /// Such a file in the place of everything the machine has.
    Import,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    Running,
    Done,
    Failed,
    Cancelled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    Waiting,
    /// Over the network, either way.
    Transferring,
    Transferred,
    Unpacking,
    Done,
    /// It was there before.
    Present,
}

/// One layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct JobStep {
    /// Short id of the layer.
    pub id: String,
    pub state: StepState,
    pub current_bytes: u64,
    pub total_bytes: Option<u64>,
}

/// The whole of it: sent whenever any part changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Job {
    pub id: u32,
    pub kind: JobKind,
    /// What it is about: an image's name, a file's.
    pub subject: String,
    pub state: JobState,
    pub steps: Vec<JobStep>,
    pub current_bytes: u64,
    pub total_bytes: Option<u64>,
    /// The last thing that was said about it, in the engine's words.
    pub message: String,
    /// Set when it failed.
    pub error: Option<AppError>,
    pub started_unix_ms: u64,
    pub finished_unix_ms: Option<u64>,
}

/// → `done`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum JobCommand {
    Cancel {
        id: u32,
    },
    /// Takes one that ended off the list.
    Dismiss {
        id: u32,
    },
}

/// A file on this computer that work reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FileSource {
    /// Chosen in the system's own dialog.
    Path { path: String },
    /// Sent by a browser before, with `Command::FilePart`.
    Upload { ticket: String },
}

/// Where work writes a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FileTarget {
    Path {
        path: String,
    },
    /// In the user's downloads, under this name or one like it.
    Downloads {
        name: String,
    },
}
