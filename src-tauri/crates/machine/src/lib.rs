//! The machine: one Linux guest on whatever hypervisor this host has.
//!
//! [`Hypervisor`] and [`Machine`] are the whole contract; one module per backend implements it. The supervisor in
//! `cubby-host` owns a [`Machine`] and decides when it runs; here is only how.
//!
//! | module | |
//! |---|---|
//! | [`hypervisor`] | the two traits, capabilities, errors |
//! | [`spec`] | what a machine shall be |
//! | [`image`] | the guest image on disk: kernel, initramfs, data-disk template |
//! | [`disk`] | the data disk: made from the template, locked, never half-made |
//! | [`disk_copy`] | a second one with the same content, for an upgrade that may fail |
//! | [`console`] | the guest's console as a rotating log file |
//! | [`stream`] | connections into and out of the guest |
//! | [`system`] | memory, free space: what the operating system tells |
//! | `native` | what the two backends below share |
//! | `vz` | macOS: Virtualization.framework |
//! | `hcs` | Windows: Host Compute Service |
//! | `qemu` | Linux: QEMU as a child process, KVM where it really boots, else TCG |
//!
//! Invariants: a machine never outlives the process that started it; the guest is hostile; nothing blocks the async
//! runtime; no guest data ever leaves through a network port of the host.

pub mod console;
pub mod disk;
pub mod disk_copy;
pub mod hypervisor;
pub mod image;
pub mod spec;
pub mod stream;
pub mod system;

#[cfg(target_os = "linux")]
pub mod qemu;

#[cfg(windows)]
pub mod pipe;

#[cfg(any(test, not(target_os = "linux")))]
mod guest_words;
#[cfg(any(test, windows))]
mod hcs;
#[cfg(any(test, not(target_os = "linux")))]
mod native;
#[cfg(any(test, windows))]
mod vhdx;
#[cfg(any(all(test, unix), target_os = "macos"))]
mod vz;

pub use cubby_share_device::{FolderError, Folders};
pub use disk::DiskError;
pub use hypervisor::{
    Accelerator, Balloon, BoxFuture, Capabilities, Condition, ExitReason, Figures, Hypervisor, Machine, MachineError,
    ProbeError, StopMode,
};
pub use image::{GuestImage, ImageError};
pub use spec::{DataDisk, MachineSpec};
pub use stream::{DialError, Dialer, Listener, Stream};

pub use cubby_share_device as share_device;
#[cfg(windows)]
pub use hcs::Hcs;
#[cfg(target_os = "linux")]
pub use qemu::Qemu;
#[cfg(target_os = "macos")]
pub use vz::Vz;
