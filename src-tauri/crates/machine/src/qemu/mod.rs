//! Machines on Linux: QEMU as a child process.
//!
//! ```text
//!  this process                                    QEMU (dies with us: PDEATHSIG)
//!   vsock device thread ◀── vsock.sock, vhost-user ──  vhost-user-vsock-pci
//!   QMP task            ◀── socketpair, inherited ──   -mon
//!   console thread      ◀── stdout ─────────────────   virtconsole
//! ```
//!
//! QEMU is found on PATH; it is given no network port of the host, no configuration files, and a seccomp sandbox.

mod command;
mod find;
mod machine;
mod probe;
mod process;
mod qmp;
mod tsc;

use std::path::{Path, PathBuf};

pub use find::Program;
use tokio::sync::OnceCell;

use crate::disk::LockedDisk;
use crate::hypervisor::{Accelerator, BoxFuture, Capabilities, Hypervisor, Machine, MachineError, ProbeError};
use crate::image::{Arch, GuestImage};
use crate::spec::MachineSpec;

/// The QEMU backend for one guest image.
pub struct Qemu {
    image: GuestImage,
    state_dir: PathBuf,
    /// Instead of what PATH offers; tests put a recorder here.
    program: Option<PathBuf>,
    found: OnceCell<Program>,
}

impl Qemu {
    /// `state_dir` keeps the probe's result.
    pub fn new(image: GuestImage, state_dir: &Path) -> Qemu {
        Qemu { image, state_dir: state_dir.to_owned(), program: None, found: OnceCell::new() }
    }

    /// Uses this binary instead of looking on PATH.
    pub fn with_program(mut self, program: &Path) -> Qemu {
        self.program = Some(program.to_owned());
        self
    }

    /// Asked once: starting QEMU only to hear its version takes tens of milliseconds.
    async fn find(&self) -> Result<&Program, ProbeError> {
        let find = async || match &self.program {
            Some(path) => Program::at(path).await,
            None => Program::on_path(self.image.arch).await,
        };
        self.found.get_or_try_init(find).await
    }
}

impl Hypervisor for Qemu {
    fn name(&self) -> &'static str {
        "qemu"
    }

    fn probe(&self) -> BoxFuture<'_, Result<Capabilities, ProbeError>> {
        Box::pin(async {
            let program = self.find().await?;
            Ok(probe::probe(program, &self.image, &self.state_dir).await)
        })
    }

    fn create(&self, mut spec: MachineSpec) -> BoxFuture<'_, Result<Box<dyn Machine>, MachineError>> {
        Box::pin(async move {
            let program = self.find().await?;
            let capabilities = probe::probe(program, &self.image, &self.state_dir).await;
            let disk = LockedDisk::of_machine(&spec).await?;
            if capabilities.accelerator == Accelerator::Tcg
                && spec.image.arch == Arch::X86_64
                && let Ok(Some(khz)) = tokio::task::spawn_blocking(tsc::khz).await
            {
                spec.extra_cmdline = format!("tsc_early_khz={khz} {}", spec.extra_cmdline);
            }
            let machine = machine::QemuMachine::new(program.clone(), capabilities.accelerator, spec, disk)?;
            Ok(Box::new(machine) as Box<dyn Machine>)
        })
    }
}
