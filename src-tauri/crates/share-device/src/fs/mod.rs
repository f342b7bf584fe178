//! The shared folders as a filesystem: every operation of the guest, confined to them.
//!
//! Invariants:
//! - A name from the guest is one component, and it is opened relative to a descriptor of a directory in a shared folder,
//!   never following a symlink: the guest resolves symlinks itself, within what it sees. There is no way out.
//! - The guest is served with the rights of this process; nothing here raises them. Device nodes, set-id bits and
//!   attributes outside `user.` are not for the guest to make.
//! - Whatever the guest says about ids, offsets and sizes is checked; counts are bounded.

mod attr;
mod dirs;
mod files;
mod names;
mod nodes;
mod replay;
mod xattr;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::fs::{AtFlags, Mode, OFlags, Statx, StatxFlags};
use rustix::io::Errno;

use crate::abi::ROOT_ID;
use crate::folders::{Branch, Folders, Tree};
use crate::watch::Watch;

pub use attr::Entry;
pub use dirs::Listing;
pub use files::Opened;
use nodes::{Child, Key, Kind, Nodes, Place};
pub use nodes::{Node, lock};
pub use replay::Step;

pub type Result<T> = std::result::Result<T, Errno>;

/// How long the guest may believe what it was told about something whose changes it will hear of.
pub const WATCHED_VALID: Duration = Duration::from_secs(60);
/// The same where nobody tells it.
pub const UNWATCHED_VALID: Duration = Duration::from_millis(200);
/// Open files and directories of one guest. The descriptors' limit of the process usually comes first.
const MAX_HANDLES: usize = 100_000;
const NAME_MAX: usize = 255;

/// Who asks, as the guest's kernel tells.
#[derive(Clone, Copy, Debug, Default)]
pub struct Caller {
    pub uid: u32,
    pub gid: u32,
    pub pid: u32,
}

pub struct Fs {
    nodes: Mutex<Nodes>,
    handles: Mutex<HashMap<u64, files::Handle>>,
    next_handle: AtomicU64,
    /// The user this process runs as: owner of what the guest may call its own.
    user: u32,
    folders: Folders,
    watch: Option<Arc<Watch>>,
    replay: Mutex<replay::Replay>,
}

impl Fs {
    /// `watch`: tells of changes on the host; without it the guest believes nothing for long.
    pub fn new(folders: Folders, watch: Option<Arc<Watch>>) -> Fs {
        let mut permanent = Vec::new();
        let mut next = ROOT_ID;
        virtual_tree(Tree::of(&folders), &mut next, &mut permanent);
        Fs {
            nodes: Mutex::new(Nodes::new(permanent)),
            handles: Mutex::new(HashMap::new()),
            next_handle: AtomicU64::new(1),
            user: rustix::process::geteuid().as_raw(),
            folders,
            watch,
            replay: Mutex::default(),
        }
    }

    /// A new guest, or none: everything that the last one held is let go.
    pub fn reset(&self) {
        lock(&self.handles).clear();
        lock(&self.nodes).forget_all();
        if let Some(watch) = &self.watch {
            watch.clear();
        }
    }

    pub fn forget(&self, id: u64, count: u64) {
        let gone = lock(&self.nodes).forget(id, count);
        if let (Some(node), Some(watch)) = (gone, &self.watch)
            && let Kind::Dir { fd } = &node.kind
            && node.is_watched()
        {
            watch.remove(fd);
        }
    }

    /// Nodes and handles held now.
    #[cfg(test)]
    pub fn held(&self) -> (usize, usize) {
        (lock(&self.nodes).len(), lock(&self.handles).len())
    }

    fn node(&self, id: u64) -> Result<Arc<Node>> {
        lock(&self.nodes).get(id)
    }

    /// Finds `name` in `dir` and counts the lookup.
    pub fn look_up(&self, caller: Caller, dir: u64, name: &OsStr) -> Result<Entry> {
        let dir = self.node(dir)?;
        check_name(name)?;
        if let Some(scripted) = self.scripted_look_up(caller, &dir, name) {
            return scripted;
        }
        self.enter(&dir, name)
    }

    /// The answer for a name that is not there: worth remembering where a change will be heard of.
    pub fn absent_valid(&self, caller: Caller, dir: u64) -> Option<Duration> {
        let dir = self.node(dir).ok()?;
        (self.is_heard(&dir) && !self.is_replayer(caller)).then_some(WATCHED_VALID)
    }

    fn enter(&self, dir: &Arc<Node>, name: &OsStr) -> Result<Entry> {
        let node = match &dir.kind {
            Kind::Virtual { children } => self.enter_virtual(children, name)?,
            Kind::File => return Err(Errno::NOTDIR),
            Kind::Dir { fd } => self.enter_real(fd, name)?,
        };
        let (node, found) = node;
        if !matches!(node.kind, Kind::Virtual { .. }) {
            node.move_to(dir, name);
            self.listen(dir, &node);
        }
        // A directory that is heard of only from now on may have changed since it was looked at.
        let found = found.filter(|_| !node.is_watched());
        self.entry(dir, &node, found)
    }

    fn enter_virtual(
        &self,
        children: &[(std::ffi::OsString, Child)],
        name: &OsStr,
    ) -> Result<(Arc<Node>, Option<Statx>)> {
        let child = children.iter().find(|(known, _)| known == name).map(|(_, child)| child).ok_or(Errno::NOENT)?;
        match child {
            Child::Virtual(node) => Ok((node.clone(), None)),
            Child::Folder(path) => {
                let fd = rustix::fs::open(path, PATH_ONLY | OFlags::DIRECTORY, Mode::empty())?;
                let stat = stat_fd(&fd)?;
                let node = lock(&self.nodes).look_up(key(&stat), || Ok(Kind::Dir { fd }))?;
                Ok((node, Some(stat)))
            }
        }
    }

