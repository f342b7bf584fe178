//! Owner, mode, extended attributes and times of what an entry made.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

use rustix::{
    fs::{
        AtFlags, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags, chmodat, chownat, fchmod, fchown, fsetxattr,
        futimens, lsetxattr, utimensat,
    },
    io::Errno,
};

use crate::tarball::{Entry, Kind};

/// overlayfs' own attributes: in a lower layer they would be orders, not data.
const OVERLAY: [&[u8]; 2] = [b"trusted.overlay.", b"user.overlay."];

pub fn owner(entry: &Entry) -> io::Result<(Uid, Gid)> {
    // Why: all ones means "leave it" to chown.
    let id = |id: u64| u32::try_from(id).ok().filter(|id| *id != u32::MAX);
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, "owner id out of range");
    Ok((Uid::from_raw(id(entry.uid).ok_or_else(invalid)?), Gid::from_raw(id(entry.gid).ok_or_else(invalid)?)))
}

pub fn times(entry: &Entry) -> Timestamps {
    let time = Timespec { tv_sec: entry.mtime_s, tv_nsec: entry.mtime_ns.into() };
    Timestamps { last_access: time, last_modification: time }
}

/// For a regular file, by its descriptor. Why in this order: chown clears set-id bits and capabilities.
pub fn set_on_file(file: BorrowedFd<'_>, entry: &Entry) -> io::Result<()> {
    let (uid, gid) = owner(entry)?;
    if (entry.uid, entry.gid) != (0, 0) {
        fchown(file, Some(uid), Some(gid))?;
    }
    fchmod(file, Mode::from_raw_mode(entry.mode))?;
    for (name, value) in wanted(entry) {
        tolerate(name, fsetxattr(file, name, value, XattrFlags::empty()))?;
    }
    Ok(futimens(file, &times(entry))?)
}

/// For anything else, by its name in `parent`. A directory's times are left for the end.
pub fn set_by_name(parent: BorrowedFd<'_>, name: &[u8], entry: &Entry) -> io::Result<()> {
    let (uid, gid) = owner(entry)?;
    chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    if entry.kind != Kind::Symlink {
        chmodat(parent, name, Mode::from_raw_mode(entry.mode), AtFlags::empty())?;
    }
    for (attribute, value) in wanted(entry) {
        let path = [format!("/proc/self/fd/{}/", parent.as_raw_fd()).as_bytes(), name].concat();
        tolerate(attribute, lsetxattr(path, attribute, value, XattrFlags::empty()))?;
    }
    if entry.kind != Kind::Directory {
        utimensat(parent, name, &times(entry), AtFlags::SYMLINK_NOFOLLOW)?;
    }
    Ok(())
}

fn wanted(entry: &Entry) -> impl Iterator<Item = (&[u8], &[u8])> {
    let pairs = entry.xattrs.iter().map(|(name, value)| (name.as_slice(), value.as_slice()));
    pairs.filter(|(name, _)| !OVERLAY.iter().any(|prefix| name.starts_with(prefix)))
}

/// Attributes that the file system or the kind of file cannot have are left out, as dockerd does.
fn tolerate(name: &[u8], result: Result<(), Errno>) -> io::Result<()> {
    match result {
        Err(Errno::NOTSUP | Errno::PERM | Errno::INVAL) if name != b"security.capability" => Ok(()),
        Err(Errno::NOTSUP) => Ok(()),
        result => Ok(result?),
    }
}
