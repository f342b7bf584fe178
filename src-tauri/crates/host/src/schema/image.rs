//! Images as the UI shows them, and what can be done with them.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::{FileSource, FileTarget, Kept};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Image {
    /// `sha256:…`
    pub id: String,
    /// `name:tag`, as Docker shows them; empty for an image without a name.
    pub tags: Vec<String>,
    /// With everything it shares with others.
    pub size_bytes: u64,
    /// Of it, what other images have, too; absent when the engine does not tell.
    pub shared_bytes: Option<u64>,
    pub created_unix_ms: u64,
    /// Ids of the containers made from it, stopped ones included.
    pub used_by: Vec<String>,
    /// Ports that the image says it listens on (`EXPOSE`).
    pub exposed: Vec<u16>,
    /// Where the image says that it keeps data (`VOLUME`).
    pub volumes: Vec<String>,
    pub architecture: Option<String>,
    /// It is in the bin; its names are those it had.
    pub binned: Option<Kept>,
}

/// What came of removing an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ImageRemoved {
    pub untagged: Vec<String>,
    pub deleted: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ImageCommand {
    /// → `job`
    Pull { name: String },
    /// → `job`
    Push { name: String },
    /// Another name for it. → `done`
    Tag { id: String, name: String },
    /// Takes a name away; the last one takes the image along. → `removed`
    Untag { name: String },
    /// Takes all its names away, for a while; what uses it goes on. → `done`
    Bin { id: String },
    /// → `done`
    Restore { id: String },
    /// Removes every image in the bin for good. → `done`
    EmptyBin,
    /// What [`ImageCommand::Prune`] would take. → `prune_preview`
    PrunePreview { all: bool },
    /// Images that no container uses: without a name, or `all`. → `pruned`
    Prune { all: bool },
    /// → `job`
    Save { names: Vec<String>, to: FileTarget },
    /// → `job`
    Load { from: FileSource },
    /// Oldest first. → `layers`
    Layers { id: String },
    /// → `found`
    Search { term: String },
}

/// One step of the build that made the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ImageLayer {
    /// Of the layer's contents; absent for steps that wrote no file, and where the engine does not tell.
    pub id: Option<String>,
    pub command: String,
    pub size_bytes: u64,
    pub created_unix_ms: u64,
    pub comment: String,
    /// What it changes, in the order of the paths and not all of it when that is much, where the engine tells.
    pub files: Vec<LayerFile>,
    /// How many there are in all.
    pub files_total: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct LayerFile {
    pub path: String,
    pub size_bytes: u64,
    /// It takes a file of an earlier layer away.
    pub removed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ImageFound {
    pub name: String,
    pub description: String,
    pub official: bool,
    pub stars: u64,
}

/// What would go, and how much comes back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct PrunePreview {
    pub items: Vec<PruneItem>,
    /// At least this much.
    pub bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct PruneItem {
    pub id: String,
    pub name: String,
    /// What its removal alone would free.
    pub bytes: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ImageReply {
    Done,
    Job { id: u32 },
    Removed { removed: ImageRemoved },
    PrunePreview { preview: PrunePreview },
    Pruned { bytes: u64 },
    Layers { layers: Vec<ImageLayer> },
    Found { found: Vec<ImageFound> },
}
