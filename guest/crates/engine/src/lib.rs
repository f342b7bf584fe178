//! The engine's domain: containers, exec, images, volumes, networks, events and logs, as Docker means them.
//!
//! Knows no HTTP and no vsock. Every operation a client can ask for is a method of one of the parts of [`Engine`];
//! its errors carry a [`ErrorKind`] and dockerd's wording, and the API crate alone turns kinds into statuses.

pub mod build;
pub mod containers;
pub mod engine;
pub mod error;
pub mod events;
pub mod exec;
pub mod filters;
pub mod host;
pub mod host_files;
pub mod images;
pub mod login;
pub mod logs;
pub mod networks;
pub mod ports;
pub mod state;
pub mod timestamps;
pub mod volumes;

pub use engine::{Config, Engine};
pub use error::{Error, ErrorKind, Result};
