//! Machines on macOS: Virtualization.framework in this process; the guest runs in a helper process of the system's.
//!
//! | module | |
//! |---|---|
//! | `plan` | what the machine shall have, as plain data; tested on every system |
//! | `explain` | the framework's errors, with what helps; tested on every system |
//! | `configuration` | the plan as the framework's objects |
//! | `vm` | one power cycle, on a serial queue of its own |
//! | `sockets` | the vsock device's connections as descriptors |
//!
//! Every program that uses this must be signed with the `com.apple.security.virtualization` entitlement
//! (`src-tauri/packaging/macos/cubby.entitlements`). The guest's kernel must be uncompressed on Apple silicon.
//!
//! Source: Apple's documentation of Virtualization, macOS 13 and later.

mod explain;
mod plan;

#[cfg(target_os = "macos")]
mod configuration;
#[cfg(target_os = "macos")]
mod sockets;
#[cfg(target_os = "macos")]
mod vm;

#[cfg(target_os = "macos")]
pub use backend::Vz;

#[cfg(target_os = "macos")]
mod backend {
    use objc2_foundation::NSProcessInfo;
    use objc2_virtualization::VZVirtualMachine;

    use super::{configuration, explain, plan::Plan, vm::VzVm};
    use crate::disk::LockedDisk;
    use crate::hypervisor::{Accelerator, BoxFuture, Capabilities, Hypervisor, Machine, MachineError, ProbeError};
    use crate::native::{Maker, NativeMachine, Vm};
    use crate::spec::MachineSpec;

    /// The Virtualization.framework backend.
    #[derive(Clone, Copy, Debug, Default)]
    pub struct Vz;

    impl Hypervisor for Vz {
        fn name(&self) -> &'static str {
            "vz"
        }

        fn probe(&self) -> BoxFuture<'_, Result<Capabilities, ProbeError>> {
            Box::pin(async {
                // SAFETY: a class method without arguments or preconditions.
                if !unsafe { VZVirtualMachine::isSupported() } {
                    return Err(explain::unsupported());
                }
                let system = NSProcessInfo::processInfo().operatingSystemVersionString();
                Ok(Capabilities {
                    accelerator: Accelerator::Vz,
                    version: format!("Virtualization.framework, macOS {system}"),
                    slow_because: None,
                })
            })
        }

        fn create(&self, spec: MachineSpec) -> BoxFuture<'_, Result<Box<dyn Machine>, MachineError>> {
            Box::pin(async move {
                let disk = LockedDisk::of_machine(&spec).await?;
                let (name, shares) = (spec.name.clone(), spec.shares.clone());
                let machine = NativeMachine::new(name, Box::new(VzMaker { spec }), disk, shares);
                Ok(Box::new(machine) as Box<dyn Machine>)
            })
        }
    }

    struct VzMaker {
        spec: MachineSpec,
    }

    impl Maker for VzMaker {
        fn make(&mut self) -> BoxFuture<'_, Result<Box<dyn Vm>, MachineError>> {
            Box::pin(async {
                let plan = Plan::of(&self.spec, configuration::limits());
                let vm = VzVm::new(&self.spec.name, &plan, &self.spec.console_log)?;
                Ok(Box::new(vm) as Box<dyn Vm>)
            })
        }
    }
}
