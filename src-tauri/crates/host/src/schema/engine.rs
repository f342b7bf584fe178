//! Engines to choose from: Cubby's own machine, and any other Docker API.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// Client certificates for `tcp://` with TLS: paths on this computer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct EngineTls {
    pub ca: String,
    pub cert: String,
    pub key: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct EngineEntry {
    /// Unique; shown.
    pub name: String,
    /// `unix:///path`, `tcp://host:port` or `ssh://[user@]host[:port][/path/to/docker.sock]`
    pub address: String,
    pub tls: Option<EngineTls>,
}

/// Cubby's own machine is always there and not in `others`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Engines {
    pub others: Vec<EngineEntry>,
    /// Name of the one in use; absent: Cubby's own machine.
    pub chosen: Option<String>,
}

/// → `engines`, all of them
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EngineCommand {
    /// Remembers it after it answered once; replaces one of the same name.
    Add {
        entry: EngineEntry,
    },
    Remove {
        name: String,
    },
    /// Absent: Cubby's own machine.
    Choose {
        name: Option<String>,
    },
    /// Docker sockets of other products that are on this computer and not on the list. → `engines`, `others` being those
    Find,
}
