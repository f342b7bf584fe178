//! A process's standard streams: from its pipes to the log and to every attached client, and from clients to its input.
//!
//! ```text
//! pipe/pty ──journal──▶ pump ──▶ log (written before the next read)
//!                      └────▶ fan-out ──bounded queue──▶ each attached client
//! client ──▶ input slot ──▶ pipe/pty
//! ```
//!
//! A client that reads too slowly holds the container back once its queue (about a megabyte) is full, as with dockerd;
//! one that has gone is forgotten. Clients may attach before the process starts and see its first byte.

mod detach;
mod fanout;
mod input;
mod intake;
mod pump;

pub use detach::{DetachKeys, Detached};
pub use fanout::{Fanout, Output};
pub use input::Input;
pub use pump::{Pumps, start};

/// The streams of one container or exec, from before its start to after its end.
#[derive(Default)]
pub struct Streams {
    pub stdout: Fanout,
    pub stderr: Fanout,
    pub stdin: Input,
}
