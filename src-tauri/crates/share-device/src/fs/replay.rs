//! The guest's agent repeats what happened on the host, so that the guest's kernel raises the true event.
//!
//! ```text
//!  host: mv a b ──fanotify──▶ Happened ──script──▶ a is there, b is not ──▶ agent: rename(a, b) ──FUSE──▶ "done"
//! ```
//!
//! Whatever the agent's thread does, known by its number in the guest, succeeds without touching the host: also late, when
//! the host has given up on it, or a delayed deletion would delete what is there by then. While a change is being
//! replayed the agent sees the names as they were before; its other lookups and everybody else's see the truth. A guest that lies about the number fools only itself: nothing on the host is changed.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::nodes::{Node, lock};
use super::{Caller, Entry, Fs, fd_path, is_dir, key, stat_at};
use crate::happened::{Created, Happened};
use crate::watch::{Name, Seen};

/// One change and the names that the agent must see as they were.
#[derive(Clone)]
pub struct Step {
    pub happened: Happened,
    before: Vec<(Name, Before)>,
}

impl Step {
    /// Whether both touch the same name, so that one must be over before the other begins.
    pub fn conflicts(&self, other: &Step) -> bool {
        self.before.iter().any(|(name, _)| other.before.iter().any(|(theirs, _)| name == theirs))
    }
}

#[derive(Clone)]
enum Before {
    Absent,
    Present { node: Option<Arc<Node>>, directory: bool },
}

#[derive(Default)]
pub struct Replay {
    agent: Option<u32>,
    /// The last one that went, and when: what it began may still arrive.
    retired: Option<(u32, Instant)>,
    script: Vec<(Name, Before)>,
}

/// How long an agent that is gone is still not believed to be anybody else. Its number may become another thread's.
const RETIREMENT: Duration = Duration::from_secs(120);

impl Replay {
    pub fn is_on(&self) -> bool {
        self.agent.is_some()
    }
}

impl Fs {
    /// The agent's thread number in the guest; `None` when there is no agent (any more).
    pub fn set_agent(&self, agent: Option<u32>) {
        let mut replay = lock(&self.replay);
        let gone = replay.agent.filter(|gone| agent != Some(*gone)).map(|gone| (gone, Instant::now()));
        *replay = Replay { agent, retired: gone.or(replay.retired), script: Vec::new() };
    }

    /// What the agent shall do about something seen, in order.
    pub fn steps(&self, seen: &Seen) -> Vec<Step> {
        match seen {
            Seen::Moved { from, to } => self.moved(from, to).into_iter().collect(),
            Seen::Changed { name, mask } => self.changed(name, *mask),
        }
    }

    /// From now on the agent sees the world before these steps; an empty list ends it.
    pub fn script(&self, steps: &[Step]) {
        lock(&self.replay).script = steps.iter().flat_map(|step| step.before.iter().cloned()).collect();
    }

    pub(super) fn is_replayer(&self, caller: Caller) -> bool {
        let replay = lock(&self.replay);
        let retired = replay.retired.is_some_and(|(gone, since)| gone == caller.pid && since.elapsed() < RETIREMENT);
        replay.agent == Some(caller.pid) || retired
    }

    pub(super) fn scripted_look_up(
        &self,
        caller: Caller,
        dir: &Arc<Node>,
        name: &OsStr,
    ) -> Option<super::Result<Entry>> {
        let before = {
            let replay = lock(&self.replay);
            if replay.agent != Some(caller.pid) {
                return None;
            }
            replay.script.iter().find(|(scripted, _)| scripted.dir == dir.id && scripted.name == name)?.1.clone()
        };
        match before {
            Before::Absent => Some(Err(rustix::io::Errno::NOENT)),
            // Where nothing is to be hidden the truth is as good.
            Before::Present { node: None, .. } if self.exists(dir, name) => None,
            Before::Present { node, directory } => Some(self.remembered(node, directory)),
        }
    }

    fn exists(&self, dir: &Arc<Node>, name: &OsStr) -> bool {
        dir.dir().is_ok_and(|fd| stat_at(fd, name).is_ok())
    }

