//! What every backend must do.
//!
//! ```text
//!  Hypervisor::probe ──▶ Hypervisor::create ──▶ Machine (off)
//!  off ──start──▶ on ──guest powers off, panics, resets; hypervisor dies; stop──▶ off      wait() tells which
//! ```
//!
//! A machine may be started again after it went off. Listeners and dialers stay valid across that; streams do not.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::disk::DiskError;
use crate::spec::MachineSpec;
use crate::stream::{Dialer, Listener};

/// A future that can be returned from a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What executes the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Accelerator {
    /// Linux KVM.
    Kvm,
    /// QEMU's translator: works everywhere, about ten times slower.
    Tcg,
    /// Apple's Virtualization.framework.
    Vz,
    /// Windows' Hyper-V.
    HyperV,
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Accelerator::Kvm => "kvm",
            Accelerator::Tcg => "tcg",
            Accelerator::Vz => "vz",
            Accelerator::HyperV => "hyperv",
        })
    }
}

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    pub accelerator: Accelerator,
    /// For people: `QEMU emulator version 10.0.2`.
    pub version: String,
    /// Why nothing faster is used: a sentence, with the remedy if there is one.
    pub slow_because: Option<String>,
}

/// Why this host cannot run machines.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error("{program} is missing: {remedy}")]
    Missing { program: String, remedy: String },
    #[error("{program} does not run")]
    Unusable { program: PathBuf, source: std::io::Error },
    #[error("{program} failed: {said}")]
    Failed { program: PathBuf, said: String },
}

/// Why a machine could not be made, started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    #[error(transparent)]
    Probe(#[from] ProbeError),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("vsock device of the machine")]
    Vsock(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("device of the shared folders")]
    Shares(#[source] std::io::Error),
    #[error("vsock port {0} already has a listener")]
    PortInUse(u32),
    #[error("console log {path}")]
    Console { path: PathBuf, source: std::io::Error },
    #[error("the system takes no machine like this")]
    Configuration(#[source] std::io::Error),
    #[error("{program} could not be started")]
    Spawn { program: PathBuf, source: std::io::Error },
    #[error("hypervisor ended while the machine was starting: {0}")]
    DiedAtStart(ExitReason),
    #[error("the machine could not be paused or resumed")]
    Pause(#[source] std::io::Error),
    #[error("the machine is already on")]
    AlreadyOn,
    #[error("the machine is off")]
    Off,
}

/// How to end a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopMode {
    /// The caller has asked the guest to power off (control protocol). Waits this long for it, then goes on as `Quit`.
    AskedGuest { grace: Duration },
    /// Ends the hypervisor in order: the guest's disk writes that it has are flushed. A power cut for the guest.
    Quit,
    /// Ends the hypervisor at once, whatever state it is in.
    Kill,
}

/// Why a machine went off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExitReason {
    /// The guest powered off.
    PoweredOff,
    /// The guest asked for a reboot, or its CPU gave up (triple fault). Machines never reboot by themselves.
    Reset,
    /// The guest's kernel panicked; the console log has the text.
    Panicked,
    /// [`Machine::stop`] ended it.
    Stopped,
    /// The hypervisor could not go on running the guest.
    HypervisorFailed { said: String },
    /// The hypervisor process died unasked.
    Died { status: String, said: String },
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExitReason::PoweredOff => f.write_str("the guest powered off"),
            ExitReason::Reset => f.write_str("the guest reset itself"),
            ExitReason::Panicked => f.write_str("the guest's kernel panicked"),
            ExitReason::Stopped => f.write_str("stopped"),
            ExitReason::HypervisorFailed { said } => write!(f, "the hypervisor failed: {said}"),
            ExitReason::Died { status, said } if said.is_empty() => write!(f, "the hypervisor died ({status})"),
            ExitReason::Died { status, said } => write!(f, "the hypervisor died ({status}): {said}"),
        }
    }
}

