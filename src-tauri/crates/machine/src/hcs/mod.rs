//! Machines on Windows: the Host Compute Service, which runs Hyper-V's virtual machines for programs. WSL is not needed and
//! not touched.
//!
//! | module | |
//! |---|---|
//! | `document` | the machine as the service's JSON, its answers; tested on every system |
//! | `service_id` | vsock ports as AF_HYPERV service ids; tested on every system |
//! | `explain` | the service's errors and missing rights, with what helps; tested on every system |
//! | `api` | the service's functions, looked up when they are needed: not every Windows has them |
//! | `rights` | whether this user may use them |
//! | `vm` | one power cycle |
//! | `sockets` | AF_HYPERV in place of vsock |
//!
//! The guest's kernel needs Hyper-V's drivers (VMBus, storvsc, netvsc, hv_sock): `docs/platforms.md` says what has them.
//!
//! Source: "Host Compute System" and "Make your own integration services" in Microsoft's documentation; Windows 10 2004 and later.

mod document;
mod explain;
mod service_id;

#[cfg(windows)]
mod api;
#[cfg(windows)]
mod rights;
#[cfg(windows)]
mod sockets;
#[cfg(windows)]
mod vm;

#[cfg(windows)]
pub use backend::Hcs;

#[cfg(windows)]
mod backend {
    use super::api::Api;
    use super::vm::HcsVm;
    use super::{explain, rights};
    use crate::disk::LockedDisk;
    use crate::hypervisor::{Accelerator, BoxFuture, Capabilities, Hypervisor, Machine, MachineError, ProbeError};
    use crate::native::{Maker, NativeMachine, Vm};
    use crate::spec::MachineSpec;

    /// The Host Compute Service backend.
    #[derive(Clone, Copy, Debug, Default)]
    pub struct Hcs;

    impl Hypervisor for Hcs {
        fn name(&self) -> &'static str {
            "hyperv"
        }

        fn probe(&self) -> BoxFuture<'_, Result<Capabilities, ProbeError>> {
            Box::pin(async {
                let asked = tokio::task::spawn_blocking(|| -> Result<(), ProbeError> {
                    let api = Api::get().map_err(|_| explain::not_installed())?;
                    explain::rights(rights::of_this_user())?;
                    api.service_properties().map_err(|code| explain::probe(code))
                });
                asked.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
                let version = "Hyper-V (Host Compute Service)".to_owned();
                Ok(Capabilities { accelerator: Accelerator::HyperV, version, slow_because: None })
            })
        }

        fn create(&self, spec: MachineSpec) -> BoxFuture<'_, Result<Box<dyn Machine>, MachineError>> {
            Box::pin(async move {
                let disk = LockedDisk::of_machine(&spec).await?;
                let (name, shares) = (spec.name.clone(), spec.shares.clone());
                let machine = NativeMachine::new(name, Box::new(HcsMaker { spec }), disk, shares);
                Ok(Box::new(machine) as Box<dyn Machine>)
            })
        }
    }

    struct HcsMaker {
        spec: MachineSpec,
    }

    impl Maker for HcsMaker {
        fn make(&mut self) -> BoxFuture<'_, Result<Box<dyn Vm>, MachineError>> {
            let spec = self.spec.clone();
            Box::pin(async move {
                // Every call of the service may take seconds.
                let made = tokio::task::spawn_blocking(move || HcsVm::new(&spec));
                let vm = made.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
                Ok(Box::new(vm) as Box<dyn Vm>)
            })
        }
    }
}
