//! Open files: reading, writing, and what else goes through a handle.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use rustix::fs::{FallocateFlags, Mode, OFlags, SeekFrom};
use rustix::io::Errno;

use super::attr::version;
use super::dirs::DirHandle;
use super::nodes::{Kind, Node, Place, lock};
use super::{Caller, Entry, Fs, MAX_HANDLES, Result, check_name, fd_path, is_regular, key, stat_fd};
use crate::abi::{StatfsOut, fopen};
use crate::chain::Slices;
use crate::iov;

pub enum Handle {
    File(Arc<File>),
    Dir(Arc<Mutex<DirHandle>>),
}

/// What the guest is told about an opened file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    pub fh: u64,
    pub flags: u32,
}

/// Flags of `open` that concern the host's file. Direct I/O, set by the guest for its own cache, is not among them.
const PASSED_ON: OFlags = OFlags::APPEND.union(OFlags::SYNC).union(OFlags::DSYNC);

impl Fs {
    pub(super) fn keep(&self, handle: Handle) -> Result<u64> {
        let mut handles = lock(&self.handles);
        if handles.len() >= MAX_HANDLES {
            return Err(Errno::NFILE);
        }
        let fh = self.next_handle.fetch_add(1, Ordering::Relaxed);
        handles.insert(fh, handle);
        Ok(fh)
    }

    pub(super) fn file(&self, fh: u64) -> Result<Arc<File>> {
        match lock(&self.handles).get(&fh) {
            Some(Handle::File(file)) => Ok(file.clone()),
            Some(Handle::Dir(_)) => Err(Errno::ISDIR),
            None => Err(Errno::BADF),
        }
    }

    pub fn release(&self, fh: u64) {
        // Closed after the lock is let go: the last close of a file may take its time.
        let closed = lock(&self.handles).remove(&fh);
        drop(closed);
    }

    pub fn open(&self, caller: Caller, id: u64, flags: u32) -> Result<Opened> {
        let node = self.node(id)?;
        if self.is_replayer(caller) {
            return Ok(Opened { fh: 0, flags: fopen::KEEP_CACHE });
        }
        let asked = OFlags::from_bits_retain(flags);
        let file = Arc::new(File::from(self.open_node(&node, asked)?));
        let stat = stat_fd(&*file)?;
        if asked.contains(OFlags::TRUNC) {
            rustix::fs::ftruncate(&*file, 0)?;
        }
        node.opened(&file);
        let unchanged = node.was_told(version(&stat)) && !asked.contains(OFlags::TRUNC);
        let fh = self.keep(Handle::File(file))?;
        // Why: pages that the guest has are of the version that it was told last.
        Ok(Opened { fh, flags: if unchanged { fopen::KEEP_CACHE } else { 0 } })
    }

    /// Opens the very file that the node is, if it is a regular one; nothing else is ever opened on the host.
    fn open_node(&self, node: &Arc<Node>, asked: OFlags) -> Result<OwnedFd> {
        let flags = (asked & (OFlags::ACCMODE | PASSED_ON)) | SAFELY;
        match &node.kind {
            Kind::File => {}
            Kind::Dir { .. } | Kind::Virtual { .. } => return Err(Errno::ISDIR),
        }
        if let Some(Place { dir, name }) = node.place() {
            match rustix::fs::openat(dir.dir()?, &name, flags, Mode::empty()) {
                Ok(fd) if key(&stat_fd(&fd)?) == node.key => return regular(fd),
                Ok(_) | Err(Errno::NOENT | Errno::LOOP) => {}
                Err(err) => return Err(err),
            }
        }
        // The name is gone, but the guest has the file open: through /proc it can be opened again.
        let handle = node.handle().ok_or(Errno::STALE)?;
        let path = fd_path(std::os::fd::AsRawFd::as_raw_fd(&*handle));
        regular(rustix::fs::open(path, flags - OFlags::NOFOLLOW, Mode::empty())?)
    }