    fn enter_real(&self, dir: &OwnedFd, name: &OsStr) -> Result<(Arc<Node>, Option<Statx>)> {
        let stat = stat_at(dir, name)?;
        if !is_dir(&stat) {
            return Ok((lock(&self.nodes).look_up(key(&stat), || Ok(Kind::File))?, Some(stat)));
        }
        if let Some(node) = lock(&self.nodes).look_up_known(&key(&stat)) {
            return Ok((node, Some(stat)));
        }
        let fd = rustix::fs::openat(dir, name, PATH_ONLY | OFlags::DIRECTORY, Mode::empty())?;
        let stat = stat_fd(&fd)?;
        Ok((lock(&self.nodes).look_up(key(&stat), || Ok(Kind::Dir { fd }))?, Some(stat)))
    }

    /// From now on changes in `node` are heard of, if it is a directory below one that the guest uses.
    fn listen(&self, _above: &Node, node: &Arc<Node>) {
        let (Some(watch), Kind::Dir { fd }) = (&self.watch, &node.kind) else { return };
        if !node.is_watched() && watch.add(fd, node.id) {
            node.watched.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the guest hears of changes in this directory.
    fn is_heard(&self, dir: &Node) -> bool {
        dir.is_watched() && lock(&self.replay).is_on()
    }

    fn stat(&self, node: &Node) -> Result<Statx> {
        match &node.kind {
            Kind::Virtual { .. } => Err(Errno::ROFS),
            Kind::Dir { fd } => stat_fd(fd),
            Kind::File => {
                if let Some(Place { dir, name }) = node.place()
                    && let Ok(stat) = stat_at(dir.dir()?, &name)
                    && key(&stat) == node.key
                {
                    return Ok(stat);
                }
                stat_fd(&*node.handle().ok_or(Errno::STALE)?)
            }
        }
    }

    /// A descriptor of the node itself, good for `/proc/self/fd`.
    fn pin(&self, node: &Arc<Node>) -> Result<Pinned> {
        match &node.kind {
            Kind::Virtual { .. } => return Err(Errno::ROFS),
            Kind::Dir { .. } => return Ok(Pinned::Dir(node.clone())),
            Kind::File => {}
        }
        if let Some(Place { dir, name }) = node.place()
            && let Ok(fd) = rustix::fs::openat(dir.dir()?, &name, PATH_ONLY, Mode::empty())
            && key(&stat_fd(&fd)?) == node.key
        {
            return Ok(Pinned::Fd(fd));
        }
        node.handle().map(Pinned::File).ok_or(Errno::STALE)
    }
}

/// `O_PATH`, the last component not followed.
const PATH_ONLY: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Something to call by descriptor.
enum Pinned {
    Dir(Arc<Node>),
    Fd(OwnedFd),
    File(Arc<std::fs::File>),
}

impl Pinned {
    fn path(&self) -> String {
        let raw = match self {
            Pinned::Dir(node) => node.dir().map_or(-1, AsRawFd::as_raw_fd),
            Pinned::Fd(fd) => fd.as_raw_fd(),
            Pinned::File(file) => file.as_raw_fd(),
        };
        fd_path(raw)
    }
}

fn fd_path(raw: i32) -> String {
    format!("/proc/self/fd/{raw}")
}

fn virtual_tree(tree: Tree, next: &mut u64, all: &mut Vec<Arc<Node>>) -> Arc<Node> {
    let id = *next;
    *next += 1;
    let children = tree.below.into_iter().map(|(name, branch)| match branch {
        Branch::Further(tree) => (name, Child::Virtual(virtual_tree(tree, next, all))),
        Branch::Folder(path) => (name, Child::Folder(path)),
    });
    let node = Arc::new(Node::virtual_dir(id, children.collect()));
    all.push(node.clone());
    node
}

/// One component that means exactly what it says.
fn check_name(name: &OsStr) -> Result<()> {
    let bytes = name.as_bytes();
    if bytes.len() > NAME_MAX {
        return Err(Errno::NAMETOOLONG);
    }
    if bytes.is_empty() || bytes == b"." || bytes == b".." || bytes.contains(&b'/') || bytes.contains(&0) {
        return Err(Errno::INVAL);
    }
    Ok(())
}

const WANTED: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::BTIME);

fn stat_at(dir: &OwnedFd, name: &OsStr) -> Result<Statx> {
    rustix::fs::statx(dir, name, AtFlags::SYMLINK_NOFOLLOW, WANTED)
}

fn stat_fd(fd: impl std::os::fd::AsFd) -> Result<Statx> {
    let fd: BorrowedFd<'_> = fd.as_fd();
    rustix::fs::statx(fd, "", AtFlags::EMPTY_PATH, WANTED)
}

fn key(stat: &Statx) -> Key {
    let born = match stat.stx_mask & StatxFlags::BTIME.bits() {
        0 => (0, 0),
        _ => (stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec),
    };
    Key { dev: rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor), ino: stat.stx_ino, born }
}

fn is_dir(stat: &Statx) -> bool {
    u32::from(stat.stx_mode) & libc::S_IFMT == libc::S_IFDIR
}

fn is_regular(stat: &Statx) -> bool {
    u32::from(stat.stx_mode) & libc::S_IFMT == libc::S_IFREG
}

#[cfg(test)]
mod tests;
