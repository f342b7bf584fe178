//! Use cases of the host, called by the shell, the command line and the dev server.

pub mod access;
mod app;
pub mod autostart;
pub mod context;
pub mod control;
pub mod daemon;
pub mod dirs;
pub mod doctor;
pub mod engine;
pub mod forwarder;
pub mod guest_image;
pub mod hardware;
pub mod link;
pub mod local;
pub mod proxy;
pub mod relay;
pub mod saving;
pub mod schema;
pub mod session;
pub mod settings;
pub mod shares;
pub mod slots;
pub mod socket;
pub mod supervisor;
pub mod support;

pub use app::{App, ConnectError};

#[cfg(test)]
mod fake;