    pub fn create(&self, caller: Caller, dir: u64, name: &OsStr, flags: u32, mode: u32) -> Result<(Entry, Opened)> {
        check_name(name)?;
        let dir = self.node(dir)?;
        if self.is_replayer(caller) {
            // It never creates by opening.
            return Err(Errno::PERM);
        }
        let asked = OFlags::from_bits_retain(flags);
        let wanted = asked & (OFlags::ACCMODE | PASSED_ON | OFlags::EXCL);
        let mode = Mode::from_raw_mode(mode & 0o1777);
        let fd = regular(rustix::fs::openat(dir.dir()?, name, wanted | OFlags::CREATE | SAFELY, mode)?)?;
        if asked.contains(OFlags::TRUNC) && !asked.contains(OFlags::EXCL) {
            rustix::fs::ftruncate(&fd, 0)?;
        }
        let mut entry = self.enter(&dir, name)?;
        if (caller.uid, caller.gid) != (0, 0) {
            self.own(caller, &entry.node);
            entry = self.entry(&dir, &entry.node, None)?;
        }
        let file = Arc::new(File::from(fd));
        entry.node.opened(&file);
        let fh = self.keep(Handle::File(file))?;
        Ok((entry, Opened { fh, flags: 0 }))
    }

    pub fn read(&self, fh: u64, offset: u64, room: &Slices<'_>) -> Result<usize> {
        iov::read_at(&*self.file(fh)?, offset, room)
    }

    pub fn write(&self, fh: u64, offset: u64, data: &Slices<'_>) -> Result<usize> {
        iov::write_at(&*self.file(fh)?, offset, data)
    }

    pub fn sync(&self, fh: u64, only_data: bool) -> Result<()> {
        let file = self.file(fh)?;
        if only_data { rustix::fs::fdatasync(&*file) } else { rustix::fs::fsync(&*file) }
    }

    pub fn allocate(&self, fh: u64, mode: u32, offset: u64, length: u64) -> Result<()> {
        let mode = FallocateFlags::from_bits(mode).ok_or(Errno::OPNOTSUPP)?;
        rustix::fs::fallocate(&*self.file(fh)?, mode, offset, length)
    }

    /// Only for holes and data; the guest does the rest itself.
    pub fn seek(&self, fh: u64, offset: u64, whence: u32) -> Result<u64> {
        let position = match whence.cast_signed() {
            libc::SEEK_DATA => SeekFrom::Data(offset),
            libc::SEEK_HOLE => SeekFrom::Hole(offset),
            _ => return Err(Errno::INVAL),
        };
        rustix::fs::seek(&*self.file(fh)?, position)
    }

    pub fn copy(&self, from: (u64, u64), to: (u64, u64), length: u64) -> Result<usize> {
        let (source, target) = (self.file(from.0)?, self.file(to.0)?);
        let (mut read_at, mut write_at) = (from.1, to.1);
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(1 << 30);
        rustix::fs::copy_file_range(&*source, Some(&mut read_at), &*target, Some(&mut write_at), length)
    }

    pub fn statfs(&self, id: u64) -> Result<StatfsOut> {
        let node = self.node(id)?;
        let found = match &node.kind {
            Kind::Virtual { .. } => match self.folders.iter().next() {
                Some(folder) => rustix::fs::fstatvfs(rustix::fs::open(folder, super::PATH_ONLY, Mode::empty())?)?,
                None => return Ok(StatfsOut { bsize: 4096, namelen: 255, frsize: 4096, ..StatfsOut::default() }),
            },
            Kind::Dir { fd } => rustix::fs::fstatvfs(fd)?,
            Kind::File => rustix::fs::fstatvfs(node.place().ok_or(Errno::STALE)?.dir.dir()?)?,
        };
        Ok(StatfsOut {
            blocks: found.f_blocks,
            bfree: found.f_bfree,
            bavail: found.f_bavail,
            files: found.f_files,
            ffree: found.f_ffree,
            bsize: found.f_bsize as u32,
            namelen: found.f_namemax as u32,
            frsize: found.f_frsize as u32,
            ..StatfsOut::default()
        })
    }
}

/// Whatever took the file's place meanwhile, opening it follows nothing, waits for nobody and changes no terminal.
const SAFELY: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

fn regular(fd: OwnedFd) -> Result<OwnedFd> {
    if is_regular(&stat_fd(&fd)?) { Ok(fd) } else { Err(Errno::INVAL) }
}
