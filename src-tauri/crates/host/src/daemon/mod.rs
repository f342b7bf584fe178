//! The background process that owns a profile's machine: one per user and profile, started when first needed.
//!
//! ```text
//!  app, CLI, dev server ──daemon.sock: frames of `protocol`──▶ daemon ──▶ supervisor ──▶ machine
//!  docker CLI, IDEs, our engine client ──docker.sock──────────▶ proxy ──────link────────▶ guest
//! ```
//!
//! Whoever is killed, the machine lives on, except with the daemon itself: its hypervisor dies with it, and the next
//! [`Client::connect_or_spawn`] makes another. It ends by itself when the machine is off and nobody is connected.
//!
//! Invariants: one daemon per state directory (a lock on a file that is never deleted); both sockets belong to the daemon
//! that holds the lock; what clients send is bounded frames from the same user, still checked in form.

mod client;
mod log;
pub mod protocol;
mod server;
mod spawn;

pub use client::{Client, ClientError, Subscription};
pub use server::{DaemonError, Options, run};
pub use spawn::{SpawnError, program};
