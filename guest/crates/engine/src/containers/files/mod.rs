//! Files of a container, reached from outside it: `docker cp`, export, diff, and what a new volume starts with.
//!
//! A running container is reached through its first process's root, a stopped one through a detached mount of its layers.
//! Every path is resolved by the kernel below that root (`RESOLVE_IN_ROOT`): a link that a container lays, or moves while
//! we look, leads nowhere else.

mod copy_up;
mod entries;
mod read;
mod root;
mod write;

pub(super) use copy_up::copy_up;
pub use read::TreeWriter;
pub use root::Files;
pub use write::{Unpack, unpack};
