//! Volumes and networks: what outlives containers, and what joins them.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::{FileContent, FileListing, Kept, PrunePreview};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Volume {
    pub name: String,
    pub driver: String,
    pub created_unix_ms: u64,
    /// Made without a name of its own.
    pub anonymous: bool,
    pub compose_project: Option<String>,
    pub labels: Vec<(String, String)>,
    /// It is in the bin, under its own name.
    pub binned: Option<Kept>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Member {
    /// Container id.
    pub id: String,
    pub name: String,
    pub address: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Network {
    pub id: String,
    pub name: String,
    pub driver: String,
    /// Without a way to the outside.
    pub internal: bool,
    pub ipv6: bool,
    /// `172.17.0.0/16`
    pub subnets: Vec<String>,
    pub gateways: Vec<String>,
    pub created_unix_ms: u64,
    pub compose_project: Option<String>,
    /// `bridge`, `host`, `none`: always there.
    pub builtin: bool,
    pub members: Vec<Member>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct VolumeSize {
    pub name: String,
    /// Absent when the engine cannot tell.
    pub bytes: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum VolumeCommand {
    /// → `volume`
    Create { name: String, labels: Vec<(String, String)> },
    /// → `done`
    Remove { name: String },
    /// Of a volume that no container uses. → `done`
    Bin { name: String },
    /// → `done`
    Restore { name: String },
    /// Removes every volume in the bin for good. → `done`
    EmptyBin,
    /// → `sizes`
    Sizes,
    /// Volumes that no container uses: without a name, or `all`. → `prune_preview`
    PrunePreview { all: bool },
    /// → `pruned`
    Prune { all: bool },
    /// `path` starts at the volume's own root. → `files`
    Files { name: String, path: String },
    /// The first 256 KiB. → `file`
    Read { name: String, path: String },
    /// Saves a file, or a directory as an archive, there or into the user's downloads. → `saved`
    Save { name: String, path: String, to: Option<String> },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum VolumeReply {
    Done,
    Volume { volume: Volume },
    Sizes { sizes: Vec<VolumeSize> },
    PrunePreview { preview: PrunePreview },
    Pruned { bytes: u64 },
    Files { listing: FileListing },
    File { file: FileContent },
    Saved { place: String },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum NetworkCommand {
    Create {
        name: String,
        subnet: Option<String>,
        internal: bool,
        ipv6: bool,
    },
    Remove {
        id: String,
    },
    Connect {
        id: String,
        container: String,
    },
    Disconnect {
        id: String,
        container: String,
    },
    /// → `prune_preview`
    PrunePreview,
    /// → `pruned`
    Prune,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum NetworkReply {
    Done,
    PrunePreview { preview: PrunePreview },
    Pruned { names: Vec<String> },
}
