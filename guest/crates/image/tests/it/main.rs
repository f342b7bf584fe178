//! Layers and archives against real files: needs root (owners, devices, overlay attributes) and says so otherwise.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod archives;
mod build;
mod changes;
mod crash;
mod foreign;
mod hostile;
mod rebuild;
mod unpack;
mod upper;

use std::path::Path;

use cubby_image::{Limits, Store};

/// A store in a fresh directory; None, with a note, without root.
fn store() -> Option<(tempfile::TempDir, Store)> {
    store_with(Limits::default())
}

fn store_with(limits: Limits) -> Option<(tempfile::TempDir, Store)> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), limits).unwrap();
    Some((dir, store))
}

/// A store where syncing costs nothing, for tests that make hundreds of layers.
fn store_in_memory() -> Option<(tempfile::TempDir, Store)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let store = Store::open(dir.path(), Limits::default()).unwrap();
    Some((dir, store))
}

/// Names in a directory of the store.
fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(dir).unwrap().map(|item| item.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// True when nothing is being unpacked and there are no layers.
fn is_pristine(data_root: &Path) -> bool {
    names(&data_root.join("layers")) == [".staging", ".trash", "empty"]
        && names(&data_root.join("layers/.staging")).is_empty()
}
