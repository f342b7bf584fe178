//! A container's files, as the files page shows them.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    Directory,
    File,
    Link,
    Other,
}

/// Since the container was created, on the container's own layer (not in volumes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum FileChange {
    Added,
    Changed,
    Deleted,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct FileEntry {
    pub name: String,
    pub kind: FileKind,
    pub size_bytes: u64,
    /// Permission bits.
    pub mode: u32,
    pub modified_unix_ms: Option<u64>,
    pub link_target: Option<String>,
    /// A directory is `changed` when something below it is.
    pub change: Option<FileChange>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct FileListing {
    /// Absolute, without a slash at the end.
    pub path: String,
    /// Directories first, then by name; deleted ones included.
    pub entries: Vec<FileEntry>,
    /// The directory was too large to be read to its end.
    pub cut: bool,
    /// Files changed since the container was created, everywhere in it.
    pub changes_total: u32,
}

/// The beginning of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct FileContent {
    /// Absent when it is not text.
    pub text: Option<String>,
    pub size_bytes: u64,
    /// There is more than `text` shows.
    pub cut: bool,
}
