//! Container networking in the kernel: namespaces, bridges, cables, addresses, rules, and names.
//!
//! Knows no engine types and keeps no records: callers say what there shall be, this crate makes it so. Everything here
//! blocks (for microseconds to milliseconds) and belongs on blocking threads, but for the DNS server.

pub mod dns;
pub mod error;
pub mod files;
pub mod firewall;
pub mod ipam;
pub mod mac;
pub mod netlink;
pub mod sandbox;
pub mod sockets;
pub mod subnet;

pub use error::{Error, Result};
pub use mac::Mac;
pub use netlink::{Cable, Child, ChildKind, IpvlanFlag, IpvlanMode, MacvlanMode, Netlink};
pub use sandbox::{Interface, Sandbox};
pub use subnet::Subnet;
