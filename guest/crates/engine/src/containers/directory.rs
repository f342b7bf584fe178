//! One directory of a container, without what is below it: what a file browser shows.
//!
//! Docker's API can only archive a directory with everything in it, which of `/` is the whole filesystem.

use std::{fs::File, io, os::fd::AsFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, readlinkat, statat};
use serde::Serialize;

use super::Containers;
use crate::error::{Error, Result};

/// A directory of more is shown up to here; nobody reads on.
const MAX_ENTRIES: usize = 20_000;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DirectoryEntry {
    pub name: String,
    pub size: u64,
    /// `st_mode`: kind and permissions.
    pub mode: u32,
    pub modified_unix_ms: u64,
    pub link_target: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DirectoryListing {
    pub entries: Vec<DirectoryEntry>,
    /// There are more.
    pub cut: bool,
}

impl Containers {
    /// What is directly in a directory; a link to it is followed, links in it are not. Blocking.
    pub fn list_directory(&self, name: &str, path: &str) -> Result<DirectoryListing> {
        let container = self.find(name)?;
        let (files, inner) = self.files_at(&container, path)?;
        let place = files.open(&inner).map_err(|error| refused(error, name, path))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = openat(&place, ".", flags, Mode::empty()).map_err(|error| refused(error.into(), name, path))?;
        list(&opened.into()).map_err(|source| Error::system(format!("list {path}"), source))
    }
}

fn list(directory: &File) -> io::Result<DirectoryListing> {
    let mut listing = DirectoryListing::default();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let file = entry.file_name();
        if file == c"." || file == c".." {
            continue;
        }
        if listing.entries.len() >= MAX_ENTRIES {
            listing.cut = true;
            break;
        }
        // It may be gone meanwhile.
        let Ok(found) = statat(directory, file, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        let link = FileType::from_raw_mode(found.st_mode) == FileType::Symlink;
        let target = link.then(|| readlinkat(directory.as_fd(), file, Vec::new()).ok()).flatten();
        let seconds = u64::try_from(found.st_mtime).unwrap_or(0);
        listing.entries.push(DirectoryEntry {
            name: file.to_string_lossy().into_owned(),
            size: u64::try_from(found.st_size).unwrap_or(0),
            mode: found.st_mode,
            modified_unix_ms: seconds.saturating_mul(1000),
            link_target: target.map(|target| target.to_string_lossy().into_owned()),
        });
    }
    Ok(listing)
}

fn refused(error: io::Error, name: &str, path: &str) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => Error::not_found(format!("Could not find the file {path} in container {name}")),
        io::ErrorKind::NotADirectory => Error::invalid(format!("{path}: not a directory")),
        _ => Error::system(format!("look at {path}"), error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_level_with_links_as_they_are() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(directory.path().join("sub/deep")).unwrap();
        std::fs::write(directory.path().join("file"), "12345").unwrap();
        std::os::unix::fs::symlink("/nowhere", directory.path().join("link")).unwrap();
        let mut found = list(&File::open(directory.path()).unwrap()).unwrap().entries;
        found.sort_by(|a, b| a.name.cmp(&b.name));
        let seen: Vec<_> = found
            .iter()
            .map(|entry| (entry.name.as_str(), entry.mode & 0o170_000, entry.link_target.as_deref()))
            .collect();
        assert_eq!(seen, [("file", 0o100_000, None), ("link", 0o120_000, Some("/nowhere")), ("sub", 0o040_000, None)]);
        assert_eq!(found[0].size, 5);
    }
}
