//! What of all that was told is news for the guest.
//!
//! A path waits until it has been quiet for [`QUIET`] (at most [`PATIENCE`]): an editor's five steps are one change, and setting the time
//! that is there must not meet a writer who is about to change it. Then it is looked at, and told if it is not what was told last.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::Told;
use crate::happened::Happened;

pub const QUIET: Duration = Duration::from_millis(50);
pub const PATIENCE: Duration = Duration::from_secs(1);
/// Paths that may wait; more are lost together.
const MOST_WAITING: usize = 8192;
/// When so many changes come that some are lost (an installation in a container), nothing is told until nothing has come for this long…
const LULL: Duration = Duration::from_secs(2);
/// …or the storm is this old. Then what changed since its beginning is looked for…
const STORM: Duration = Duration::from_secs(10);
/// …among so many files…
const MOST_LOOKED_AT: usize = 50_000;
/// …and told if it is no more than this: what somebody edits or checks out, not what an installer unpacks.
const MOST_FOUND: usize = 1024;
/// Filesystems' clocks are not ours.
const SLACK: Duration = Duration::from_secs(2);
/// Paths whose last look is remembered. More are forgotten together, which costs one repetition each.
const MOST_KNOWN: usize = 65_536;

/// What one sees of a path without opening it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Looks {
    kind: Kind,
    modified: Option<SystemTime>,
    /// Of a file; directories' sizes say nothing.
    len: u64,
    /// Which file it is, where the system tells: one that replaced another may have its size and time.
    identity: u64,
    mode: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    File,
    Directory,
    Other,
}

struct Waiting {
    entry: bool,
    first: Instant,
    last: Instant,
}

/// Collects what is told, and says what the agent shall repeat.
pub struct News {
    /// What containers use; nothing else is looked at, let alone touched.
    used: Vec<PathBuf>,
    /// Whether opening a file for writing is no matter to programs of the host.
    closes: bool,
    waiting: BTreeMap<PathBuf, Waiting>,
    known: HashMap<PathBuf, Looks>,
    storm: Option<Storm>,
    /// Since when changes are to be looked for.
    missed: Option<SystemTime>,
}

/// Changes were lost.
struct Storm {
    began: Instant,
    since: SystemTime,
    last: Instant,
}

impl News {
    /// `closes`: [`Happened::Written`] may be repeated. Windows refuses others a file that is open for writing if they ask for it.
    pub fn new(closes: bool) -> News {
        News { used: Vec::new(), closes, waiting: BTreeMap::new(), known: HashMap::new(), storm: None, missed: None }
    }

    /// From now on these paths (and what is below them) are of interest.
    pub fn set_used(&mut self, used: Vec<PathBuf>) {
        self.used = used;
        let used = &self.used;
        self.waiting.retain(|path, _| is_used(used, path));
        self.known.retain(|path, _| is_used(used, path));
    }

    pub fn note(&mut self, told: Told, now: Instant) {
        let (path, entry) = match told {
            Told::Lost => return self.lose(now),
            Told::Changed(path) => (path, false),
            Told::Entry(path) => (path, true),
        };
        if !is_used(&self.used, &path) {
            return;
        }
        if self.storm.is_some() || (self.waiting.len() >= MOST_WAITING && !self.waiting.contains_key(&path)) {
            return self.lose(now);
        }
        let waiting = self.waiting.entry(path).or_insert(Waiting { entry: false, first: now, last: now });
        waiting.entry |= entry;
        waiting.last = now;
    }

    pub fn is_waiting(&self) -> bool {
        self.storm.is_some() || self.missed.is_some() || !self.waiting.is_empty()
    }

    /// Whether changes were lost, and that is over: the guest shall believe nothing that it remembers. True once.
    pub fn take_lost(&mut self, now: Instant) -> bool {
        let over = |storm: &mut Storm| now - storm.last >= LULL || now - storm.began >= STORM;
        let storm = self.storm.take_if(over);
        self.missed = storm.as_ref().map(|storm| storm.since).or(self.missed);
        storm.is_some()
    }