/// Whether a machine that is on makes progress.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    #[default]
    Running,
    /// The guest stands still because the host's disk is full; it goes on when there is space again.
    PausedForSpace,
}

/// What a machine costs its host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Resident memory of the hypervisor, the guest's memory included.
    pub resident_bytes: u64,
    /// CPU time since start.
    pub cpu_time: Duration,
    /// Blocks that the data disk occupies on the host.
    pub disk_allocated_bytes: u64,
}

/// The means of taking memory from a guest, where the hypervisor wants to be told how much. Good for one power cycle.
pub trait Balloon: Send + Sync {
    /// What the machine was made with.
    fn memory_bytes(&self) -> u64;

    /// How much of it the guest shall have; the rest goes to the host as the guest gives it, which nobody waits for.
    fn set_target(&self, bytes: u64);
}

/// A way to run machines on this host.
pub trait Hypervisor: Send + Sync {
    /// `qemu`, `vz`, `hyperv`.
    fn name(&self) -> &'static str;

    /// Finds out what this host can do, by trying. Called before `create` and by `cubby doctor`; may take seconds the
    /// first time and must remember the result for later processes. Must not leave anything running.
    fn probe(&self) -> BoxFuture<'_, Result<Capabilities, ProbeError>>;

    /// Prepares a machine: makes and locks its data disk, opens its vsock device. Starts nothing. At most one machine
    /// per data disk exists on a host; a second one is refused.
    fn create(&self, spec: MachineSpec) -> BoxFuture<'_, Result<Box<dyn Machine>, MachineError>>;
}

/// One machine. Owned by a single task. Dropping it kills the guest.
pub trait Machine: Send {
    /// Powers on. Returns once the hypervisor runs, long before the guest answers: boot stages come over the BOOT
    /// port, so its listener should exist before. Fails with [`MachineError::AlreadyOn`] while the machine is on.
    fn start(&mut self) -> BoxFuture<'_, Result<(), MachineError>>;

    /// Powers off as `mode` says and returns when the machine is off; a machine that is off stays off. Must not take
    /// longer than the grace period plus some seconds, whatever the guest does.
    fn stop(&mut self, mode: StopMode) -> BoxFuture<'_, ()>;

    /// Stops the guest's processors where they are: it costs no processor time until [`Machine::resume`]. Streams stay open and
    /// bytes wait. The guest's clocks go on, so that it is right when it wakes. A machine that is off stays off; pausing twice is
    /// pausing once.
    fn pause(&mut self) -> BoxFuture<'_, Result<(), MachineError>>;

    /// Lets a paused guest go on; any other is left alone.
    fn resume(&mut self) -> BoxFuture<'_, Result<(), MachineError>>;

    /// Waits until the machine is off and tells why. Returns at once when it is off; pending forever before the first
    /// start. May be cancelled and called again: the reason stays.
    fn wait(&mut self) -> BoxFuture<'_, ExitReason>;

    /// A handle to connect to ports in the guest. Valid as long as anybody holds it; dials fail while the machine is
    /// off.
    fn dialer(&self) -> Dialer;

    /// Accepts the guest's connections to `port` of the host, until the listener is dropped. One listener per port.
    fn listen(&self, port: u32) -> Result<Listener, MachineError>;

    /// The shared folders, to carry their events to the guest; `None` when nothing is shared.
    fn shares(&self) -> Option<cubby_share_device::Shares> {
        None
    }

    /// See [`Balloon`]; `None` while the machine is off, and where memory comes back by itself.
    fn balloon(&self) -> Option<Arc<dyn Balloon>> {
        None
    }

    /// Whether the guest makes progress; changes are published as they happen.
    fn condition(&self) -> watch::Receiver<Condition>;

    /// The hypervisor's process while the machine is on, where it is a process of its own. For diagnosis and tests;
    /// ending it is [`Machine::stop`]'s business.
    fn pid(&self) -> Option<u32>;

    /// What the machine costs now. Zero resident memory when it is off. Cheap enough to be called every second.
    fn figures(&self) -> Figures;
}
