//! Open files: the engine needs several per container and connection, and a login's limit is 1024.

use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the process was started with.
static AT_BIRTH: OnceLock<Rlimit> = OnceLock::new();

/// Raises this process's limit of open files to what it may have. A keeper started later begins with the limit from
/// before, which is what containers get.
///
/// # Errors
/// The kernel's; the limit is as it was then.
pub fn raise_open_files() -> std::io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    // Why ignored: a second call raises nothing, and the first one's limit is the one that counts.
    let _ = AT_BIRTH.set(limit);
    Ok(())
}

/// The limit before [`raise_open_files`].
pub(crate) fn open_files_at_birth() -> Option<Rlimit> {
    AT_BIRTH.get().copied()
}
