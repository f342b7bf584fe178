//! Attributes: what the host has, as the guest shall see it.
//!
//! **Ownership.** This process is an ordinary user and cannot give files away, so the guest's idea of an owner is kept
//! beside the file, in the attribute `user.cubby.owner`. A file of our user without it is the guest's 0:0, which the
//! engine maps to the container's own user; a file of anybody else is nobody's. Mode bits are the host's own, without
//! set-id bits: those would give the host's users our rights.

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{AtFlags, Mode, OFlags, Statx, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, XattrFlags};
use rustix::io::Errno;

use super::nodes::{Kind, Node, Place};
use super::{Caller, Fs, Pinned, Result, UNWATCHED_VALID, WATCHED_VALID, fd_path, is_dir, is_regular, stat_fd};
use crate::abi::{Attr, AttrOut, EntryOut, SetattrIn, setattr};

/// Where the guest's owner of a file is kept: `uid:gid`.
pub const OWNER: &str = "user.cubby.owner";
/// Source: the kernel's overflow ids, Documentation/admin-guide/sysctl/fs.rst.
const NOBODY: u32 = 65534;
/// Mode bits that a guest may set on the host.
const FILE_MODE: u32 = 0o1777;
/// On directories set-gid only says whose group new files have.
const DIR_MODE: u32 = 0o3777;

/// A node as the answer to a lookup.
pub struct Entry {
    pub node: Arc<Node>,
    pub attr: Attr,
    pub valid: Duration,
}

impl Entry {
    pub fn out(&self) -> EntryOut {
        EntryOut {
            nodeid: self.node.id,
            generation: 0,
            entry_valid: self.valid.as_secs(),
            attr_valid: self.valid.as_secs(),
            entry_valid_nsec: self.valid.subsec_nanos(),
            attr_valid_nsec: self.valid.subsec_nanos(),
            attr: self.attr,
        }
    }
}

impl Fs {
    pub(super) fn entry(&self, dir: &Node, node: &Arc<Node>, found: Option<Statx>) -> Result<Entry> {
        if matches!(node.kind, Kind::Virtual { .. }) {
            return Ok(Entry { node: node.clone(), attr: virtual_attr(node.id), valid: WATCHED_VALID });
        }
        let stat = match found {
            Some(stat) => stat,
            None => self.stat(node)?,
        };
        let attr = self.attr(node, &stat);
        Ok(Entry { node: node.clone(), attr, valid: self.valid(dir, &stat) })
    }

    /// A file with several names may be changed through one that nobody hears of.
    fn valid(&self, dir: &Node, stat: &Statx) -> Duration {
        let heard = self.is_heard(dir) && (is_dir(stat) || stat.stx_nlink == 1);
        if heard { WATCHED_VALID } else { UNWATCHED_VALID }
    }

    pub fn get_attr(&self, id: u64) -> Result<AttrOut> {
        let node = self.node(id)?;
        if matches!(node.kind, Kind::Virtual { .. }) {
            return Ok(attr_out(virtual_attr(id), WATCHED_VALID));
        }
        let stat = self.stat(&node)?;
        let valid = match node.place() {
            Some(Place { dir, .. }) => self.valid(&dir, &stat),
            None => UNWATCHED_VALID,
        };
        Ok(attr_out(self.attr(&node, &stat), valid))
    }

    pub(super) fn attr(&self, node: &Arc<Node>, stat: &Statx) -> Attr {
        node.tell(version(stat));
        let (uid, gid) = self.owner(node, stat);
        Attr {
            ino: stat.stx_ino,
            size: stat.stx_size,
            blocks: stat.stx_blocks,
            atime: stat.stx_atime.tv_sec.cast_unsigned(),
            mtime: stat.stx_mtime.tv_sec.cast_unsigned(),
            ctime: stat.stx_ctime.tv_sec.cast_unsigned(),
            atimensec: stat.stx_atime.tv_nsec,
            mtimensec: stat.stx_mtime.tv_nsec,
            ctimensec: stat.stx_ctime.tv_nsec,
            mode: u32::from(stat.stx_mode),
            nlink: stat.stx_nlink,
            uid,
            gid,
            rdev: 0,
            blksize: stat.stx_blksize,
            flags: 0,
        }
    }

