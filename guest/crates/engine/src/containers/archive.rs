//! `docker cp`: facts about a path, its archive, and an archive unpacked at it.

use std::{
    ffi::CString,
    io::{self, Read, Write},
    os::fd::AsFd,
    sync::Arc,
};

use rustix::fs::{AtFlags, FileType, Stat, readlinkat, statat};
use serde::Serialize;

use super::{
    Container, Containers,
    files::{Files, TreeWriter, Unpack, unpack},
    mounts::clean,
    users::Accounts,
};
use crate::{
    error::{Error, Result},
    timestamps::{ZERO, rfc3339_nano},
};

/// What `X-Docker-Container-Path-Stat` tells. `mode` in Go's bits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PathStat {
    pub name: String,
    pub size: i64,
    pub mode: u32,
    pub mtime: String,
    #[serde(rename = "linkTarget")]
    pub link_target: String,
}

/// A path that is about to be archived.
pub struct ArchiveRead {
    pub stat: PathStat,
    files: Files,
    path: String,
    /// The name of its entry.
    tar_name: String,
    is_directory: bool,
}

/// How to unpack an archive at a path.
#[derive(Clone, Copy, Debug, Default)]
pub struct ArchiveWrite {
    /// A directory must not replace a file, nor the reverse.
    pub keep_kinds: bool,
    /// Files belong to the container's user.
    pub chown: bool,
}

impl Containers {
    /// Blocking.
    pub fn path_stat(&self, name: &str, path: &str) -> Result<PathStat> {
        let container = self.find(name)?;
        let (files, inner) = self.files_at(&container, path)?;
        stat(&files, &inner, path).map_err(|error| not_found_or(error, name, path))
    }

    /// Blocking.
    pub fn archive(&self, name: &str, path: &str) -> Result<ArchiveRead> {
        let container = self.find(name)?;
        let (files, inner) = self.files_at(&container, path)?;
        let stat = stat(&files, &inner, path).map_err(|error| not_found_or(error, name, path))?;
        let is_directory = stat.mode & GO_DIRECTORY != 0;
        if !is_directory && path.ends_with('/') {
            return Err(Error::invalid(format!("{path}: not a directory")));
        }
        // Why nothing for the root: its entries are `/`, `/etc/` and so on.
        let tar_name = if stat.name == "/" { String::new() } else { stat.name.clone() };
        self.event(&container.record(), "archive-path", &[]);
        Ok(ArchiveRead { stat, files, path: inner, tar_name, is_directory })
    }

    /// Blocking.
    pub fn unpack(&self, name: &str, path: &str, archive: impl Read + Send, options: ArchiveWrite) -> Result<()> {
        let container = self.find(name)?;
        let (files, inner) = self.files_at(&container, path)?;
        let target = files.open(&inner).map_err(|error| not_found_or(error, name, path))?;
        let found = rustix::fs::fstat(&target).map_err(|error| not_found_or(error.into(), name, path))?;
        if FileType::from_raw_mode(found.st_mode) != FileType::Directory {
            return Err(Error::invalid("extraction point is not a directory"));
        }
        check_writable(&container, &clean(path))?;
        let owner = match options.chown {
            true => Some(self.owner(&container, &files)?),
            false => None,
        };
        unpack(&files, archive, &Unpack { into: inner, keep_kinds: options.keep_kinds, owner, ..Unpack::default() })?;
        self.event(&container.record(), "extract-to-dir", &[]);
        Ok(())
    }

    fn owner(&self, container: &Arc<Container>, files: &Files) -> Result<(u32, u32)> {
        let record = container.record();
        let accounts =
            Accounts::read(files.root()).map_err(|source| Error::system("read the container's accounts", source))?;
        let user = accounts.resolve(&record.config.user, &[]).map_err(Error::internal)?;
        Ok((user.uid, user.gid))
    }
}

impl ArchiveRead {
    /// Blocking.
    pub fn write_to(&self, out: impl Write) -> Result<()> {
        let written = || -> io::Result<()> {
            let mut tree = TreeWriter::new(out);
            if self.is_directory {
                // Why opened first: a link with a slash behind it means the directory it leads to.
                tree.add(self.files.open(&self.path)?.as_fd(), c".", self.tar_name.as_bytes())?;
            } else {
                let place = self.files.place(&self.path)?;
                let name = CString::new(place.file()).map_err(io::Error::other)?;
                tree.add(place.directory.as_fd(), &name, self.tar_name.as_bytes())?;
            }
            tree.finish()
        };
        written().map_err(|source| Error::system("archive the path", source))
    }
}

