//! What a new volume starts with: the image's files at the place where it is mounted.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd},
    path::Path,
};

use rustix::fs::{Gid, Mode, OFlags, Timespec, Timestamps, Uid, fchmod, fchown, fstat, futimens, open};

use super::{Files, TreeWriter, Unpack, root::Files as Root, unpack};
use crate::error::{Error, Result};

/// Copies `path` of the image into an empty volume directory, its own owner, mode and time included. A directory that has
/// something, or an image that has nothing there, is left as it is. Blocking.
pub fn copy_up(image: &Files, path: &str, volume: &Path) -> Result<()> {
    let failed = |source: io::Error| Error::system(format!("copy {path} of the image to its volume"), source);
    if volume.read_dir().map_err(failed)?.next().is_some() {
        return Ok(());
    }
    let Ok(source) = image.open(path) else { return Ok(()) };
    let found = fstat(&source).map_err(|error| failed(error.into()))?;
    if rustix::fs::FileType::from_raw_mode(found.st_mode) != rustix::fs::FileType::Directory {
        return Err(Error::invalid(format!("cannot mount volume over existing file, file exists {path}")));
    }
    let readable = open(
        format!("/proc/self/fd/{}", source.as_raw_fd()),
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    );
    let readable = readable.map_err(|error| failed(error.into()))?;
    // Why through a pipe: reading and writing trees exist already, each hardened, and neither knows of the other.
    let (reader, writer) = io::pipe().map_err(failed)?;
    std::thread::scope(|scope| {
        let written = scope.spawn(move || {
            let mut tree = TreeWriter::new(File::from(std::os::fd::OwnedFd::from(writer)));
            tree.add_contents(readable.as_fd(), b"").and_then(|()| tree.finish())
        });
        let target = Root::at(volume)?;
        let unpacked = unpack(&target, reader, &Unpack { into: "/".to_owned(), ..Unpack::default() });
        let written = written.join().unwrap_or_else(|_| Err(io::Error::other("reading the image's files failed")));
        unpacked.and(written.map_err(failed))
    })?;
    let target = open(volume, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let dressed = target.and_then(|target| {
        fchown(&target, Some(Uid::from_raw(found.st_uid)), Some(Gid::from_raw(found.st_gid)))?;
        fchmod(&target, Mode::from_raw_mode(found.st_mode & 0o7777))?;
        let at = |seconds: i64| Timespec { tv_sec: seconds, tv_nsec: 0 };
        futimens(&target, &Timestamps { last_access: at(found.st_atime), last_modification: at(found.st_mtime) })
    });
    dressed.map_err(|error| failed(error.into()))
}
