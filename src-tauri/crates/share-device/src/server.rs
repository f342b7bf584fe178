//! FUSE requests to [`Fs`] operations, and results to replies.
//!
//! Whatever arrives is answered: a request that is too short, too long or unknown gets an error, one without room for a
//! reply gets none. Nothing here panics on what a guest sends.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;
use zerocopy::{Immutable, IntoBytes};

use crate::abi::*;
use crate::chain::Slices;
use crate::fs::{Caller, Entry, Fs, Listing, Opened, Result};

/// Largest READ and WRITE.
const MAX_TRANSFER: u32 = 1 << 20;
const MAX_PAGES: u16 = 256;
/// Longest request apart from WRITE's data: an attribute of 64 KiB and its name.
const MAX_ARGUMENT: usize = 68 * 1024;

const WANTED: u64 = flag::ASYNC_READ
    | flag::ATOMIC_O_TRUNC
    | flag::BIG_WRITES
    | flag::AUTO_INVAL_DATA
    | flag::DO_READDIRPLUS
    | flag::READDIRPLUS_AUTO
    | flag::ASYNC_DIO
    | flag::PARALLEL_DIROPS
    | flag::MAX_PAGES
    | flag::CACHE_SYMLINKS
    | flag::HANDLE_KILLPRIV_V2
    | flag::INIT_EXT
    | flag::ALLOW_IDMAP;

pub struct Server {
    fs: Arc<Fs>,
    /// INIT came: nothing is served before.
    ready: AtomicBool,
}

/// What goes behind the reply's header.
enum Reply {
    Empty,
    Bytes(Vec<u8>),
    /// So many bytes lie in the room already.
    Filled(usize),
}

impl Server {
    pub fn new(fs: Arc<Fs>) -> Server {
        Server { fs, ready: AtomicBool::new(false) }
    }

    /// The guest is gone.
    pub fn reset(&self) {
        self.ready.store(false, Ordering::Relaxed);
        self.fs.reset();
    }

    /// Serves one request; returns the bytes written to `room`.
    pub fn handle(&self, mut request: Slices<'_>, mut room: Slices<'_>) -> usize {
        let Some(header) = request.read::<InHeader>() else { return 0 };
        match header.opcode {
            op::FORGET => {
                if let Some(ForgetIn { nlookup }) = request.read() {
                    self.fs.forget(header.nodeid, nlookup);
                }
                return 0;
            }
            op::BATCH_FORGET => {
                self.forget_many(&mut request);
                return 0;
            }
            _ => {}
        }
        let Some(mut head) = room.take(size_of::<OutHeader>()) else { return 0 };
        let result = self.dispatch(&header, request, &mut room);
        let (len, error) = match result {
            Ok(Reply::Empty) => (0, 0),
            Ok(Reply::Filled(len)) => (len, 0),
            Ok(Reply::Bytes(bytes)) if room.write(&bytes) => (bytes.len(), 0),
            Ok(Reply::Bytes(_)) => (0, -Errno::INVAL.raw_os_error()),
            Err(err) => (0, -err.raw_os_error()),
        };
        let len = size_of::<OutHeader>() + len;
        head.put(&OutHeader { len: len as u32, error, unique: header.unique });
        len
    }

    fn forget_many(&self, request: &mut Slices<'_>) {
        let Some(BatchForgetIn { count, .. }) = request.read() else { return };
        for _ in 0..count {
            let Some(ForgetOne { nodeid, nlookup }) = request.read() else { return };
            self.fs.forget(nodeid, nlookup);
        }
    }