    /// What has become quiet and is news, directories before what is in them. Blocking: it looks at files.
    pub fn take(&mut self, now: Instant) -> Vec<Happened> {
        if let Some(since) = self.missed.take() {
            for path in changed_since(&self.used, since) {
                self.note(Told::Changed(path), now);
            }
        }
        let quiet = |waiting: &Waiting| now - waiting.last >= QUIET || now - waiting.first >= PATIENCE;
        let due: Vec<PathBuf> =
            self.waiting.iter().filter(|(_, waiting)| quiet(waiting)).map(|(path, _)| path.clone()).collect();
        let mut look_at: BTreeMap<PathBuf, ()> = BTreeMap::new();
        for path in due {
            if self.waiting.remove(&path).is_some_and(|waiting| waiting.entry)
                && let Some(above) = path.parent().filter(|above| is_used(&self.used, above))
            {
                look_at.insert(above.to_owned(), ());
            }
            look_at.insert(path, ());
        }
        if self.known.len() + look_at.len() > MOST_KNOWN {
            self.known.clear();
        }
        look_at.into_keys().flat_map(|path| self.judge(path)).collect()
    }

    fn judge(&mut self, path: PathBuf) -> Vec<Happened> {
        let Some(looks) = look(&path) else {
            self.known.remove(&path);
            return Vec::new();
        };
        let before = self.known.insert(path.clone(), looks.clone());
        match before {
            Some(before) if before == looks => Vec::new(),
            Some(before) if (Looks { mode: looks.mode, ..before }) == looks => vec![Happened::Attributes { path }],
            _ if looks.kind == Kind::File && self.closes => {
                vec![Happened::Modified { path: path.clone() }, Happened::Written { path }]
            }
            _ => vec![Happened::Modified { path }],
        }
    }

    fn lose(&mut self, now: Instant) {
        self.waiting.clear();
        self.known.clear();
        let since = SystemTime::now() - SLACK;
        self.storm.get_or_insert(Storm { began: now, since, last: now }).last = now;
    }
}

/// Files and directories that are newer than that; none if there are too many.
fn changed_since(used: &[PathBuf], since: SystemTime) -> Vec<PathBuf> {
    let (mut found, mut looked_at) = (Vec::new(), 0);
    let mut waiting = used.to_vec();
    while let Some(path) = waiting.pop() {
        looked_at += 1;
        let Some(looks) = look(&path) else { continue };
        if looks.kind == Kind::Directory {
            let entries = std::fs::read_dir(&path).into_iter().flatten().flatten();
            // One too many is enough to know: a directory may have millions of names.
            let room = (MOST_LOOKED_AT + 1).saturating_sub(looked_at + waiting.len());
            waiting.extend(entries.take(room).map(|entry| entry.path()));
        }
        if looks.modified.is_some_and(|modified| modified >= since) {
            found.push(path);
        }
        if found.len() > MOST_FOUND || looked_at + waiting.len() > MOST_LOOKED_AT {
            tracing::debug!(looked_at, "too much changed at once to be repeated");
            return Vec::new();
        }
    }
    found
}

fn is_used(used: &[PathBuf], path: &Path) -> bool {
    used.iter().any(|used| path.starts_with(used))
}

fn look(path: &Path) -> Option<Looks> {
    let found = std::fs::symlink_metadata(path).ok()?;
    let kind = match found.file_type() {
        kind if kind.is_file() => Kind::File,
        kind if kind.is_dir() => Kind::Directory,
        _ => Kind::Other,
    };
    let (identity, mode) = identity(&found);
    let len = if kind == Kind::File { found.len() } else { 0 };
    Some(Looks { kind, modified: found.modified().ok(), len, identity, mode })
}

#[cfg(unix)]
fn identity(found: &std::fs::Metadata) -> (u64, u32) {
    use std::os::unix::fs::MetadataExt;
    (found.ino(), found.mode())
}

#[cfg(windows)]
fn identity(found: &std::fs::Metadata) -> (u64, u32) {
    use std::os::windows::fs::MetadataExt;
    (found.creation_time(), u32::from(found.permissions().readonly()))
}

#[cfg(test)]
mod tests;
