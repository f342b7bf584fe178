//! Changes on the host, by others than this process.
//!
//! fanotify, not inotify, for three reasons: an event tells whether this process caused it, so that what the guest does
//! itself never comes back to it; a rename is one event with both names; marks need no descriptor each. An ordinary
//! user may use it since Linux 5.13. Where it is missing, the guest believes nothing for long and hears no events.
//!
//! Source: fanotify(7), fanotify_init(2), fanotify_mark(2).

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustix::event::{EventfdFlags, PollFd, PollFlags, poll};

use crate::fs::lock;

const CONTENT: u64 = libc::FAN_CREATE
    | libc::FAN_DELETE
    | libc::FAN_MODIFY
    | libc::FAN_ATTRIB
    | libc::FAN_CLOSE_WRITE
    | libc::FAN_ONDIR
    | libc::FAN_EVENT_ON_CHILD;
/// One event with both names; Linux 5.17. Source: include/uapi/linux/fanotify.h.
const FAN_RENAME: u64 = 0x1000_0000;
const FAN_REPORT_DIR_FID: u32 = 0x400;
const FAN_REPORT_NAME: u32 = 0x800;
const INFO_DFID_NAME: u8 = 2;
const INFO_OLD_DFID_NAME: u8 = 10;
const INFO_NEW_DFID_NAME: u8 = 12;
const METADATA_BYTES: usize = 24;
/// Source: `MAX_HANDLE_SZ`, include/linux/exportfs.h.
const MAX_HANDLE_BYTES: usize = 128;

/// A name in a directory that the guest knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name {
    /// The directory's node.
    pub dir: u64,
    pub name: OsString,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// `mask` has fanotify's bits; several changes may have become one.
    Changed {
        name: Name,
        mask: u64,
    },
    Moved {
        from: Name,
        to: Name,
    },
}

/// What a reader gets: a change, or `None` when changes were lost.
pub type Sink = Box<dyn Fn(Option<Seen>) + Send>;

/// The kernel's name of a directory: handle type and bytes.
type Handle = Vec<u8>;

pub struct Watch {
    group: OwnedFd,
    stop: OwnedFd,
    mask: u64,
    marked: Mutex<HashMap<Handle, u64>>,
}

/// Reads events until dropped.
pub struct Reader {
    watch: Arc<Watch>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    pub fn new() -> io::Result<Arc<Watch>> {
        let flags =
            libc::FAN_CLASS_NOTIF | libc::FAN_CLOEXEC | libc::FAN_NONBLOCK | FAN_REPORT_DIR_FID | FAN_REPORT_NAME;
        // SAFETY: the call takes two integers; a result that is not -1 is a new descriptor, owned by nobody yet.
        let group = unsafe {
            let raw = libc::fanotify_init(flags, 0);
            if raw < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(raw)
        };
        let stop = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let mask = CONTENT | if knows_rename(&group) { FAN_RENAME } else { libc::FAN_MOVED_FROM | libc::FAN_MOVED_TO };
        Ok(Arc::new(Watch { group, stop, mask, marked: Mutex::default() }))
    }

    /// Hears of changes in the directory from now on, as `node`. `false`: the filesystem or a limit forbids it.
    pub fn add(&self, dir: &OwnedFd, node: u64) -> bool {
        let Some(handle) = handle_of(dir) else { return false };
        // Why first: an event may come before this returns.
        lock(&self.marked).insert(handle.clone(), node);
        if let Err(err) = mark(&self.group, libc::FAN_MARK_ADD, self.mask, dir) {
            tracing::debug!(%err, "a shared directory cannot be watched");
            lock(&self.marked).remove(&handle);
            return false;
        }
        true
    }

    pub fn remove(&self, dir: &OwnedFd) {
        let _ = mark(&self.group, libc::FAN_MARK_REMOVE, self.mask, dir);
        if let Some(handle) = handle_of(dir) {
            lock(&self.marked).remove(&handle);
        }
    }

    /// Hears of nothing any more.
    pub fn clear(&self) {
        // SAFETY: the descriptor is a fanotify group; FLUSH takes no mask and no path.
        unsafe {
            libc::fanotify_mark(self.group.as_raw_fd(), libc::FAN_MARK_FLUSH, 0, libc::AT_FDCWD, std::ptr::null());
        }
        lock(&self.marked).clear();
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        lock(&self.marked).len()
    }

    /// Gives every event to `sink`, on a thread of its own, until the reader is dropped.
    pub fn read(self: &Arc<Self>, sink: Sink) -> io::Result<Reader> {
        let watch = self.clone();
        let thread = std::thread::Builder::new().name("share-watch".into()).spawn(move || watch.run(&sink))?;
        Ok(Reader { watch: self.clone(), thread: Some(thread) })
    }

    fn run(&self, sink: &Sink) {
        let us = std::process::id().cast_signed();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let mut fds = [
                PollFd::from_borrowed_fd(self.stop.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(self.group.as_fd(), PollFlags::IN),
            ];
            match poll(&mut fds, None) {
                Ok(_) if !fds[0].revents().is_empty() => return,
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(err) => {
                    tracing::error!(%err, "shared folders are watched no more");
                    return;
                }
            }
            while let Ok(len) = rustix::io::read(&self.group, &mut buffer)
                && len > 0
            {
                self.report(&buffer[..len], us, sink);
            }
        }
    }

