//! Making, removing and moving names.

use std::ffi::OsStr;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::nodes::{Node, Place, lock};
use super::{Caller, Entry, Fs, Result, check_name, key, stat_at};

impl Fs {
    /// The directory and the checked name of an operation that changes something.
    fn target(&self, dir: u64, name: &OsStr) -> Result<Arc<Node>> {
        check_name(name)?;
        let dir = self.node(dir)?;
        dir.dir()?;
        Ok(dir)
    }

    fn made(&self, caller: Caller, dir: &Arc<Node>, name: &OsStr) -> Result<Entry> {
        let entry = self.enter(dir, name)?;
        if (caller.uid, caller.gid) == (0, 0) {
            return Ok(entry);
        }
        self.own(caller, &entry.node);
        self.entry(dir, &entry.node, None)
    }

    /// Files, pipes and sockets. Devices are nothing that a guest may make on a host.
    pub fn make_node(&self, caller: Caller, dir: u64, name: &OsStr, mode: u32) -> Result<Entry> {
        let dir = self.target(dir, name)?;
        if self.is_replayer(caller) {
            return self.enter(&dir, name);
        }
        let permissions = Mode::from_raw_mode(mode & 0o1777);
        match mode & libc::S_IFMT {
            0 | libc::S_IFREG => {
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                rustix::fs::openat(dir.dir()?, name, flags, permissions)?;
            }
            libc::S_IFIFO => rustix::fs::mknodat(dir.dir()?, name, FileType::Fifo, permissions, 0)?,
            libc::S_IFSOCK => rustix::fs::mknodat(dir.dir()?, name, FileType::Socket, permissions, 0)?,
            _ => return Err(Errno::PERM),
        }
        self.made(caller, &dir, name)
    }

    pub fn make_dir(&self, caller: Caller, dir: u64, name: &OsStr, mode: u32) -> Result<Entry> {
        let dir = self.target(dir, name)?;
        if self.is_replayer(caller) {
            return self.enter(&dir, name);
        }
        rustix::fs::mkdirat(dir.dir()?, name, Mode::from_raw_mode(mode & 0o1777))?;
        self.made(caller, &dir, name)
    }

    pub fn make_symlink(&self, caller: Caller, dir: u64, name: &OsStr, target: &OsStr) -> Result<Entry> {
        let dir = self.target(dir, name)?;
        if self.is_replayer(caller) {
            return self.enter(&dir, name);
        }
        rustix::fs::symlinkat(target, dir.dir()?, name)?;
        self.enter(&dir, name)
    }

    /// Another name for a file.
    pub fn link(&self, node: u64, dir: u64, name: &OsStr) -> Result<Entry> {
        let dir = self.target(dir, name)?;
        let node = self.node(node)?;
        let Place { dir: from, name: old } = node.place().ok_or(Errno::STALE)?;
        if key(&stat_at(from.dir()?, &old)?) != node.key {
            return Err(Errno::STALE);
        }
        rustix::fs::linkat(from.dir()?, &old, dir.dir()?, name, AtFlags::empty())?;
        self.enter(&dir, name)
    }

    pub fn read_link(&self, id: u64) -> Result<Vec<u8>> {
        let node = self.node(id)?;
        let Place { dir, name } = node.place().ok_or(Errno::STALE)?;
        Ok(rustix::fs::readlinkat(dir.dir()?, &name, Vec::new())?.into_bytes())
    }

    /// Removes a file, or with `directory` an empty directory.
    pub fn remove(&self, caller: Caller, dir: u64, name: &OsStr, directory: bool) -> Result<()> {
        let dir = self.target(dir, name)?;
        if self.is_replayer(caller) {
            return Ok(());
        }
        let node = self.known(&dir, name);
        let flags = if directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        rustix::fs::unlinkat(dir.dir()?, name, flags)?;
        if let Some(node) = node {
            node.left(&dir, name);
        }
        Ok(())
    }

    pub fn rename(&self, caller: Caller, from: (u64, &OsStr), to: (u64, &OsStr), flags: u32) -> Result<()> {
        let (old_dir, new_dir) = (self.target(from.0, from.1)?, self.target(to.0, to.1)?);
        let (old, new) = (from.1, to.1);
        if self.is_replayer(caller) {
            return Ok(());
        }
        let flags = RenameFlags::from_bits(flags).ok_or(Errno::INVAL)?;
        if flags.contains(RenameFlags::WHITEOUT) {
            return Err(Errno::PERM);
        }
        let (moved, replaced) = (self.known(&old_dir, old), self.known(&new_dir, new));
        match flags.is_empty() {
            true => rustix::fs::renameat(old_dir.dir()?, old, new_dir.dir()?, new)?,
            false => rustix::fs::renameat_with(old_dir.dir()?, old, new_dir.dir()?, new, flags)?,
        }
        if let Some(replaced) = replaced {
            match flags.contains(RenameFlags::EXCHANGE) {
                true => replaced.move_to(&old_dir, old),
                false => replaced.left(&new_dir, new),
            }
        }
        if let Some(moved) = moved {
            moved.move_to(&new_dir, new);
        }
        Ok(())
    }

    /// The node that the guest has for a name, if it has one.
    fn known(&self, dir: &Arc<Node>, name: &OsStr) -> Option<Arc<Node>> {
        let stat = stat_at(dir.dir().ok()?, name).ok()?;
        lock(&self.nodes).find(&key(&stat))
    }
}