    fn owner(&self, node: &Arc<Node>, stat: &Statx) -> (u32, u32) {
        if stat.stx_uid != self.user {
            return (NOBODY, NOBODY);
        }
        if !is_dir(stat) && !is_regular(stat) {
            return (0, 0);
        }
        let mut buffer = [0; 32];
        let path = match (&node.kind, node.place()) {
            (Kind::Dir { fd }, _) => fd_path(std::os::fd::AsRawFd::as_raw_fd(fd)).into(),
            (_, Some(Place { dir, name })) => match dir.dir() {
                Ok(fd) => std::path::Path::new(&fd_path(std::os::fd::AsRawFd::as_raw_fd(fd))).join(name),
                Err(_) => return (0, 0),
            },
            _ => return (0, 0),
        };
        // Why the two calls: a directory's path is a magic link that is to be followed, a file's last name is not.
        let read = match node.kind {
            Kind::Dir { .. } => rustix::fs::getxattr(&path, OWNER, &mut buffer[..]),
            _ => rustix::fs::lgetxattr(&path, OWNER, &mut buffer[..]),
        };
        read.ok().and_then(|len| parse_owner(&buffer[..len])).unwrap_or((0, 0))
    }

    /// Keeps the guest's owner beside a file of ours.
    fn set_owner(&self, pinned: &Pinned, stat: &Statx, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        if stat.stx_uid != self.user {
            return Err(Errno::PERM);
        }
        if !is_dir(stat) && !is_regular(stat) {
            // No place to keep it; archives that change every owner must not fail over their symlinks.
            return Ok(());
        }
        let path = pinned.path();
        let mut buffer = [0; 32];
        let now = rustix::fs::getxattr(&path, OWNER, &mut buffer[..]).ok();
        let now = now.and_then(|len| parse_owner(&buffer[..len])).unwrap_or((0, 0));
        let owner = (uid.unwrap_or(now.0), gid.unwrap_or(now.1));
        if owner == now {
            return Ok(());
        }
        let write = || match owner {
            (0, 0) => rustix::fs::removexattr(&path, OWNER),
            (uid, gid) => rustix::fs::setxattr(&path, OWNER, format!("{uid}:{gid}").as_bytes(), XattrFlags::empty()),
        };
        match write() {
            // Why: the kernel wants write permission for `user.` attributes; a read-only file of ours lends it.
            Err(Errno::ACCESS) => {
                let mode = Mode::from_raw_mode(u32::from(stat.stx_mode) & 0o7777);
                rustix::fs::chmod(&path, mode | Mode::WUSR)?;
                let written = write();
                rustix::fs::chmod(&path, mode)?;
                written
            }
            // A filesystem that keeps no attributes: the file stays the container's own.
            Err(Errno::OPNOTSUPP | Errno::NODATA) => Ok(()),
            other => other,
        }
    }

    /// A file that the caller has just made is the caller's.
    pub(super) fn own(&self, caller: Caller, node: &Arc<Node>) {
        if (caller.uid, caller.gid) == (0, 0) || caller.uid == u32::MAX {
            return;
        }
        let owned = self.pin(node).and_then(|pinned| {
            let stat = self.stat(node)?;
            self.set_owner(&pinned, &stat, Some(caller.uid), Some(caller.gid))
        });
        if let Err(err) = owned {
            tracing::debug!(%err, "the new file's owner could not be kept");
        }
    }

