//! Container logs: Docker's `json-file` format on disk, rotation, and reading back.
//!
//! One [`Log`] per running container takes what its process writes, line by line; readers work on the files and are told
//! of growth by a watch channel, so that following costs nothing while nothing is written.
//!
//! A crash of the engine loses nothing: see [`journal`]. Of a terminal, which cannot be spliced, it can lose what one read
//! took and was not written down yet.
//!
//! `local` keeps the same lines under `local-logs/` with dockerd's default rotation; `none` keeps nothing.

pub mod journal;
mod line;
mod options;
mod packed;
mod reader;
mod splitter;
mod writer;

pub use line::{Entry, Source};
pub use options::{LogOptions, Subject};
pub use reader::{LogReader, Selection, follow};
pub use splitter::Splitter;
pub use writer::{Log, Position};
