//! Images as the UI shows them.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Image {
    /// `sha256:…`
    pub id: String,
    /// `name:tag`, as Docker shows them; empty for an image without a name.
    pub tags: Vec<String>,
    pub size_bytes: u64,
    pub created_unix_ms: u64,
    /// Ids of the containers made from it, stopped ones included.
    pub used_by: Vec<String>,
    /// Ports that the image says it listens on (`EXPOSE`).
    pub exposed: Vec<u16>,
    pub architecture: Option<String>,
}

/// What came of removing an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ImageRemoved {
    pub untagged: Vec<String>,
    pub deleted: Vec<String>,
}