    pub fn set_attr(&self, caller: Caller, id: u64, asked: &SetattrIn) -> Result<AttrOut> {
        if self.is_replayer(caller) {
            return self.get_attr(id);
        }
        let node = self.node(id)?;
        let pinned = self.pin(&node)?;
        let stat = self.stat(&node)?;
        let has = |bit| asked.valid & bit != 0;
        if has(setattr::UID) || has(setattr::GID) {
            let (uid, gid) = (has(setattr::UID).then_some(asked.uid), has(setattr::GID).then_some(asked.gid));
            self.set_owner(&pinned, &stat, uid, gid)?;
        }
        if has(setattr::MODE) {
            let allowed = if is_dir(&stat) { DIR_MODE } else { FILE_MODE };
            rustix::fs::chmod(pinned.path(), Mode::from_raw_mode(asked.mode & allowed))?;
        }
        if has(setattr::SIZE) {
            self.truncate(&node, &pinned, has(setattr::FH).then_some(asked.fh), asked.size)?;
        }
        if has(setattr::ATIME) || has(setattr::MTIME) {
            let times = Timestamps {
                last_access: time(has(setattr::ATIME), has(setattr::ATIME_NOW), asked.atime, asked.atimensec),
                last_modification: time(has(setattr::MTIME), has(setattr::MTIME_NOW), asked.mtime, asked.mtimensec),
            };
            set_times(&node, &pinned, &times)?;
        }
        self.get_attr(id)
    }

    fn truncate(&self, node: &Arc<Node>, pinned: &Pinned, fh: Option<u64>, size: u64) -> Result<()> {
        if let Some(file) = fh.and_then(|fh| self.file(fh).ok()) {
            return rustix::fs::ftruncate(&*file, size);
        }
        if !matches!(node.kind, Kind::File) {
            return Err(Errno::ISDIR);
        }
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = rustix::fs::open(pinned.path(), flags, Mode::empty())?;
        match is_regular(&stat_fd(&file)?) {
            true => rustix::fs::ftruncate(&file, size),
            false => Err(Errno::INVAL),
        }
    }
}

fn set_times(node: &Arc<Node>, pinned: &Pinned, times: &Timestamps) -> Result<()> {
    if let (Kind::File, Some(Place { dir, name })) = (&node.kind, node.place()) {
        return rustix::fs::utimensat(dir.dir()?, &name, times, AtFlags::SYMLINK_NOFOLLOW);
    }
    rustix::fs::utimensat(rustix::fs::CWD, pinned.path(), times, AtFlags::empty())
}

fn time(given: bool, now: bool, seconds: u64, nanoseconds: u32) -> Timespec {
    let tv_nsec = match (given, now) {
        (false, _) => UTIME_OMIT,
        (true, true) => UTIME_NOW,
        (true, false) => i64::from(nanoseconds.min(999_999_999)),
    };
    Timespec { tv_sec: seconds.cast_signed(), tv_nsec }
}

/// What distinguishes one content of a file from the next.
pub fn version(stat: &Statx) -> (i64, u32, u64) {
    (stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec, stat.stx_size)
}

fn attr_out(attr: Attr, valid: Duration) -> AttrOut {
    AttrOut { attr_valid: valid.as_secs(), attr_valid_nsec: valid.subsec_nanos(), dummy: 0, attr }
}

/// A directory that only leads on: root's, not to be changed.
fn virtual_attr(id: u64) -> Attr {
    Attr { ino: id, mode: libc::S_IFDIR | 0o555, nlink: 2, blksize: 4096, ..Attr::default() }
}

/// A file that is gone already, for the replay of its end.
pub fn gone_attr(ino: u64, directory: bool) -> Attr {
    let mode = if directory { libc::S_IFDIR | 0o700 } else { libc::S_IFREG | 0o600 };
    Attr { ino, mode, nlink: 1, blksize: 4096, ..Attr::default() }
}

fn parse_owner(text: &[u8]) -> Option<(u32, u32)> {
    let (uid, gid) = std::str::from_utf8(text).ok()?.split_once(':')?;
    Some((uid.parse().ok()?, gid.parse().ok()?))
}

/// Whether an attribute is our own bookkeeping.
pub fn is_ours(name: &OsStr) -> bool {
    name == OWNER
}
