//! The user's folders in the guest: a virtio-fs device, served over vhost-user by this process.
//!
//! ```text
//!  guest: virtiofs ──FUSE──▶ vhost ─▶ server ─▶ fs ──openat…──▶ the shared folders, nothing else
//!  guest: agent repeats it ◀── Happened ◀── fs::replay ◀── watch ◀──fanotify── somebody edits a file on the host
//! ```
//!
//! | module | |
//! |---|---|
//! | [`folders`] | which folders, and the tree that leads to them |
//! | [`paths`] | where a folder lies in the guest |
//! | [`happened`] | a change, as the guest's agent repeats it |
//! | [`told`] | changes in folders that another's server serves (macOS, Windows) |
//! | `abi`, `chain`, `iov` | FUSE's structures; requests and files over guest memory |
//! | `server` | requests to operations |
//! | `fs` | operations, confined; ownership; replay |
//! | `watch` | what happens on the host |
//! | `vhost` | QEMU's side |
//!
//! Not here: DAX, locks (the guest's kernel keeps them), POSIX ACLs. docs/adr in this part has the reasons.

pub mod folders;
pub mod happened;
pub mod paths;
pub mod told;

#[cfg(target_os = "linux")]
mod abi;
#[cfg(target_os = "linux")]
mod chain;
#[cfg(target_os = "linux")]
mod device;
#[cfg(target_os = "linux")]
mod fs;
#[cfg(all(target_os = "linux", feature = "fuzzing"))]
pub mod fuzzing;
#[cfg(target_os = "linux")]
mod iov;
#[cfg(target_os = "linux")]
mod server;
#[cfg(target_os = "linux")]
mod vhost;
#[cfg(target_os = "linux")]
mod watch;

#[cfg(target_os = "linux")]
pub use device::{Device, Shares};
pub use folders::{FolderError, Folders};
#[cfg(target_os = "linux")]
pub use fs::Step;
pub use happened::{Created, Happened};
#[cfg(target_os = "linux")]
pub use watch::Seen;

/// What whoever carries events to the guest needs of a machine: where the device is not ours, the folders.
#[cfg(not(target_os = "linux"))]
pub type Shares = Folders;
