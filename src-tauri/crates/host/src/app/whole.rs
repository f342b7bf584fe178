//! Everything the machine has, as one file: kept elsewhere, put back, or thrown away.
//!
//! ```text
//!  running ──down──▶ off ──copy, replace or remove──▶ off ──up, when it ran before──▶ running
//! ```
//!
//! The data disk is locked meanwhile, so that nothing starts on half of it; what replaces it appears whole or not at all.

use std::io;
use std::path::Path;
use std::sync::Arc;

use cubby_machine::disk::{DiskError, Lock};
use cubby_machine::disk_copy::{self, Effort};
use cubby_machine::system::allocated_bytes;

use super::jobs::{self, Progress};
use super::{Inner, transfer};
use crate::doctor;
use crate::hardware::chain;
use crate::saving;
use crate::schema::{AppError, FileSource, FileTarget, JobKind, MachinePhase, UpkeepReply};

/// Copies the data disk to a place of the user's choice.
pub(super) fn export(inner: &Arc<Inner>, to: &FileTarget) -> Result<UpkeepReply, AppError> {
    let target = transfer::target(&inner.dirs, to)?;
    let held = inner.clone();
    let subject = target.display().to_string();
    let work = |_: Arc<Progress>| async move {
        const TITLE: &str = "The copy could not be made";
        let disk = held.dirs.data_disk();
        // Before the machine is stopped for nothing.
        has_room(&disk, &target).map_err(|err| saving::failed(TITLE, &target, &err))?;
        let place = target.clone();
        while_off(&held, TITLE, &target, move || copy(&disk, &place)).await?;
        Ok(target.display().to_string())
    };
    Ok(UpkeepReply::Job { id: jobs::begin(inner, JobKind::Export, &subject, work) })
}

/// Puts such a copy in the place of everything that is there.
pub(super) fn import(inner: &Arc<Inner>, from: &FileSource) -> Result<UpkeepReply, AppError> {
    let (path, ours) = inner.source(from)?;
    let held = inner.clone();
    let subject = if ours { String::new() } else { path.display().to_string() };
    let work = |_: Arc<Progress>| async move {
        const TITLE: &str = "The copy could not be put back";
        let (disk, from) = (held.dirs.data_disk(), path.clone());
        let looked = path.clone();
        // Before the machine is stopped for nothing.
        let sound = tokio::task::spawn_blocking(move || doctor::is_sound(&looked)).await.unwrap_or(false);
        let done = async {
            if !sound {
                return Err(AppError::failed(TITLE, "this file is no copy of a machine's data, or a damaged one"));
            }
            has_room(&from, &disk).map_err(|err| saving::failed(TITLE, &disk, &err))?;
            let place = disk.clone();
            while_off(&held, TITLE, &place, move || copy(&from, &disk)).await
        };
        let done = done.await;
        if ours {
            let _ = std::fs::remove_file(&path);
        }
        done.map(|()| String::new())
    };
    Ok(UpkeepReply::Job { id: jobs::begin(inner, JobKind::Import, &subject, work) })
}

/// Removes everything; the next start makes an empty machine. The page asks first, and offers [`export`].
pub(super) async fn reset(inner: &Inner) -> Result<UpkeepReply, AppError> {
    let disk = inner.dirs.data_disk();
    let place = disk.clone();
    while_off(inner, "The machine could not be reset", &place, move || {
        let _lock = locked(&disk)?;
        match std::fs::remove_file(&disk) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => Err(err),
            _ => Ok(()),
        }
    })
    .await?;
    Ok(UpkeepReply::Done)
}

/// Does `work` while the machine is off, and starts it again when it ran.
async fn while_off<T: Send + 'static>(
    inner: &Inner,
    title: &str,
    place: &Path,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, AppError> {
    let phase = inner.own.lock().unwrap_or_else(std::sync::PoisonError::into_inner).phase;
    let ran = matches!(phase, MachinePhase::Running | MachinePhase::Starting);
    let mut daemon = inner.daemon().await?;
    daemon.down().await.map_err(|err| AppError::failed(title, chain(&err)))?;
    let done = tokio::task::spawn_blocking(work).await.map_err(io::Error::other).flatten();
    if ran {
        inner
            .daemon()
            .await?
            .up()
            .await
            .map_err(|err| AppError::failed("The machine did not start again", chain(&err)))?;
    }
    done.map_err(|err| saving::failed(title, place, &err))
}

/// Where both are on one filesystem, nobody can tell beforehand: it may let them share what they have in common.
fn has_room(from: &Path, to: &Path) -> io::Result<()> {
    let Ok(source) = std::fs::metadata(from) else { return Ok(()) };
    let directory = to.parent().unwrap_or(to);
    if may_share(&source, &std::fs::metadata(directory)?) {
        return Ok(());
    }
    match doctor::space(directory) {
        Some((free_bytes, _)) if free_bytes < allocated_bytes(&source) => Err(io::ErrorKind::StorageFull.into()),
        _ => Ok(()),
    }
}

#[cfg(unix)]
fn may_share(a: &std::fs::Metadata, b: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    a.dev() == b.dev()
}

#[cfg(not(unix))]
fn may_share(_a: &std::fs::Metadata, _b: &std::fs::Metadata) -> bool {
    false
}

/// Both files are locked where they exist: neither is to change.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let _from = locked(from)?.ok_or_else(|| io::Error::other("there are no data yet: the machine never started"))?;
    let _to = locked(to)?;
    disk_copy::copy(from, to, Effort::Any).map(drop)
}

/// `None`: there is no such file.
fn locked(path: &Path) -> io::Result<Option<Lock>> {
    Lock::of(path).map_err(|err| match err {
        DiskError::Io { source, .. } => source,
        err => io::Error::other(chain(&err)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_replaces_and_a_disk_in_use_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (disk, kept) = (dir.path().join("data.img"), dir.path().join("kept.img"));
        assert!(copy(&disk, &kept).unwrap_err().to_string().contains("never started"));
        std::fs::write(&disk, b"one").unwrap();
        copy(&disk, &kept).unwrap();
        std::fs::write(&disk, b"two").unwrap();
        copy(&kept, &disk).unwrap();
        assert_eq!(std::fs::read(&disk).unwrap(), b"one");
        let _running = Lock::of(&disk).unwrap().unwrap();
        assert!(copy(&kept, &disk).unwrap_err().to_string().contains("in use"));
    }

    #[test]
    #[cfg(unix)]
    fn a_place_that_is_not_there_is_said_before_anything_stops() {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("data.img");
        std::fs::write(&disk, b"one").unwrap();
        let nowhere = dir.path().join("gone/kept.img");
        assert_eq!(has_room(&disk, &nowhere).unwrap_err().kind(), io::ErrorKind::NotFound);
        has_room(&disk, &dir.path().join("kept.img")).unwrap();
    }
}