    /// An entry for something that is not where it was.
    fn remembered(&self, node: Option<Arc<Node>>, directory: bool) -> super::Result<Entry> {
        let mut nodes = lock(&self.nodes);
        let node = match node.filter(|node| nodes.find(&node.key).is_some()) {
            Some(node) => nodes.look_up(node.key, || Err(rustix::io::Errno::STALE))?,
            None => nodes.look_up_gone()?,
        };
        drop(nodes);
        let attr = match self.stat(&node) {
            Ok(stat) => self.attr(&node, &stat),
            Err(_) => super::attr::gone_attr(node.id, directory),
        };
        Ok(Entry { node, attr, valid: Duration::ZERO })
    }

    fn moved(&self, from: &Name, to: &Name) -> Option<Step> {
        let paths = self.path(from).zip(self.path(to));
        let dir = self.node(to.dir).ok()?;
        let stat = stat_at(dir.dir().ok()?, &to.name).ok();
        let node = stat.as_ref().and_then(|stat| lock(&self.nodes).find(&key(stat)));
        if let Some(node) = &node {
            node.move_to(&dir, &to.name);
        }
        let (from_path, to_path) = paths?;
        let directory = stat.as_ref().is_some_and(is_dir);
        let before = vec![(from.clone(), Before::Present { node, directory }), (to.clone(), Before::Absent)];
        Some(Step { happened: Happened::Moved { from: from_path, to: to_path }, before })
    }

    fn changed(&self, name: &Name, mask: u64) -> Vec<Step> {
        let Some(path) = self.path(name) else { return Vec::new() };
        let has = |bits: u64| mask & bits != 0;
        let on_dir = has(libc::FAN_ONDIR);
        let now = self.node(name.dir).ok().and_then(|dir| stat_at(dir.dir().ok()?, &name.name).ok());
        let step = |happened, before| Step { happened, before: vec![(name.clone(), before)] };
        let present = || Before::Present { node: None, directory: on_dir };
        let created = now.filter(|_| has(libc::FAN_CREATE | libc::FAN_MOVED_TO)).map(|stat| {
            let what = match u32::from(stat.stx_mode) & libc::S_IFMT {
                libc::S_IFDIR => Created::Directory,
                libc::S_IFLNK => Created::Symlink,
                _ => Created::File,
            };
            step(Happened::Created { path: path.clone(), what }, Before::Absent)
        });
        let removed = has(libc::FAN_DELETE | libc::FAN_MOVED_FROM)
            .then(|| step(Happened::Removed { path: path.clone(), directory: on_dir }, present()));
        // Merged by the kernel, their order is lost; what is there now came last.
        let mut steps: Vec<Step> = match now {
            Some(_) => removed.into_iter().chain(created).collect(),
            None => return removed.into_iter().collect(),
        };
        if has(libc::FAN_MODIFY) {
            steps.push(step(Happened::Modified { path: path.clone() }, present()));
        }
        if has(libc::FAN_ATTRIB) {
            steps.push(step(Happened::Attributes { path: path.clone() }, present()));
        }
        if has(libc::FAN_CLOSE_WRITE) {
            steps.push(step(Happened::Written { path }, present()));
        }
        steps
    }

    /// Where a name is on the host now; `None` if its directory is gone or unknown by now.
    fn path(&self, name: &Name) -> Option<PathBuf> {
        let node = self.node(name.dir).ok()?;
        let link = fd_path(std::os::fd::AsRawFd::as_raw_fd(node.dir().ok()?));
        let dir = rustix::fs::readlink(link, Vec::new()).ok()?.into_bytes();
        let dir = PathBuf::from(OsString::from_vec(dir));
        let inside = self.folders.iter().any(|folder| dir.starts_with(folder));
        (inside && node.dir().is_ok_and(is_linked)).then(|| dir.join(&name.name))
    }
}

fn is_linked(fd: &std::os::fd::OwnedFd) -> bool {
    super::stat_fd(fd).is_ok_and(|stat| stat.stx_nlink > 0)
}
