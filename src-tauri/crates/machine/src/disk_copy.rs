//! A second file with a data disk's content: shared blocks where the filesystem can (reflink), else data without holes.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// How a copy came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copied {
    /// In no time and no space; both files change apart.
    Shared,
    Whole,
}

/// Whether it is to be made even where it costs time and space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    OnlyShared,
    Any,
}

/// Copies `from` to `to`, which appears whole or not at all. `None`: it would have cost something. The disk must not be in use.
/// Blocking.
///
/// # Errors
/// [`io::ErrorKind::StorageFull`] before anything is written when there is no space for a whole copy.
pub fn copy(from: &Path, to: &Path, effort: Effort) -> io::Result<Option<Copied>> {
    let unfinished = with_suffix(to, ".new");
    let done = fill(from, &unfinished, effort).and_then(|copied| match copied {
        Some(_) => std::fs::rename(&unfinished, to).map(|()| copied),
        None => std::fs::remove_file(&unfinished).map(|()| None),
    });
    if done.is_err() {
        let _ = std::fs::remove_file(&unfinished);
    }
    done
}

fn fill(from: &Path, to: &Path, effort: Effort) -> io::Result<Option<Copied>> {
    let source = File::open(from)?;
    let mut options = OpenOptions::new();
    options.create(true).truncate(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let target = options.open(to)?;
    if share(&source, &target) {
        target.sync_all()?;
        return Ok(Some(Copied::Shared));
    }
    if effort == Effort::OnlyShared {
        return Ok(None);
    }
    whole(&source, &target, to)?;
    target.sync_all()?;
    Ok(Some(Copied::Whole))
}

#[cfg(target_os = "linux")]
fn share(source: &File, target: &File) -> bool {
    rustix::fs::ioctl_ficlone(target, source).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn share(_source: &File, _target: &File) -> bool {
    false
}

#[cfg(unix)]
fn whole(source: &File, target: &File, to: &Path) -> io::Result<()> {
    use std::os::unix::fs::{FileExt, MetadataExt};

    use rustix::fs::{SeekFrom, seek};
    let metadata = source.metadata()?;
    let needed = metadata.blocks() * 512;
    let fs = rustix::fs::statvfs(to)?;
    if fs.f_bavail.saturating_mul(fs.f_frsize) < needed {
        return Err(io::ErrorKind::StorageFull.into());
    }
    target.set_len(metadata.len())?;
    let mut block = vec![0; 1 << 20];
    let mut at = 0;
    // Source: lseek(2): SEEK_DATA beyond the last data fails with ENXIO.
    while let Ok(data) = seek(source, SeekFrom::Data(at)) {
        let hole = seek(source, SeekFrom::Hole(data))?;
        at = data;
        while at < hole {
            let len = block.len().min(usize::try_from(hole - at).unwrap_or(block.len()));
            source.read_exact_at(&mut block[..len], at)?;
            target.write_all_at(&block[..len], at)?;
            at += len as u64;
        }
    }
    Ok(())
}

#[cfg(not(unix))]
fn whole(source: &File, target: &File, _to: &Path) -> io::Result<()> {
    let (mut source, mut target) = (source, target);
    io::copy(&mut source, &mut target).map(drop)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_copy_has_the_same_bytes_and_no_more_blocks() {
        use std::os::unix::fs::{FileExt, MetadataExt};
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("data.raw"), dir.path().join("copy"));
        let file = File::create(&from).unwrap();
        file.set_len(64 << 20).unwrap();
        file.write_all_at(b"begin", 0).unwrap();
        file.write_all_at(&[7; 3 << 20], 10 << 20).unwrap();
        file.write_all_at(b"end", (64 << 20) - 3).unwrap();
        file.sync_all().unwrap();
        assert!(copy(&from, &to, Effort::Any).unwrap().is_some());
        assert!(std::fs::read(&from).unwrap() == std::fs::read(&to).unwrap());
        let blocks = |path| std::fs::metadata(path).unwrap().blocks();
        assert!(blocks(&to) <= blocks(&from) + 64, "{} blocks of {}", blocks(&to), blocks(&from));
        assert_eq!(std::fs::metadata(&to).unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "nothing unfinished is left");
    }

    #[test]
    fn a_copy_that_would_cost_something_is_not_made_unasked() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("data.raw"), dir.path().join("copy"));
        std::fs::write(&from, [1; 4096]).unwrap();
        match copy(&from, &to, Effort::OnlyShared).unwrap() {
            Some(copied) => assert_eq!(copied, Copied::Shared),
            None => assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1),
        }
        assert!(copy(&dir.path().join("none"), &to, Effort::Any).is_err());
    }
}
