//! Changes on the host that the system tells by path, for machines whose hypervisor serves the shared folders itself.
//!
//! ```text
//!  FSEvents, ReadDirectoryChangesW ──Told──▶ News (quiet? really new?) ──Happened──▶ agent: sets the time that is there
//!                                                                                    └─▶ the guest's kernel: IN_MODIFY
//! ```
//!
//! Why the agent repeats less here than over a server of ours: that one answers the agent "done" and does nothing, so that a
//! deletion can be repeated. Another's server does what it is told, and a deletion that comes late would delete what is there by
//! then. So only what leaves the folder as it is may be repeated: [`crate::Happened::Modified`] sets the time of change that is there already,
//! `Attributes` the mode, `Written` opens and closes. What appeared, went or was renamed is told as a change of its
//! directory (and of what is there now), which is what makes watchers look again.
//!
//! Two more things that the system does not do here: it does not say who caused a change, so what the guest itself writes is
//! told to it once; and the agent's own work is told back, which [`News`] knows by what it saw last.

mod news;
#[cfg(any(test, not(target_os = "linux")))]
mod system;

use std::path::PathBuf;

pub use news::News;
#[cfg(any(test, not(target_os = "linux")))]
pub use system::Watcher;

/// What the system says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// Something about what the path leads to.
    Changed(PathBuf),
    /// It appeared, went, or has another name: its directory changed as well.
    Entry(PathBuf),
    /// Changes were lost.
    Lost,
}

/// Called on a thread of the watcher's; must not block.
pub type TellSink = Box<dyn Fn(Told) + Send>;
