//! What the guest knows: one node per file that it has looked up and not forgotten.
//!
//! ```text
//!  Virtual   a directory that only leads to shared folders; made at start, never forgotten
//!  Dir       has an O_PATH descriptor: every name below is opened relative to it
//!  File      (also symlinks, sockets, …) has no descriptor: it is (directory, name), checked against its identity when
//!            it is used, so that a tree of any size costs few descriptors. An open handle stands in when the name is gone
//! ```
//!
//! A node's identity is device, inode number and birth time. Ids are never used twice.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rustix::io::Errno;

use crate::abi::ROOT_ID;

/// Most nodes at once; a guest that wants more is told ENFILE. Each costs some 300 bytes.
const MAX_NODES: usize = 2_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub dev: u64,
    pub ino: u64,
    pub born: (i64, u32),
}

pub enum Kind {
    Virtual { children: Vec<(OsString, Child)> },
    Dir { fd: OwnedFd },
    File,
}

/// What a virtual directory contains.
pub enum Child {
    Virtual(Arc<Node>),
    /// A shared folder, opened anew whenever it is looked up: it may vanish and come back.
    Folder(std::path::PathBuf),
}

/// Where a file was last seen.
#[derive(Clone)]
pub struct Place {
    pub dir: Arc<Node>,
    pub name: OsString,
}

pub struct Node {
    pub id: u64,
    pub key: Key,
    pub kind: Kind,
    /// Changes in this directory are heard of as they happen.
    pub watched: AtomicBool,
    lookups: AtomicU64,
    place: Mutex<Option<Place>>,
    open: Mutex<Vec<Weak<File>>>,
    /// Modification time and size that the guest was told last: its cached pages are of that version.
    told: Mutex<Option<(i64, u32, u64)>>,
}

impl Node {
    fn new(id: u64, key: Key, kind: Kind) -> Node {
        Node {
            id,
            key,
            kind,
            watched: AtomicBool::new(false),
            lookups: AtomicU64::new(0),
            place: Mutex::new(None),
            open: Mutex::new(Vec::new()),
            told: Mutex::new(None),
        }
    }

    pub fn virtual_dir(id: u64, children: Vec<(OsString, Child)>) -> Node {
        Node::new(id, Key { dev: 0, ino: id, born: (0, 0) }, Kind::Virtual { children })
    }

    /// The descriptor of a real directory.
    pub fn dir(&self) -> Result<&OwnedFd, Errno> {
        match &self.kind {
            Kind::Dir { fd } => Ok(fd),
            Kind::Virtual { .. } => Err(Errno::ACCESS),
            Kind::File => Err(Errno::NOTDIR),
        }
    }

    pub fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Relaxed)
    }

    pub fn place(&self) -> Option<Place> {
        lock(&self.place).clone()
    }

    pub fn move_to(&self, dir: &Arc<Node>, name: &OsStr) {
        *lock(&self.place) = Some(Place { dir: dir.clone(), name: name.to_owned() });
    }

    /// The name is gone; nothing changes if the node is known elsewhere by now.
    pub fn left(&self, dir: &Node, name: &OsStr) {
        let mut place = lock(&self.place);
        if place.as_ref().is_some_and(|place| place.dir.id == dir.id && place.name == name) {
            *place = None;
        }
    }

    pub fn opened(&self, file: &Arc<File>) {
        let mut open = lock(&self.open);
        open.retain(|other| other.strong_count() > 0);
        open.push(Arc::downgrade(file));
    }

    /// Some open handle of this file.
    pub fn handle(&self) -> Option<Arc<File>> {
        lock(&self.open).iter().find_map(Weak::upgrade)
    }

    pub fn tell(&self, version: (i64, u32, u64)) {
        *lock(&self.told) = Some(version);
    }

    pub fn was_told(&self, version: (i64, u32, u64)) -> bool {
        *lock(&self.told) == Some(version)
    }
}

#[derive(Default)]
pub struct Nodes {
    by_id: HashMap<u64, Arc<Node>>,
    by_key: HashMap<Key, u64>,
    next: u64,
}

impl Nodes {
    /// `permanent` are the virtual directories; ids of others come after theirs.
    pub fn new(permanent: Vec<Arc<Node>>) -> Nodes {
        let next = permanent.iter().map(|node| node.id).max().unwrap_or(ROOT_ID) + 1;
        Nodes { by_id: permanent.into_iter().map(|node| (node.id, node)).collect(), by_key: HashMap::new(), next }
    }

    pub fn get(&self, id: u64) -> Result<Arc<Node>, Errno> {
        self.by_id.get(&id).cloned().ok_or(Errno::STALE)
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// As [`Nodes::look_up`], if there is a node already.
    pub fn look_up_known(&mut self, key: &Key) -> Option<Arc<Node>> {
        let node = self.find(key)?;
        node.lookups.fetch_add(1, Ordering::Relaxed);
        Some(node)
    }

    /// The node of a file that the guest is about to hear of, counted as one lookup. `kind` makes what a new node needs.
    pub fn look_up(&mut self, key: Key, kind: impl FnOnce() -> Result<Kind, Errno>) -> Result<Arc<Node>, Errno> {
        if let Some(node) = self.look_up_known(&key) {
            return Ok(node);
        }
        if self.by_id.len() >= MAX_NODES {
            return Err(Errno::NFILE);
        }
        let node = Arc::new(Node::new(self.next, key, kind()?));
        node.lookups.store(1, Ordering::Relaxed);
        self.next += 1;
        self.by_id.insert(node.id, node.clone());
        self.by_key.insert(key, node.id);
        Ok(node)
    }

    /// A node without a file, for the replay of what happened to a file that is gone.
    pub fn look_up_gone(&mut self) -> Result<Arc<Node>, Errno> {
        let key = Key { dev: u64::MAX, ino: self.next, born: (0, 0) };
        self.look_up(key, || Ok(Kind::File))
    }

    pub fn find(&self, key: &Key) -> Option<Arc<Node>> {
        self.by_key.get(key).and_then(|id| self.by_id.get(id)).cloned()
    }

    /// The guest forgets `count` of its lookups; a liar only loses its own nodes. Returns the node if that was the last.
    pub fn forget(&mut self, id: u64, count: u64) -> Option<Arc<Node>> {
        let node = self.by_id.get(&id)?;
        if matches!(node.kind, Kind::Virtual { .. }) {
            return None;
        }
        let left = node.lookups.load(Ordering::Relaxed).saturating_sub(count);
        node.lookups.store(left, Ordering::Relaxed);
        if left > 0 {
            return None;
        }
        let node = self.by_id.remove(&id)?;
        self.by_key.remove(&node.key);
        Some(node)
    }

    /// A new guest knows nothing.
    pub fn forget_all(&mut self) {
        self.by_id.retain(|_, node| matches!(node.kind, Kind::Virtual { .. }));
        self.by_key.clear();
    }
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