    fn dispatch(&self, header: &InHeader, mut request: Slices<'_>, room: &mut Slices<'_>) -> Result<Reply> {
        let id = header.nodeid;
        let caller = Caller { uid: header.uid, gid: header.gid, pid: header.pid };
        if header.opcode == op::INIT {
            return self.init(&argument(&mut request)?);
        }
        if !self.ready.load(Ordering::Relaxed) {
            return Err(Errno::IO);
        }
        match header.opcode {
            op::READ => {
                let asked: TransferIn = argument(&mut request)?;
                let room = room.take((asked.size as usize).min(room.len())).ok_or(Errno::INVAL)?;
                self.fs.read(asked.fh, asked.offset, &room).map(Reply::Filled)
            }
            op::WRITE => {
                let asked: TransferIn = argument(&mut request)?;
                let data = request.take(asked.size as usize).ok_or(Errno::INVAL)?;
                let size = self.fs.write(asked.fh, asked.offset, &data)? as u32;
                reply(&WriteOut { size, padding: 0 })
            }
            op::READDIR | op::READDIRPLUS => {
                let asked: TransferIn = argument(&mut request)?;
                let limit = (asked.size.min(MAX_TRANSFER) as usize).min(room.len());
                let mut listing = Listing::new(limit, header.opcode == op::READDIRPLUS);
                self.fs.read_dir(asked.fh, asked.offset, &mut listing)?;
                Ok(Reply::Bytes(listing.into_bytes()))
            }
            op::LOOKUP => self.look_up(caller, id, request),
            op::GETATTR => reply(&self.fs.get_attr(id)?),
            op::SETATTR => reply(&self.fs.set_attr(caller, id, &argument(&mut request)?)?),
            op::READLINK => self.fs.read_link(id).map(Reply::Bytes),
            op::SYMLINK | op::MKNOD | op::MKDIR | op::LINK | op::CREATE => self.make(header, caller, request),
            op::UNLINK | op::RMDIR => {
                let text = rest(request)?;
                let [name] = names(&text)?;
                self.fs.remove(caller, id, name, header.opcode == op::RMDIR)?;
                Ok(Reply::Empty)
            }
            op::RENAME | op::RENAME2 => self.rename(header, caller, request),
            op::OPEN => opened(self.fs.open(caller, id, argument::<OpenIn>(&mut request)?.flags)?),
            op::OPENDIR => opened(self.fs.open_dir(id)?),
            op::RELEASE | op::RELEASEDIR => {
                self.fs.release(argument::<ReleaseIn>(&mut request)?.fh);
                Ok(Reply::Empty)
            }
            op::STATFS => reply(&self.fs.statfs(id)?),
            op::FSYNC => {
                let FsyncIn { fh, flags, .. } = argument(&mut request)?;
                self.fs.sync(fh, flags & FSYNC_DATA_ONLY != 0).map(|()| Reply::Empty)
            }
            op::FSYNCDIR => Ok(Reply::Empty),
            op::SETXATTR | op::GETXATTR | op::LISTXATTR | op::REMOVEXATTR => self.attribute(header, request),
            op::FALLOCATE => {
                let FallocateIn { fh, offset, length, mode, .. } = argument(&mut request)?;
                self.fs.allocate(fh, mode, offset, length).map(|()| Reply::Empty)
            }
            op::LSEEK => {
                let LseekIn { fh, offset, whence, .. } = argument(&mut request)?;
                reply(&LseekOut { offset: self.fs.seek(fh, offset, whence)? })
            }
            op::COPY_FILE_RANGE => {
                let CopyIn { fh_in, off_in, fh_out, off_out, len, .. } = argument(&mut request)?;
                let size = self.fs.copy((fh_in, off_in), (fh_out, off_out), len)? as u32;
                reply(&WriteOut { size, padding: 0 })
            }
            op::DESTROY => {
                self.reset();
                Ok(Reply::Empty)
            }
            // The guest's kernel stops asking: it flushes, checks access and locks by itself.
            _ => Err(Errno::NOSYS),
        }
    }

    fn init(&self, asked: &InitIn) -> Result<Reply> {
        if asked.major != MAJOR || asked.minor < OLDEST_MINOR {
            return Err(Errno::PROTO);
        }
        self.reset();
        let offered = u64::from(asked.flags)
            | if asked.flags & (flag::INIT_EXT as u32) != 0 { u64::from(asked.flags2) << 32 } else { 0 };
        let flags = offered & WANTED;
        self.ready.store(true, Ordering::Relaxed);
        reply(&InitOut {
            major: MAJOR,
            minor: MINOR.min(asked.minor),
            max_readahead: asked.max_readahead,
            flags: flags as u32,
            flags2: (flags >> 32) as u32,
            max_background: 64,
            congestion_threshold: 48,
            max_write: MAX_TRANSFER,
            time_gran: 1,
            max_pages: MAX_PAGES,
            ..InitOut::default()
        })
    }

    fn look_up(&self, caller: Caller, dir: u64, request: Slices<'_>) -> Result<Reply> {
        let text = rest(request)?;
        let [name] = names(&text)?;
        match self.fs.look_up(caller, dir, name) {
            Ok(entry) => reply(&entry.out()),
            Err(Errno::NOENT) => match self.fs.absent_valid(caller, dir) {
                Some(valid) => reply(&EntryOut { entry_valid: valid.as_secs(), ..EntryOut::default() }),
                None => Err(Errno::NOENT),
            },
            Err(err) => Err(err),
        }
    }

