//! The root below which paths are resolved.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use cubby_image::snapshot::{self, Access};
use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};

use crate::{
    containers::{Container, Containers, model::Record, mounts::clean},
    error::{Error, Result},
};

/// A container's root.
pub struct Files {
    root: OwnedFd,
}

/// A path as a directory and a name in it; the name is empty for the root itself.
pub struct Place {
    pub directory: OwnedFd,
    pub name: String,
}

impl Containers {
    /// The files of a container as its processes see them. Blocking.
    ///
    /// Of a stopped container volumes and binds are not in place: [`Containers::place_of`] finds those.
    pub(in crate::containers) fn files(&self, container: &Container) -> Result<Files> {
        let record = container.record();
        if record.state.removing || record.state.dead {
            return Err(Error::conflict(format!("container {} is marked for removal", record.id)));
        }
        if record.state.has_process() && record.state.pid > 0 {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            if let Ok(root) = open(format!("/proc/{}/root", record.state.pid), flags, Mode::empty()) {
                return Ok(Files { root });
            }
        }
        Ok(Files { root: self.mount_root(&record)? })
    }

    /// The files of the layers and the writable layer alone, without what is mounted over them.
    pub(in crate::containers) fn still_files(&self, container: &Container) -> Result<Files> {
        let record = container.record();
        let pidfd = container.live().as_ref().map(|live| live.pidfd.clone());
        // Why the container's own mount while it runs: the kernel promises nothing about two overlays on one upper directory.
        if let Some(Ok(root)) = pidfd.map(|pidfd| cubby_runtime::shared_mount(&*pidfd, "/")) {
            return Ok(Files { root });
        }
        let mut lowers = vec![self.directory(&record.id).join("upper")];
        lowers.extend(self.lowers(&record)?);
        Ok(Files { root: read_only(&lowers)? })
    }

    /// The layers' files alone, read-only.
    pub(in crate::containers) fn image_files(&self, record: &Record) -> Result<Files> {
        let mut lowers = self.lowers(record)?;
        let empty = self.parts.config.data_root.join("layers").join("empty");
        if !lowers.contains(&empty) {
            lowers.push(empty);
        } else if lowers.len() == 1 {
            return Ok(Files { root: open_directory(&lowers[0])? });
        }
        Ok(Files { root: read_only(&lowers)? })
    }

    /// Where a path of a stopped container lies: in one of its mounts, or in its root. Blocking.
    pub(in crate::containers) fn files_at(&self, container: &Container, path: &str) -> Result<(Files, String)> {
        let record = container.record();
        let path = clean(path);
        if !record.state.has_process() {
            let within = |destination: &str| path == destination || path.starts_with(&format!("{destination}/"));
            let mut mounts: Vec<_> = record.mounts.iter().filter(|mount| within(&mount.point.destination)).collect();
            mounts.sort_by_key(|mount| mount.point.destination.len());
            if let Some(mount) = mounts.last().filter(|mount| !mount.point.source.is_empty()) {
                let source = Path::new(&mount.point.source);
                let rest = &path[mount.point.destination.len()..];
                if source.is_dir() {
                    let rest = if rest.is_empty() { "/" } else { rest };
                    return Ok((Files { root: open_directory(source)? }, rest.to_owned()));
                }
            }
        }
        Ok((self.files(container)?, path))
    }
}

fn read_only(lowers: &[std::path::PathBuf]) -> Result<OwnedFd> {
    snapshot::mount_detached(lowers, Access::ReadOnly)
        .map_err(|source| Error::system("mount the container's files", source))
}

fn open_directory(path: &Path) -> Result<OwnedFd> {
    open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| Error::system(format!("open {}", path.display()), io::Error::from(error)))
}

impl Files {
    /// A mount of a root filesystem, attached nowhere.
    pub fn of_mount(root: OwnedFd) -> Self {
        Self { root }
    }

    /// A directory of this machine as a root.
    pub fn at(path: &Path) -> Result<Self> {
        Ok(Self { root: open_directory(path)? })
    }

    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Opens a path as a place (`O_PATH`), following links; `path` is absolute, as the container sees it.
    pub fn open(&self, path: &str) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        Ok(openat2(self.root(), path, flags, Mode::empty(), ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)?)
    }

    /// Opens a path for reading, following links. A pipe does not make it wait.
    pub fn read(&self, path: &str) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        Ok(openat2(self.root(), path, flags, Mode::empty(), resolve)?.into())
    }

    /// The directory that a path's last part is in, links on the way followed, the last part not.
    pub fn place(&self, path: &str) -> io::Result<Place> {
        let path = clean(path);
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", ""));
        let parent = if parent.is_empty() { "/" } else { parent };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let directory = openat2(self.root(), parent, flags, Mode::empty(), resolve)?;
        Ok(Place { directory, name: name.to_owned() })
    }
}

impl Place {
    /// The name to use with the directory.
    pub fn file(&self) -> &str {
        if self.name.is_empty() { "." } else { &self.name }
    }
}
