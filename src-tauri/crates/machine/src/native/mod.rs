//! Machines that the operating system's own hypervisor runs: everything that `vz` (macOS) and `hcs` (Windows) share.
//!
//! ```text
//!  NativeMachine ──makes, starts, kills──▶ Vm (one power cycle: vz, hcs, or a recording fake)
//!       │                                   │
//!       └── Carrier: listeners by port ◀────┴── Sockets (virtio-vsock's descriptors, AF_HYPERV's)
//! ```
//!
//! A [`Vm`] does system calls and nothing else; which of them, in which order, and what an ending means is decided in
//! [`machine`], which tests drive on any system.

pub mod carrier;
mod machine;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::hypervisor::{Balloon, BoxFuture, MachineError};

pub use machine::NativeMachine;

/// How a guest ended, as the system's callback tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The guest powered off.
    PoweredOff,
    /// The guest asked for a reset. Virtualization.framework tells of none: it boots the guest again by itself.
    #[cfg_attr(target_os = "macos", expect(dead_code))]
    Reset,
    /// We ended it.
    Killed,
    /// The hypervisor gave up on it; its words.
    Failed(String),
}

/// One power cycle of one guest. Dropping it ends the guest at once.
pub trait Vm: Send {
    fn start(&mut self) -> BoxFuture<'_, io::Result<()>>;
    /// The processors stand still until `resume`.
    fn pause(&mut self) -> BoxFuture<'_, io::Result<()>>;
    fn resume(&mut self) -> BoxFuture<'_, io::Result<()>>;
    /// Pulls the plug. The ending is told as any other.
    fn kill(&mut self) -> BoxFuture<'_, io::Result<()>>;
    /// Told once, by a callback of the system's.
    fn ending(&self) -> watch::Receiver<Option<Ending>>;
    /// Its streams, usable once it was started.
    fn sockets(&self) -> Arc<dyn carrier::Sockets>;
    /// The means of taking memory from the guest, if it takes any.
    fn balloon(&self) -> Option<Arc<dyn Balloon>> {
        None
    }
    /// Resident memory in bytes and processor time, as far as the system tells them.
    fn cost(&self) -> (u64, Duration);
}

/// Makes a new [`Vm`] for each power cycle of a machine.
pub trait Maker: Send {
    fn make(&mut self) -> BoxFuture<'_, Result<Box<dyn Vm>, MachineError>>;
}

#[cfg(test)]
#[cfg(unix)]
mod fake;
#[cfg(test)]
#[cfg(unix)]
mod tests;