fn not_found_or(error: io::Error, name: &str, path: &str) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => Error::not_found(format!("Could not find the file {path} in container {name}")),
        io::ErrorKind::NotADirectory => Error::invalid(format!("{path}: not a directory")),
        _ => Error::system(format!("look at {path}"), error),
    }
}

/// What an archive of the path calls it: `.` where the path ends so, `/` for the root. Source: moby
/// `PreserveTrailingDotOrSeparator` and Go `filepath.Base`.
fn called(path: &str) -> String {
    if path.trim_end_matches('/').rsplit('/').next() == Some(".") {
        return ".".to_owned();
    }
    match clean(path).rsplit('/').next() {
        Some("") | None => "/".to_owned(),
        Some(name) => name.to_owned(),
    }
}

/// Source: moby daemon/archive_unix.go `checkWritablePath`.
fn check_writable(container: &Container, path: &str) -> Result<()> {
    let record = container.record();
    let mut mounts: Vec<_> = record
        .mounts
        .iter()
        .map(|mount| &mount.point)
        .filter(|point| path == point.destination || path.starts_with(&format!("{}/", point.destination)))
        .collect();
    mounts.sort_by_key(|point| point.destination.len());
    match mounts.last() {
        Some(point) if point.rw => Ok(()),
        Some(_) => Err(Error::invalid("mounted volume is marked read-only")),
        None if record.host_config.readonly_rootfs => Err(Error::invalid("container rootfs is marked read-only")),
        None => Ok(()),
    }
}

fn stat(files: &Files, inner: &str, shown: &str) -> io::Result<PathStat> {
    let place = files.place(inner)?;
    let mut found = statat(&place.directory, place.file(), AtFlags::SYMLINK_NOFOLLOW)?;
    // A trailing slash or dot asks for what a link leads to.
    let through = shown.len() > 1 && (shown.ends_with('/') || shown.ends_with("/."));
    if through && FileType::from_raw_mode(found.st_mode) == FileType::Symlink {
        found = rustix::fs::fstat(&files.open(inner)?)?;
    }
    let mut link_target = String::new();
    if FileType::from_raw_mode(found.st_mode) == FileType::Symlink {
        let target = readlinkat(&place.directory, place.file(), Vec::new())?;
        let target = target.to_string_lossy().into_owned();
        let parent = clean(shown).rsplit_once('/').map(|(parent, _)| parent.to_owned()).unwrap_or_default();
        link_target = if target.starts_with('/') { clean(&target) } else { clean(&format!("{parent}/{target}")) };
    }
    let mtime = u64::try_from(found.st_mtime).ok().and_then(|seconds| {
        let nanos = u32::try_from(found.st_mtime_nsec).unwrap_or(0);
        std::time::UNIX_EPOCH.checked_add(std::time::Duration::new(seconds, nanos))
    });
    Ok(PathStat {
        name: called(shown),
        size: found.st_size,
        mode: go_mode(&found),
        mtime: mtime.map_or_else(|| ZERO.to_owned(), rfc3339_nano),
        link_target,
    })
}

const GO_DIRECTORY: u32 = 1 << 31;

/// Go's `os.FileMode`: permissions low, kinds and special bits high.
fn go_mode(found: &Stat) -> u32 {
    let kind = match FileType::from_raw_mode(found.st_mode) {
        FileType::Directory => GO_DIRECTORY,
        FileType::Symlink => 1 << 27,
        FileType::BlockDevice => 1 << 26,
        FileType::Fifo => 1 << 25,
        FileType::Socket => 1 << 24,
        FileType::CharacterDevice => 1 << 26 | 1 << 21,
        _ => 0,
    };
    let special = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
    let special = special.iter().filter(|(bit, _)| found.st_mode & bit != 0).fold(0, |all, (_, go)| all | go);
    kind | special | found.st_mode & 0o777
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_called_as_dockerd_calls_them() {
        for (path, name) in [
            ("/", "/"),
            ("", "/"),
            ("//", "/"),
            (".", "."),
            ("./", "."),
            ("/.", "."),
            ("/./", "."),
            ("/a/b", "b"),
            ("a/b/", "b"),
            ("/a/b/.", "."),
            ("/a/..", "/"),
        ] {
            assert_eq!(called(path), name, "{path}");
        }
    }
}
