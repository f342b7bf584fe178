//! Looking after the machine: limits, shared folders, what takes what, diagnosis.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::{FileSource, FileTarget};

/// Absent: the usual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Limits {
    pub cpus: Option<u32>,
    pub memory_mib: Option<u32>,
    pub disk_gib: Option<u32>,
}

/// What can be chosen, and what is chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct MachineSettings {
    pub limits: Limits,
    /// What holds where nothing is chosen.
    pub usual: Limits,
    /// What this computer has.
    pub host_cpus: u32,
    pub host_memory_mib: u32,
    /// Folders of this computer that containers may mount.
    pub shared_folders: Vec<String>,
    /// The machine starts when its user logs in; absent: not known here.
    pub autostart: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum CheckVerdict {
    Ok,
    Warn,
    Fail,
}

/// What an examination found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Check {
    pub what: String,
    pub verdict: CheckVerdict,
    pub found: String,
    pub remedy: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum UsageKind {
    Image,
    Container,
    Volume,
    BuildCache,
}

/// Something that takes memory or disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct UsageItem {
    pub kind: UsageKind,
    pub id: String,
    pub name: String,
    pub bytes: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Usage {
    /// Running containers.
    pub memory: Vec<UsageItem>,
    /// What each has for itself; layers that several images share are one item without an id.
    pub disk: Vec<UsageItem>,
}

/// A guest image: its version, and the beginning of its id, as builds of one version differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct GuestVersion {
    pub version: String,
    pub id: String,
}

/// What is here, and what happened to the last upgrade. Nothing of it comes from the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Versions {
    pub app: String,
    /// Of the background process; another one than the app's until it is started anew.
    pub daemon: Option<String>,
    /// That came with this installation.
    pub installed: Option<GuestVersion>,
    /// The last one that worked here; it boots when the installed one fails.
    pub good: Option<GuestVersion>,
    /// The installed one has been booted and has not yet proved itself.
    pub on_trial: bool,
    /// The one that failed its trial, and why.
    pub taken_back: Option<GuestVersion>,
    pub taken_back_why: String,
    pub data_format: u32,
    /// Markdown.
    pub changelog: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Held {
    pub memory_bytes: u64,
    pub disk_bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum UpkeepCommand {
    /// → `settings`
    Settings,
    /// From the next start on. → `settings`
    SetLimits { limits: Limits },
    /// From the next start on; absent: the home directory. → `settings`
    SetSharedFolders { folders: Option<Vec<String>> },
    /// → `settings`
    SetAutostart { on: bool },
    /// Takes seconds. → `checks`
    Examine,
    /// → `usage`
    Usage,
    /// Memory and disk that the machine holds and does not use go back to this computer. Takes seconds. → `gave_back`
    GiveBack,
    /// A file for whoever helps, without secrets. → `saved`
    SupportBundle { to: FileTarget },
    /// Everything the machine has, as one file; it is off meanwhile. → `job`
    Export { to: FileTarget },
    /// Such a file in the place of everything that is there. → `job`
    Import { from: FileSource },
    /// Removes everything the machine has: images, containers, volumes, settings of the engine. → `done`
    Reset,
    /// → `versions`
    Versions,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum UpkeepReply {
    Settings {
        settings: MachineSettings,
    },
    Checks {
        checks: Vec<Check>,
    },
    Usage {
        usage: Usage,
    },
    /// What the machine held of this computer's, before and after.
    GaveBack {
        before: Held,
        after: Held,
    },
    Saved {
        place: String,
    },
    Done,
    Job {
        id: u32,
    },
    Versions {
        versions: Versions,
    },
}
