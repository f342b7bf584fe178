//! What a layer does to the files below it: added, changed, removed; read off its tree and the trees below.
//!
//! The walk goes directory by directory, names in byte order, a directory before what is in it. For each directory it
//! knows which of the lower layers show through there, so that new trees cost nothing and old ones a look per name.
//! Memory is that of one path's directories, however large the layer.

use std::{
    io,
    ops::ControlFlow,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, getxattr, open, openat, statat},
    io::Errno,
};

use super::whiteout::is_whiteout;
use crate::error::{Error, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    Added,
    Changed,
    /// It and everything in it.
    Removed,
}

/// One path that a layer touches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Without a slash in front.
    pub path: Vec<u8>,
    pub kind: ChangeKind,
    /// Of a regular file, in bytes.
    pub size: u64,
    /// Type and permissions as `st_mode` has them; 0 for what was removed.
    pub mode: u32,
}

/// Directories are open as deep as a path is; deeper trees than this are an error.
const DEPTH: usize = 1024;

/// Tells `visit` what the layer in `diff` changes over `lowers` (topmost first), beginning after the path `after`. Ends
/// early when `visit` breaks.
pub fn changes(
    diff: &Path,
    lowers: &[PathBuf],
    after: Option<&[u8]>,
    visit: &mut dyn FnMut(Change) -> ControlFlow<()>,
) -> Result<()> {
    let dir =
        |path: &Path| open(path, DIRECTORY, Mode::empty()).map_err(|errno| Error::disk("open", path)(errno.into()));
    let lowers = lowers.iter().map(|lower| dir(lower)).collect::<Result<Vec<OwnedFd>>>()?;
    let mut walk = Walk { visit, path: Vec::new(), after: after.map(components).unwrap_or_default() };
    let done = walk.directory(&dir(diff)?, &lowers, 0, false);
    done.map(|_: ControlFlow<()>| ())
        .map_err(|source| Error::Entry { path: crate::tarball::display(&walk.path), source })
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

fn components(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|b| *b == b'/').filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect()
}

struct Walk<'a> {
    visit: &'a mut dyn FnMut(Change) -> ControlFlow<()>,
    path: Vec<u8>,
    /// The path to begin after, name by name; empty once it was passed.
    after: Vec<Vec<u8>>,
}

