//! What the supervisor needs of a machine. [`crate::hardware`] gives it the real one, tests a faulty one.

use std::sync::Arc;

use cubby_machine::{Balloon, ExitReason, Figures, StopMode};

use crate::link::{BoxFuture, BoxStream, Link};
use crate::schema::Problem;

/// Makes machines.
pub trait Hardware: Send + Sync + 'static {
    /// Finds or makes all that a machine needs, and the machine, which is off. May take a while.
    fn prepare(&self) -> BoxFuture<'_, Result<Prepared, Problem>>;

    /// The machine that was prepared last answers: whatever was tried with it works.
    fn proved(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    /// The machine that was prepared last did not get as far. True when preparing again gives another one, which may.
    fn fall_back<'a>(&'a self, why: &Problem) -> BoxFuture<'a, bool> {
        let _ = why;
        Box::pin(async { false })
    }
}

pub struct Prepared {
    pub machine: Box<dyn Machine>,
    /// `kvm`, `tcg`, …
    pub accelerator: String,
    /// What the user should know about it.
    pub notice: Option<String>,
}

/// One machine; dropping it ends it. The semantics are those of [`cubby_machine::Machine`].
pub trait Machine: Send {
    fn start(&mut self) -> BoxFuture<'_, Result<(), Problem>>;
    fn stop(&mut self, mode: StopMode) -> BoxFuture<'_, ()>;
    fn pause(&mut self) -> BoxFuture<'_, Result<(), Problem>>;
    fn resume(&mut self) -> BoxFuture<'_, Result<(), Problem>>;
    fn wait(&mut self) -> BoxFuture<'_, ExitReason>;
    fn link(&self) -> Link;
    fn listen(&self, port: u32) -> Result<Box<dyn Listen>, Problem>;
    /// The shared folders, whose events the guest wants; `None` when nothing is shared.
    fn shares(&self) -> Option<cubby_machine::share_device::Shares> {
        None
    }
    /// The means of taking memory from the guest, where it does not come back by itself. For the power cycle that is on.
    fn balloon(&self) -> Option<Arc<dyn Balloon>> {
        None
    }
    fn figures(&self) -> Figures;
    /// Process id of the hypervisor, where it is a process.
    fn pid(&self) -> Option<u32>;
}

/// Accepts the guest's streams to one port.
pub trait Listen: Send {
    /// `None` when the machine is gone.
    fn accept(&mut self) -> BoxFuture<'_, Option<BoxStream>>;
}
