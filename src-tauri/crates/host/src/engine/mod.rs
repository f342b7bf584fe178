//! The engine as its client sees it: the public Docker API over `docker.sock`, nothing else.
//!
//! | module | |
//! |---|---|
//! | [`convert`] | Docker's shapes → the schema's rows |
//! | [`follow`] | the live model: one list, then the event stream |
//! | [`stores`] | volumes and networks |
//! | [`run`], [`body`], [`recipe`] | create and start, the demo container; what it takes, and read back from a container |
//! | [`bin`] | removing in a way that can be undone |
//! | [`files`], [`stats`] | a container's files; what it uses, its processes |
//! | [`logs`], [`terminal`] | streams |
//! | [`endpoint`], [`ssh`], [`tls`] | where an engine is; the way to one behind SSH, or behind certificates |
//! | [`line`] | a connection that is kept: for what is asked again and again |
//! | [`layers`], [`reference`] | an image's layers; names of images |
//! | [`errors`] | Docker's errors → the schema's |

pub mod bin;
pub mod body;
pub mod convert;
pub mod endpoint;
pub mod errors;
pub mod files;
pub mod follow;
pub mod layers;
pub mod line;
pub mod logs;
pub mod recipe;
pub mod reference;
pub mod run;
pub mod ssh;
pub mod stats;
pub mod stores;
pub mod terminal;
pub mod tls;

use std::path::Path;

use bollard::Docker;

use crate::dirs::Dirs;

/// Seconds a single request may take: a stop waits for its container, a load for a large archive.
const TIMEOUT_S: u64 = 300;

/// A client of this profile's engine. Connects only when it is used, anew as needed.
pub fn client(dirs: &Dirs) -> Result<Docker, bollard::errors::Error> {
    at(&dirs.docker_socket())
}

/// The same of any engine's socket.
pub fn at(socket: &Path) -> Result<Docker, bollard::errors::Error> {
    // Only the path's text is taken over; bollard asks for a file that exists, which it need not yet.
    let version = bollard::ClientVersion { major_version: 1, minor_version: 47 };
    crate::local::docker(socket, TIMEOUT_S, &version)
}
