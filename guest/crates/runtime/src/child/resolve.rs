//! Paths inside a root filesystem that somebody hostile may have made.
//!
//! The kernel resolves every path below the root (`openat2` with `RESOLVE_IN_ROOT`: absolute links and `..` stay inside,
//! magic links of /proc are refused), so no check of ours can be raced. Missing directories are created one by one, each
//! below a directory that was resolved that way.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Symbolic links followed while creating a path; the kernel's own limit is 40.
const LINKS_MAX: usize = 40;

/// A root filesystem.
#[derive(Debug)]
pub(super) struct Root {
    fd: OwnedFd,
}

/// What the last component of a path is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Make {
    Directory,
    File,
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Root {
    pub fn new(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// Opens with any flags, following links below the root.
    pub fn open_as(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        self.openat2(path, flags, ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
    }

    /// A reference to what is there.
    pub fn open(&self, path: &str) -> io::Result<OwnedFd> {
        self.open_as(path, OFlags::PATH)
    }

    /// As [`Root::open`], but no component may be a symbolic link.
    pub fn open_plain(&self, path: &str) -> io::Result<OwnedFd> {
        self.openat2(path, OFlags::PATH, ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS)
    }

    fn openat2(&self, path: &str, flags: OFlags, resolve: ResolveFlags) -> io::Result<OwnedFd> {
        // EAGAIN: a rename raced with the walk and the kernel cannot tell whether it escaped.
        for _ in 0..32 {
            match rustix::fs::openat2(&self.fd, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
                Err(Errno::AGAIN) => {}
                done => return Ok(done?),
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }

    /// Opens `path`, creating what is missing. An existing last component may be of the other kind: the mount that
    /// follows says so.
    pub fn make(&self, path: &str, what: Make) -> io::Result<OwnedFd> {
        match self.open(path) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => self.make_missing(path, what),
            done => done,
        }
    }

    /// Walks from the root. `done` never contains a link or `..`, so it names one place.
    fn make_missing(&self, path: &str, what: Make) -> io::Result<OwnedFd> {
        let mut todo: VecDeque<String> = path.split('/').map(str::to_owned).collect();
        let mut done: Vec<String> = Vec::new();
        let mut links = 0;
        while let Some(part) = todo.pop_front() {
            match part.as_str() {
                "" | "." => continue,
                ".." => {
                    done.pop();
                    continue;
                }
                _ => {}
            }
            let parent = self.open(&join(&done))?;
            let missing = match rustix::fs::statat(&parent, &part, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => {
                    if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
                        links += 1;
                        if links > LINKS_MAX {
                            return Err(Errno::LOOP.into());
                        }
                        follow(&parent, &part, &mut done, &mut todo)?;
                        continue;
                    }
                    false
                }
                Err(Errno::NOENT) => true,
                Err(err) => return Err(err.into()),
            };
            if missing {
                let last = todo.iter().all(|rest| matches!(rest.as_str(), "" | "."));
                create(&parent, &part, if last { what } else { Make::Directory })?;
            }
            done.push(part);
        }
        self.open(&join(&done))
    }
}

fn join(parts: &[String]) -> String {
    format!("/{}", parts.join("/"))
}

/// Puts a link's target in front of what is still to be walked.
fn follow(parent: &OwnedFd, name: &str, done: &mut Vec<String>, todo: &mut VecDeque<String>) -> io::Result<()> {
    let target = rustix::fs::readlinkat(parent, name, Vec::new())?;
    let target = target.into_string().map_err(|_| Errno::ILSEQ)?;
    if target.starts_with('/') {
        done.clear();
    }
    for part in target.split('/').rev() {
        todo.push_front(part.to_owned());
    }
    Ok(())
}

fn create(parent: &OwnedFd, name: &str, what: Make) -> io::Result<()> {
    let made = match what {
        Make::Directory => rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755)),
        Make::File => {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::WRONLY | OFlags::NOFOLLOW;
            rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o644)).map(drop)
        }
    };
    match made {
        // Somebody else who shares the volume was faster.
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(err) => Err(err.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    fn root(dir: &Path) -> Root {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Root::new(rustix::fs::open(dir, flags, Mode::empty()).unwrap())
    }

    #[test]
    fn links_of_a_hostile_image_stay_inside() {
        let outside = tempfile::tempdir().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let root = root(dir.path());
        symlink(outside.path(), dir.path().join("absolute")).unwrap();
        symlink("../../../../../../..", dir.path().join("up")).unwrap();
        symlink("loop", dir.path().join("loop")).unwrap();
        for path in ["/absolute/x/y", "/up/x/y", "/../x2/y"] {
            root.make(path, Make::Directory).unwrap();
        }
        assert!(std::fs::read_dir(outside.path()).unwrap().next().is_none(), "wrote outside");
        assert!(dir.path().join("x/y").is_dir());
        assert!(dir.path().join("x2/y").is_dir());
        let inside = dir.path().join(outside.path().strip_prefix("/").unwrap());
        assert!(inside.join("x/y").is_dir());
        assert!(root.make("/loop/x", Make::Directory).is_err());
    }

    #[test]
    fn files_and_what_is_there_already() {
        let dir = tempfile::tempdir().unwrap();
        let root = root(dir.path());
        root.make("/etc/hosts", Make::File).unwrap();
        assert!(dir.path().join("etc/hosts").is_file());
        root.make("/etc/hosts", Make::Directory).unwrap();
        assert!(dir.path().join("etc/hosts").is_file());
        assert!(root.make("/etc/hosts/below", Make::File).is_err());
        symlink("/etc", dir.path().join("link")).unwrap();
        assert!(root.open_plain("/link").is_err());
        assert!(root.open("/link").is_ok());
    }
}