impl Walk<'_> {
    /// `hides`: nothing of the lower layers shows here any more, because a directory above says so.
    fn directory(
        &mut self,
        dir: &OwnedFd,
        lowers: &[OwnedFd],
        depth: usize,
        hides: bool,
    ) -> io::Result<ControlFlow<()>> {
        if depth > DEPTH {
            return Err(io::Error::other("directories are nested too deeply"));
        }
        let mut names = names(dir)?;
        let hides = hides || is_opaque(dir);
        if hides {
            // What lower layers show here and this one does not have is gone.
            for lower in lowers {
                names.extend(self::names(lower)?);
            }
        }
        names.sort();
        names.dedup();
        for name in names {
            let resume = match self.after.get(depth) {
                Some(begin) if name < *begin => continue,
                Some(begin) if name == *begin => Resume::Within { whole: self.after.len() == depth + 1 },
                Some(_) => {
                    self.after.clear();
                    Resume::No
                }
                None => Resume::No,
            };
            let len = self.path.len();
            if len > 0 {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(&name);
            let place = Place { dir, lowers, depth, hides };
            let flow = self.item(&place, &name, resume)?;
            self.path.truncate(len);
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn item(&mut self, place: &Place<'_>, name: &[u8], resume: Resume) -> io::Result<ControlFlow<()>> {
        let Place { dir, lowers, depth, hides } = *place;
        let below = visible(lowers, name)?;
        let found = match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) if !is_whiteout(&found) => found,
            Ok(_) | Err(Errno::NOENT) => {
                if let Resume::Within { .. } = resume {
                    self.after.clear();
                    return Ok(ControlFlow::Continue(()));
                }
                let removed = Change { path: self.path.clone(), kind: ChangeKind::Removed, size: 0, mode: 0 };
                return Ok(if below.is_some() { (self.visit)(removed) } else { ControlFlow::Continue(()) });
            }
            Err(errno) => return Err(errno.into()),
        };
        let kind = FileType::from_raw_mode(found.st_mode);
        if !matches!(resume, Resume::Within { .. }) {
            let flow = self.tell(&found, below.as_ref());
            if flow.is_break() {
                return Ok(flow);
            }
        }
        if let Resume::Within { whole: true } = resume {
            self.after.clear();
        }
        if !kind.is_dir() {
            return Ok(ControlFlow::Continue(()));
        }
        let inner = openat(dir, name, DIRECTORY, Mode::empty())?;
        let inner_lowers = show_through(lowers, name)?;
        let flow = self.directory(&inner, &inner_lowers, depth + 1, hides)?;
        if let Resume::Within { .. } = resume {
            self.after.clear();
        }
        Ok(flow)
    }

    fn tell(&mut self, found: &Stat, below: Option<&Stat>) -> ControlFlow<()> {
        let kind = match below {
            None => ChangeKind::Added,
            // A directory stands in a layer for what is in it; it is news only when it is another itself.
            Some(below) if is_dir(found) && is_dir(below) && same_rights(found, below) => {
                return ControlFlow::Continue(());
            }
            Some(_) => ChangeKind::Changed,
        };
        let regular = FileType::from_raw_mode(found.st_mode).is_file();
        let size = if regular { u64::try_from(found.st_size).unwrap_or(0) } else { 0 };
        (self.visit)(Change { path: self.path.clone(), kind, size, mode: found.st_mode })
    }
}

/// Where the walk is.
struct Place<'a> {
    dir: &'a OwnedFd,
    lowers: &'a [OwnedFd],
    depth: usize,
    hides: bool,
}

#[derive(Clone, Copy)]
enum Resume {
    No,
    /// This name is on the way to the path to begin after; `whole` when it is that path.
    Within {
        whole: bool,
    },
}

fn is_dir(found: &Stat) -> bool {
    FileType::from_raw_mode(found.st_mode).is_dir()
}

fn same_rights(a: &Stat, b: &Stat) -> bool {
    (a.st_mode, a.st_uid, a.st_gid) == (b.st_mode, b.st_uid, b.st_gid)
}

/// What the lower layers show under a name.
fn visible(lowers: &[OwnedFd], name: &[u8]) -> io::Result<Option<Stat>> {
    for lower in lowers {
        match statat(lower, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) if is_whiteout(&found) => return Ok(None),
            Ok(found) => return Ok(Some(found)),
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(None)
}

/// The directories of lower layers that are merged under a name, topmost first.
fn show_through(lowers: &[OwnedFd], name: &[u8]) -> io::Result<Vec<OwnedFd>> {
    let mut shown = Vec::new();
    for lower in lowers {
        match openat(lower, name, DIRECTORY, Mode::empty()) {
            Ok(dir) => {
                let last = is_opaque(&dir);
                shown.push(dir);
                if last {
                    break;
                }
            }
            Err(Errno::NOENT) => {}
            // A whiteout, a link, a file: it hides what is below it.
            Err(Errno::NOTDIR | Errno::LOOP) => break,
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(shown)
}

fn names(dir: &OwnedFd) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for item in Dir::read_from(dir)? {
        let name = item?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    Ok(names)
}

/// Whether the directory hides everything below it.
fn is_opaque(dir: &OwnedFd) -> bool {
    let mut value = [0_u8; 4];
    let path = format!("/proc/self/fd/{}", dir.as_raw_fd());
    getxattr(path, "trusted.overlay.opaque", &mut value[..])
        .is_ok_and(|len| value.get(..len).is_some_and(|value| value == b"y"))
}
