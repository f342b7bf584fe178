//! The runtime against the real kernel. Needs root and a static busybox; each test has its own keeper.

#![allow(clippy::unwrap_used)]

mod basics;
mod cgroups;
mod common;
mod confinement;
mod exec;
mod keeper;
mod terminal;
