//! A virtio-vsock device inside the host process, for Linux hosts whose kernel offers none to this user.
//!
//! QEMU connects to a Unix socket as a vhost-user front-end and hands over the guest's memory and its two data
//! queues; from then on the guest's stream sockets end here, in this process, without a kernel module and without root.
//!
//! ```text
//!  guest            QEMU                      this process
//!  AF_VSOCK ──▶ virtqueues ═══ shared memory ═══▶ Switch ──socketpair──▶ Stream (tokio)
//!                  └── vhost-user socket ────▶ vhost: set-up, kicks, interrupts
//! ```
//!
//! | module | what it knows |
//! |---|---|
//! | `packet` | the 44-byte header |
//! | `chain` | a descriptor chain of any layout as one run of bytes |
//! | `connection` | one connection's state machine: opening, credit, half-close, reset. No memory, no sockets |
//! | `local` | the device's end of a socketpair |
//! | `switch` | all connections of one guest, between two queues and many sockets. Knows no vhost-user |
//! | `vhost` | vhost-user: features, queues, kicks; serves one QEMU after the other |
//! | `device` | what the rest of the project calls: [`Device`], [`Dialer`], [`Listener`], [`Stream`] |
//!
//! Invariants: the guest is hostile. Nothing it writes makes this process panic, allocate without bound or stop
//! serving; what a connection may buffer is limited by the credit that we grant. The device runs on threads of its
//! own and never blocks the async runtime.
//!
//! Source: virtio 1.2 §5.10, include/uapi/linux/virtio_vsock.h, QEMU docs/interop/vhost-user.rst.
#![cfg(target_os = "linux")]

mod chain;
mod connection;
mod device;
mod local;
mod packet;
#[doc(hidden)]
pub mod switch;
mod vhost;

#[doc(hidden)]
pub use device::Shared;
pub use device::{ConnectError, Device, DeviceError, Dialer, Listener, Stream};

#[cfg(test)]
mod examiner;