    fn report(&self, mut events: &[u8], us: i32, sink: &Sink) {
        while let Some(event) = next_event(&mut events) {
            if event.mask & libc::FAN_Q_OVERFLOW != 0 {
                sink(None);
            } else if event.pid != us
                && let Some(seen) = self.understand(&event)
            {
                sink(Some(seen));
            }
        }
    }

    fn understand(&self, event: &Event<'_>) -> Option<Seen> {
        let (mut here, mut old, mut new) = (None, None, None);
        let mut records = event.records;
        while let Some((kind, handle, name)) = next_record(&mut records) {
            let dir = lock(&self.marked).get(handle).copied();
            let name = dir.map(|dir| Name { dir, name: name.to_owned() });
            match kind {
                INFO_DFID_NAME => here = name,
                INFO_OLD_DFID_NAME => old = name,
                INFO_NEW_DFID_NAME => new = name,
                _ => {}
            }
        }
        let on_dir = event.mask & libc::FAN_ONDIR;
        match (here, old, new) {
            (Some(name), ..) if name.name == "." => None,
            (Some(name), ..) => Some(Seen::Changed { name, mask: event.mask }),
            (None, Some(from), Some(to)) => Some(Seen::Moved { from, to }),
            // Out of the guest's sight, or into it.
            (None, Some(name), None) => Some(Seen::Changed { name, mask: libc::FAN_DELETE | on_dir }),
            (None, None, Some(name)) => Some(Seen::Changed { name, mask: libc::FAN_CREATE | on_dir }),
            (None, None, None) => None,
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = rustix::io::write(&self.watch.stop, &1u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = rustix::io::read(&self.watch.stop, &mut [0u8; 8]);
    }
}

struct Event<'a> {
    mask: u64,
    pid: i32,
    records: &'a [u8],
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

/// `struct fanotify_event_metadata` and its records.
fn next_event<'a>(events: &mut &'a [u8]) -> Option<Event<'a>> {
    let len = u32::from_ne_bytes(number(events, 0)?) as usize;
    let event = events.get(..len).filter(|event| event.len() >= METADATA_BYTES)?;
    *events = &events[len..];
    let mask = u64::from_ne_bytes(number(event, 8)?);
    let pid = i32::from_ne_bytes(number(event, 20)?);
    Some(Event { mask, pid, records: &event[METADATA_BYTES..] })
}

/// `struct fanotify_event_info_fid`: kind, the directory's handle, and the name.
fn next_record<'a>(records: &mut &'a [u8]) -> Option<(u8, &'a [u8], &'a OsStr)> {
    let kind = *records.first()?;
    let len = u16::from_ne_bytes(number(records, 2)?) as usize;
    let record = records.get(..len).filter(|record| record.len() >= 20)?;
    *records = &records[len..];
    // header 4, fsid 8, then `struct file_handle`: bytes, type, the handle itself
    let bytes = u32::from_ne_bytes(number(record, 12)?) as usize;
    let handle = record.get(16..20 + bytes)?;
    let name = &record[20 + bytes..];
    let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
    Some((kind, handle, OsStr::from_bytes(&name[..end])))
}

fn mark(group: &OwnedFd, how: u32, mask: u64, dir: &OwnedFd) -> io::Result<()> {
    let path = std::ffi::CString::new(format!("/proc/self/fd/{}", dir.as_raw_fd()))?;
    // SAFETY: `group` is an open fanotify group and `path` ends with a zero byte and outlives the call.
    let done = unsafe { libc::fanotify_mark(group.as_raw_fd(), how, mask, libc::AT_FDCWD, path.as_ptr()) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Whether this kernel has FAN_RENAME: tried on a directory that everybody has.
fn knows_rename(group: &OwnedFd) -> bool {
    let Ok(root) = File::open("/") else { return false };
    let root = OwnedFd::from(root);
    let known = mark(group, libc::FAN_MARK_ADD, FAN_RENAME, &root).is_ok();
    let _ = mark(group, libc::FAN_MARK_REMOVE, FAN_RENAME, &root);
    known
}

/// Source: name_to_handle_at(2).
#[repr(C)]
struct FileHandle {
    bytes: u32,
    kind: i32,
    handle: [u8; MAX_HANDLE_BYTES],
}

fn handle_of(dir: &OwnedFd) -> Option<Handle> {
    let mut handle = FileHandle { bytes: MAX_HANDLE_BYTES as u32, kind: 0, handle: [0; MAX_HANDLE_BYTES] };
    let mut mount = 0i32;
    // SAFETY: the descriptor is open, the path an empty C string, and both results are written to our own memory: the
    // structure has the kernel's layout and says how much room is behind its head.
    let done = unsafe {
        libc::syscall(
            libc::SYS_name_to_handle_at,
            dir.as_raw_fd(),
            c"".as_ptr(),
            &raw mut handle,
            &raw mut mount,
            libc::AT_EMPTY_PATH,
        )
    };
    if done < 0 {
        return None;
    }
    let mut key = handle.kind.to_ne_bytes().to_vec();
    key.extend_from_slice(handle.handle.get(..handle.bytes as usize)?);
    Some(key)
}

#[cfg(test)]
mod tests;
