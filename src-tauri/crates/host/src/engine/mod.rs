//! The engine as its client sees it: the public Docker API over `docker.sock`, nothing else.
//!
//! | module | |
//! |---|---|
//! | [`convert`] | Docker's shapes → the schema's rows |
//! | [`follow`] | the live model: one list, then the event stream |
//! | [`run`] | create and start, the demo container |
//! | [`logs`], [`terminal`] | streams |
//! | [`errors`] | Docker's errors → the schema's |

pub mod convert;
pub mod errors;
pub mod follow;
pub mod logs;
pub mod run;
pub mod terminal;

use bollard::Docker;

use crate::dirs::Dirs;

/// Seconds a single request may take: a stop waits for its container, a load for a large archive.
const TIMEOUT_S: u64 = 300;

/// A client of this profile's engine. Connects only when it is used, anew as needed.
pub fn client(dirs: &Dirs) -> Result<Docker, bollard::errors::Error> {
    let socket = dirs.docker_socket();
    // Only the path's text is taken over; bollard asks for a file that exists, which it need not yet.
    let version = bollard::ClientVersion { major_version: 1, minor_version: 47 };
    Docker::connect_with_unix(&format!("unix://{}", socket.display()), TIMEOUT_S, &version)
}
