//! Layers: from a compressed tar stream to a directory that overlayfs can stack, verified on both sides.
//!
//! ```text
//!            ┌ decoder thread ───────────────┐  chunks   ┌ caller's thread ──────────┐
//!  bytes ──▶ │ hash (blob digest) → inflate  │ ────┬───▶ │ tar entries → files       │ → staging directory
//!            └───────────────────────────────┘     │     └───────────────────────────┘
//!                                                  └───▶ hash thread (diff id)
//! ```
//! All queues are bounded; nothing is fsynced per file: [`Store::commit`] syncs the file system once and then renames.

mod apply;
mod changes;
mod metadata;
mod parents;
mod split;
mod store;
mod stream;
mod upper;
mod verify;
mod whiteout;

pub use changes::{Change, ChangeKind, changes};
pub use split::{Rebuilder, write_tar};
pub use store::{Pin, Staged, Store};
pub use stream::{Compression, decoder};
pub use upper::write_upper;
pub use verify::{Depth, Strays};