    fn make(&self, header: &InHeader, caller: Caller, mut request: Slices<'_>) -> Result<Reply> {
        let dir = header.nodeid;
        let one = |entry: Entry| reply(&entry.out());
        match header.opcode {
            op::SYMLINK => {
                let text = rest(request)?;
                let [name, target] = names(&text)?;
                one(self.fs.make_symlink(caller, dir, name, target)?)
            }
            op::MKNOD => {
                let MknodIn { mode, .. } = argument(&mut request)?;
                one(self.fs.make_node(caller, dir, names::<1>(&rest(request)?)?[0], mode)?)
            }
            op::MKDIR => {
                let MkdirIn { mode, .. } = argument(&mut request)?;
                one(self.fs.make_dir(caller, dir, names::<1>(&rest(request)?)?[0], mode)?)
            }
            op::LINK => {
                let LinkIn { oldnodeid } = argument(&mut request)?;
                one(self.fs.link(oldnodeid, dir, names::<1>(&rest(request)?)?[0])?)
            }
            _ => {
                let CreateIn { flags, mode, .. } = argument(&mut request)?;
                let (entry, Opened { fh, flags: open_flags }) =
                    self.fs.create(caller, dir, names::<1>(&rest(request)?)?[0], flags, mode)?;
                let mut bytes = entry.out().as_bytes().to_vec();
                bytes.extend_from_slice(OpenOut { fh, open_flags, backing_id: 0 }.as_bytes());
                Ok(Reply::Bytes(bytes))
            }
        }
    }

    fn rename(&self, header: &InHeader, caller: Caller, mut request: Slices<'_>) -> Result<Reply> {
        let (newdir, flags) = match header.opcode {
            op::RENAME => (argument::<RenameIn>(&mut request)?.newdir, 0),
            _ => {
                let Rename2In { newdir, flags, .. } = argument(&mut request)?;
                (newdir, flags)
            }
        };
        let text = rest(request)?;
        let [old, new] = names(&text)?;
        self.fs.rename(caller, (header.nodeid, old), (newdir, new), flags)?;
        Ok(Reply::Empty)
    }

    fn attribute(&self, header: &InHeader, mut request: Slices<'_>) -> Result<Reply> {
        let id = header.nodeid;
        match header.opcode {
            op::SETXATTR => {
                let SetxattrIn { size, flags } = argument(&mut request)?;
                let text = rest(request)?;
                let end = text.iter().position(|byte| *byte == 0).ok_or(Errno::INVAL)?;
                let value = text[end + 1..].get(..size as usize).ok_or(Errno::INVAL)?;
                self.fs.set_xattr(id, OsStr::from_bytes(&text[..end]), value, flags)?;
                Ok(Reply::Empty)
            }
            op::REMOVEXATTR => {
                self.fs.remove_xattr(id, names::<1>(&rest(request)?)?[0])?;
                Ok(Reply::Empty)
            }
            op::GETXATTR => {
                let GetxattrIn { size, .. } = argument(&mut request)?;
                sized(self.fs.get_xattr(id, names::<1>(&rest(request)?)?[0])?, size)
            }
            _ => {
                let GetxattrIn { size, .. } = argument(&mut request)?;
                sized(self.fs.list_xattr(id)?, size)
            }
        }
    }
}

fn argument<T: zerocopy::FromBytes + IntoBytes>(request: &mut Slices<'_>) -> Result<T> {
    request.read().ok_or(Errno::INVAL)
}

fn rest(request: Slices<'_>) -> Result<Vec<u8>> {
    if request.len() > MAX_ARGUMENT {
        return Err(Errno::NAMETOOLONG);
    }
    Ok(request.to_vec())
}

/// `N` texts, each ended by a zero byte.
fn names<const N: usize>(text: &[u8]) -> Result<[&OsStr; N]> {
    let mut parts = text.split(|byte| *byte == 0);
    let mut found = [OsStr::new(""); N];
    for name in &mut found {
        *name = OsStr::from_bytes(parts.next().ok_or(Errno::INVAL)?);
    }
    // The last one's zero byte leaves one more part behind.
    parts.next().ok_or(Errno::INVAL)?;
    Ok(found)
}

fn reply<T: IntoBytes + Immutable>(value: &T) -> Result<Reply> {
    Ok(Reply::Bytes(value.as_bytes().to_vec()))
}

fn opened(opened: Opened) -> Result<Reply> {
    reply(&OpenOut { fh: opened.fh, open_flags: opened.flags, backing_id: 0 })
}

/// An attribute's value, or its size when no room was given.
fn sized(value: Vec<u8>, room: u32) -> Result<Reply> {
    match room as usize {
        0 => reply(&GetxattrOut { size: value.len() as u32, padding: 0 }),
        room if room < value.len() => Err(Errno::RANGE),
        _ => Ok(Reply::Bytes(value)),
    }
}

#[cfg(test)]
mod tests;
