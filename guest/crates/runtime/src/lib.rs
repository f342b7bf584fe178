//! The container runtime: from an OCI runtime spec to running processes, and back to an exact exit status.
//!
//! Two halves that talk over one `SOCK_SEQPACKET` socket:
//!
//! - [`keeper`]: a small single-threaded process (pid 1 in the guest, `cubbyd keeper` natively). It is the parent of every
//!   container process, holds the far ends of their stdio, and outlives the engine.
//! - [`Runtime`]: the engine's asynchronous client of it.
//!
//! ```text
//! engine ── Spec ──▶ plan (flags, masks, bytes) ──▶ keeper ── clone3 ──▶ child: mounts, pivot, user, caps, seccomp, exec
//! ```
//!
//! The engine *lowers* a spec to a plan (all parsing and checking, unit-tested without root); the child only executes it.
//!
//! Invariants:
//! - Only the keeper forks, and it has one thread.
//! - Every path inside a root filesystem is resolved by the kernel below that root (`RESOLVE_IN_ROOT`); images are hostile.
//! - No container mount exists outside the container's own mount namespace.
//! - `unsafe` lives in [`sys`] alone.
//!
//! It deliberately knows neither Docker's API nor images, networks or state on disk.

pub mod cgroup;
mod child;
mod client;
mod error;
pub mod keeper;
mod limits;
mod owner_map;
mod packet;
mod plan;
mod protocol;
pub mod seccomp;
mod shared_mount;
mod sys;
mod types;

pub use client::{Runtime, signal};
pub use error::{RuntimeError, SpawnError};
pub use limits::raise_open_files;
pub use owner_map::OwnerMap;
pub use plan::CAPABILITIES;
pub use shared_mount::shared_mount;
pub use types::{ExitStatus, Exited, Kept, Namespace, NamespaceKind, Spawn, Spawned, Stdio, Target, WinSize};
