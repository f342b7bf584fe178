//! What happens to shared files on the host, told to the guest on [`crate::ports::FILES`], which the guest's agent repeats
//! so that its kernel raises the same events.
//!
//! ```text
//!  guest: Hello{agent}     host: Repeat{changes}  guest: Repeated   host: Repeat{…} …   one batch at a time
//!                          host: Lost             guest: Repeated   changes were missed: caches are dropped
//! ```
//!
//! Where another's server has the folders (macOS, Windows) what is repeated really happens, so only what changes nothing is asked for:
//! [`Change::Modified`], [`Change::Attributes`], [`Change::Written`].

use serde::{Deserialize, Serialize};

/// Name of the filesystem device that has the shared folders.
pub const SHARES_TAG: &str = "cubby-shares";

/// Attribute of the device's root: the shared folders' paths, one a line.
pub const SHARES_ATTRIBUTE: &str = "user.cubby.shares";

/// Most changes in one [`ToGuest::Repeat`].
pub const MAX_CHANGES: usize = 64;

/// One change. Paths are absolute, as in the guest's shared tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Change {
    Created {
        path: String,
        what: Kind,
    },
    Modified {
        path: String,
    },
    Attributes {
        path: String,
    },
    /// A file that was open for writing was closed.
    Written {
        path: String,
    },
    Removed {
        path: String,
        directory: bool,
    },
    Moved {
        from: String,
        to: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    File,
    Directory,
    Symlink,
}

/// The host's frames.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToGuest {
    Repeat { changes: Vec<Change> },
    Lost,
}

/// The guest's frames.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToHost {
    /// First. `agent`: the number, in the guest's first process namespace, of the thread that will repeat changes.
    Hello { protocol: u32, agent: u32 },
    /// The last frame's work is done, as far as it could be.
    Repeated,
}
