//! Container logs: Docker's `json-file` format on disk, rotation, and reading back.
//!
//! One [`Log`] per running container takes what its process writes, line by line; readers work on the files and are told
//! of growth by a watch channel, so that following costs nothing while nothing is written.
//!
//! What a crash of the engine can lose: bytes that were read from the pipe and not yet written to the file (the write
//! follows the read at once, in one call per read), and the beginning of a line whose end had not come.
//!
//! `local` keeps the same lines under `local-logs/` with dockerd's default rotation; `none` keeps nothing.

mod line;
mod options;
mod reader;
mod splitter;
mod writer;

pub use line::{Entry, Source};
pub use options::LogOptions;
pub use reader::{LogReader, Selection, follow};
pub use splitter::Splitter;
pub use writer::{Log, Position};
