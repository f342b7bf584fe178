//! A change on the host, as the guest's agent is to repeat it.

use std::path::PathBuf;

/// Paths are absolute and the host's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    Created { path: PathBuf, what: Created },
    Modified { path: PathBuf },
    Attributes { path: PathBuf },
    Written { path: PathBuf },
    Removed { path: PathBuf, directory: bool },
    Moved { from: PathBuf, to: PathBuf },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    File,
    Directory,
    Symlink,
}
