//! Taking a cgroup away, with whatever a container has made below its own.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{CgroupError, CgroupPath, files, v2};

/// A v1 directory can stay busy for a moment after its last process has gone, without telling when that is over.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

pub(super) fn all(path: &CgroupPath, patience: Duration) -> Result<(), CgroupError> {
    let deadline = Instant::now() + patience;
    let mut first = Ok(());
    let mut note = |done: Result<(), CgroupError>| {
        if first.is_ok() {
            first = done;
        }
    };
    if let Some(dir) = &path.v2 {
        note(unified(dir, deadline));
    }
    for dir in &path.v1 {
        note(until_gone(dir, deadline));
    }
    first
}

fn unified(dir: &Path, deadline: Instant) -> Result<(), CgroupError> {
    if tree(dir)? {
        return Ok(());
    }
    let left = deadline.saturating_duration_since(Instant::now());
    match v2::wait_event(dir, left, |events| files::find(events, "populated") == Some(0)) {
        Ok(false) => return Err(CgroupError::Busy(dir.to_owned())),
        Err(CgroupError::Io { source, .. }) if files::is_gone(&source) => return Ok(()),
        done => done?,
    };
    until_gone(dir, deadline.max(Instant::now() + LOOK_AGAIN * 20))
}

fn until_gone(dir: &Path, deadline: Instant) -> Result<(), CgroupError> {
    while !tree(dir)? {
        if Instant::now() >= deadline {
            return Err(CgroupError::Busy(dir.to_owned()));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    Ok(())
}

/// Removes the directories of containers in `parent` that are empty and older than `age`; returns how many.
pub(super) fn abandoned(parent: &Path, age: Duration) -> usize {
    let is_container = |dir: &Path| {
        let name = dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let is_old = |dir: &Path| {
        let changed = std::fs::metadata(dir).and_then(|found| found.modified());
        changed.is_ok_and(|changed| changed.elapsed().is_ok_and(|since| since >= age))
    };
    // Below one in use nothing is touched, not even what is empty there.
    let is_empty = |dir: &Path| files::pids_below(dir).is_ok_and(|pids| pids.is_empty());
    let dirs = files::children(parent);
    let left = dirs.iter().filter(|dir| is_container(dir) && is_old(dir) && is_empty(dir));
    left.filter(|dir| matches!(tree(dir), Ok(true))).count()
}

/// Removes a tree from its leaves; `false`: something in it is in use.
fn tree(dir: &Path) -> Result<bool, CgroupError> {
    match std::fs::remove_dir(dir) {
        Ok(()) => return Ok(true),
        Err(err) if files::is_gone(&err) => return Ok(true),
        Err(err) if is_busy(&err) => {}
        Err(err) => return Err(CgroupError::io("remove", dir)(err)),
    }
    let children = files::children(dir);
    if children.is_empty() {
        return Ok(false);
    }
    for child in children {
        if !tree(&child)? {
            return Ok(false);
        }
    }
    match std::fs::remove_dir(dir) {
        Err(err) if is_busy(&err) => Ok(false),
        Err(err) if !files::is_gone(&err) => Err(CgroupError::io("remove", dir)(err)),
        _ => Ok(true),
    }
}

fn is_busy(err: &io::Error) -> bool {
    matches!(err.raw_os_error(), Some(libc::EBUSY | libc::ENOTEMPTY))
}
