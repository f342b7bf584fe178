//! Reading directories.

use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Mutex};

use rustix::fs::{FileType, Mode, OFlags, RawDir, SeekFrom};
use rustix::io::Errno;
use zerocopy::IntoBytes;

use super::files::{Handle, Opened};
use super::nodes::{Child, Kind, Node, lock};
use super::{Fs, Result};
use crate::abi::{DirentHead, EntryOut, fopen};

/// Bytes asked of the host at a time.
const BUFFER_BYTES: usize = 32 * 1024;

pub struct DirHandle {
    node: Arc<Node>,
    /// `None`: a virtual directory.
    fd: Option<OwnedFd>,
    /// Cookie at which the descriptor stands.
    at: u64,
}

/// A reply to READDIR or READDIRPLUS that grows to a limit.
pub struct Listing {
    bytes: Vec<u8>,
    limit: usize,
    plus: bool,
}

impl Listing {
    pub fn new(limit: usize, plus: bool) -> Listing {
        Listing { bytes: Vec::with_capacity(limit.min(64 * 1024)), limit, plus }
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn fits(&self, name: &OsStr) -> bool {
        let head = size_of::<DirentHead>() + if self.plus { size_of::<EntryOut>() } else { 0 };
        self.bytes.len() + (head + name.len()).next_multiple_of(8) <= self.limit
    }

    fn push(&mut self, name: &OsStr, ino: u64, kind: FileType, next: u64, entry: &EntryOut) {
        if self.plus {
            self.bytes.extend_from_slice(entry.as_bytes());
        }
        let kind = kind.as_raw_mode() >> 12;
        let head = DirentHead { ino, off: next, namelen: name.len() as u32, kind };
        self.bytes.extend_from_slice(head.as_bytes());
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
    }
}

impl Fs {
    pub fn open_dir(&self, id: u64) -> Result<Opened> {
        let node = self.node(id)?;
        let fd = match &node.kind {
            Kind::Virtual { .. } => None,
            Kind::File => return Err(Errno::NOTDIR),
            Kind::Dir { fd } => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                Some(rustix::fs::openat(fd, ".", flags, Mode::empty())?)
            }
        };
        let flags = if self.is_heard(&node) { fopen::KEEP_CACHE | fopen::CACHE_DIR } else { 0 };
        let fh = self.keep(Handle::Dir(Arc::new(Mutex::new(DirHandle { node, fd, at: 0 }))))?;
        Ok(Opened { fh, flags })
    }

    fn dir_handle(&self, fh: u64) -> Result<Arc<Mutex<DirHandle>>> {
        match lock(&self.handles).get(&fh) {
            Some(Handle::Dir(handle)) => Ok(handle.clone()),
            Some(Handle::File(_)) => Err(Errno::NOTDIR),
            None => Err(Errno::BADF),
        }
    }

    /// Lists from `offset` on, zero or what an earlier entry gave, as much as `listing` holds.
    pub fn read_dir(&self, fh: u64, offset: u64, listing: &mut Listing) -> Result<()> {
        let handle = self.dir_handle(fh)?;
        let mut handle = lock(&handle);
        let DirHandle { node, fd, at } = &mut *handle;
        match fd {
            None => self.list_virtual(node, offset, listing),
            Some(fd) => {
                if *at != offset {
                    rustix::fs::seek(&*fd, SeekFrom::Start(offset))?;
                }
                *at = self.list_real(node, fd, offset, listing)?;
                Ok(())
            }
        }
    }

    /// Returns the cookie at which the descriptor stands now.
    fn list_real(&self, dir: &Arc<Node>, fd: &OwnedFd, from: u64, listing: &mut Listing) -> Result<u64> {
        let mut buffer = [MaybeUninit::<u8>::uninit(); BUFFER_BYTES];
        let mut entries = RawDir::new(fd, &mut buffer);
        let mut at = from;
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if !listing.fits(name) {
                // What was read ahead is read again next time.
                return Ok(u64::MAX);
            }
            let is_dots = matches!(name.as_bytes(), b"." | b"..");
            let mut out = EntryOut::default();
            if listing.plus && !is_dots {
                // Gone since, or too many: the guest looks it up itself if it wants to know.
                out = self.enter(dir, name).map_or(out, |entry| entry.out());
            }
            listing.push(name, entry.ino(), entry.file_type(), entry.next_entry_cookie(), &out);
            at = entry.next_entry_cookie();
        }
        Ok(at)
    }

    fn list_virtual(&self, dir: &Arc<Node>, offset: u64, listing: &mut Listing) -> Result<()> {
        let Kind::Virtual { children } = &dir.kind else { return Err(Errno::NOTDIR) };
        let names = [OsStr::new("."), OsStr::new("..")].into_iter().map(|name| (name, None));
        let names = names.chain(children.iter().map(|(name, child)| (name.as_os_str(), Some(child))));
        let skip = usize::try_from(offset).unwrap_or(usize::MAX);
        for (index, (name, child)) in names.enumerate().skip(skip) {
            if !listing.fits(name) {
                break;
            }
            let mut out = EntryOut::default();
            if let Some(Child::Virtual(_) | Child::Folder(_)) = child
                && listing.plus
                && let Ok(entry) = self.enter(dir, name)
            {
                out = entry.out();
            }
            let ino = if out.nodeid == 0 { dir.id } else { out.attr.ino };
            listing.push(name, ino, FileType::Directory, index as u64 + 1, &out);
        }
        Ok(())
    }
}
