//! A tar stream unpacked into a container.
//!
//! Names are split and checked here, directories on the way are resolved by the kernel below the container's root at every
//! entry anew: neither the archive nor the container can make an entry land outside.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{
        AtFlags, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, UTIME_OMIT, Uid, chmodat,
        chownat, fchmod, fchown, linkat, mkdirat, mknodat, openat, openat2, statat, symlinkat, unlinkat, utimensat,
    },
    io::Errno,
};
use tar::{Entry, EntryType};

use super::{Files, entries};
use crate::{
    containers::{mounts::clean, sources::make_directories},
    error::{Error, Result},
};

/// Directories within directories when one is replaced.
const MAX_DEPTH: usize = 256;

/// How to unpack.
#[derive(Clone, Debug, Default)]
pub struct Unpack {
    /// Absolute; a directory that is there.
    pub into: String,
    /// A directory must not replace a file, nor the reverse.
    pub keep_kinds: bool,
    /// Everything belongs to this user and group instead of the archive's.
    pub owner: Option<(u32, u32)>,
    /// Names that climb out of the place stay in it instead of being refused.
    pub keeps_inside: bool,
    /// Everything but links has these permissions instead of the archive's.
    pub mode: Option<u32>,
}

/// Unpacks `archive`, compressed or not. Blocking.
pub fn unpack(files: &Files, archive: impl Read + Send, options: &Unpack) -> Result<()> {
    let plain = cubby_image::layer::decoder(archive).map_err(|error| Error::invalid(error.to_string()))?;
    let invalid = |error| Error::invalid(format!("invalid archive: {error}"));
    entries::for_each(plain, invalid, |entry| unpack_entry(files, entry, options))
}

fn unpack_entry(files: &Files, mut entry: Entry<'_, impl Read>, options: &Unpack) -> Result<()> {
    let mut name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
    if options.keeps_inside {
        name = clean(&name);
    }
    let Some(name) = inside(&name)? else { return Ok(()) };
    let path = clean(&format!("{}/{name}", options.into));
    let (parent, base) = path.rsplit_once('/').unwrap_or(("", &path));
    let parent = if parent.is_empty() { "/" } else { parent };
    let failed = |error: Errno| Error::system(format!("unpack {name}"), io::Error::from(error));
    make_directories(files.root(), parent).map_err(|error| Error::system(format!("unpack {name}"), error))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let directory = openat2(files.root(), parent, flags, Mode::empty(), resolve).map_err(failed)?;
    let kind = entry.header().entry_type();
    let merges = make_room(&directory, base, kind, &path, options)?;
    if merges && kind == EntryType::Directory {
        return dress(&directory, base, &entry, options, false).map_err(failed);
    }
    create(files, &directory, base, &mut entry, options).map_err(|error| Error::system(format!("unpack {name}"), error))
}

/// The name without what leads nowhere; none for the target itself.
fn inside(name: &str) -> Result<Option<String>> {
    let parts: Vec<&str> = name.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.contains(&"..") {
        return Err(Error::invalid(format!("invalid archive: {name:?} leads out of its place")));
    }
    Ok((!parts.is_empty()).then(|| parts.join("/")))
}

/// Removes what is in the way. True when a directory is there that a directory entry may join.
fn make_room(directory: &OwnedFd, base: &str, kind: EntryType, path: &str, options: &Unpack) -> Result<bool> {
    let failed = |error: Errno| Error::system(format!("replace {path}"), io::Error::from(error));
    let found = match statat(directory, base, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(false),
        found => found.map_err(failed)?,
    };
    let was_directory = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
    let is_directory = kind == EntryType::Directory;
    if was_directory && is_directory {
        return Ok(true);
    }
    if options.keep_kinds && was_directory {
        return Err(Error::invalid(format!("cannot overwrite directory {path:?} with non-directory {path:?}")));
    }
    if options.keep_kinds && is_directory {
        return Err(Error::invalid(format!("cannot overwrite non-directory {path:?} with directory {path:?}")));
    }
    remove(directory.as_fd(), base, was_directory, 0)
        .map_err(|error| Error::system(format!("replace {path}"), error))?;
    Ok(false)
}

fn remove(directory: BorrowedFd<'_>, name: &str, is_directory: bool, depth: usize) -> io::Result<()> {
    if !is_directory {
        return Ok(unlinkat(directory, name, AtFlags::empty())?);
    }
    if depth > MAX_DEPTH {
        return Err(io::Error::other("directories are nested too deeply"));
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let inner = openat(directory, name, flags, Mode::empty())?;
    for entry in Dir::read_from(&inner)? {
        let entry = entry?;
        let child = String::from_utf8_lossy(entry.file_name().to_bytes()).into_owned();
        if child != "." && child != ".." {
            remove(inner.as_fd(), &child, entry.file_type() == FileType::Directory, depth + 1)?;
        }
    }
    Ok(unlinkat(directory, name, AtFlags::REMOVEDIR)?)
}

fn create(
    files: &Files,
    directory: &OwnedFd,
    base: &str,
    entry: &mut Entry<'_, impl Read>,
    options: &Unpack,
) -> io::Result<()> {
    let kind = entry.header().entry_type();
    let link = entry.link_name_bytes().map(|link| link.into_owned()).unwrap_or_default();
    match kind {
        EntryType::Directory => mkdirat(directory, base, Mode::from_raw_mode(0o700))?,
        EntryType::Symlink => {
            symlinkat(&link[..], directory, base)?;
            return Ok(dress(directory, base, entry, options, true)?);
        }
        EntryType::Link => {
            let target = String::from_utf8_lossy(&link).into_owned();
            let Ok(Some(target)) = inside(&target) else {
                return Err(io::Error::other("a hard link leads out of the archive"));
            };
            let place = files.place(&format!("{}/{target}", options.into))?;
            return Ok(linkat(&place.directory, place.file(), directory, base, AtFlags::empty())?);
        }
        EntryType::Char | EntryType::Block | EntryType::Fifo => {
            let header = entry.header();
            let number = |part: io::Result<Option<u32>>| part.ok().flatten().unwrap_or(0);
            let device = rustix::fs::makedev(number(header.device_major()), number(header.device_minor()));
            let file_type = match kind {
                EntryType::Char => FileType::CharacterDevice,
                EntryType::Block => FileType::BlockDevice,
                _ => FileType::Fifo,
            };
            mknodat(directory, base, file_type, Mode::from_raw_mode(0o600), device)?;
        }
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mut file = File::from(openat(directory, base, flags, Mode::from_raw_mode(0o600))?);
            io::copy(entry, &mut file)?;
            let (uid, gid) = owner(entry, options);
            fchown(&file, Some(uid), Some(gid))?;
            fchmod(&file, mode(entry, options, 0o644))?;
            return Ok(utimensat(directory, base, &times(entry), AtFlags::SYMLINK_NOFOLLOW)?);
        }
        // Headers of archives (`pax_global_header`) and what nobody knows.
        _ => return Ok(()),
    }
    Ok(dress(directory, base, entry, options, false)?)
}

/// Owner, mode and time of what has been made.
fn dress(
    directory: &OwnedFd,
    base: &str,
    entry: &Entry<'_, impl Read>,
    options: &Unpack,
    is_link: bool,
) -> Result<(), Errno> {
    let (uid, gid) = owner(entry, options);
    chownat(directory, base, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    if !is_link {
        // Why not following is sure: it is a directory or a node that was made or found as such under this name; a
        // container that swaps it for a link changes the mode of something of its own.
        let place = openat(directory, base, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        use std::os::fd::AsRawFd;
        let path = format!("/proc/self/fd/{}", place.as_raw_fd());
        chmodat(rustix::fs::CWD, path, mode(entry, options, 0o755), AtFlags::empty())?;
    }
    utimensat(directory, base, &times(entry), AtFlags::SYMLINK_NOFOLLOW)
}

fn owner(entry: &Entry<'_, impl Read>, options: &Unpack) -> (Uid, Gid) {
    let id = |id: io::Result<u64>| id.ok().and_then(|id| u32::try_from(id).ok()).unwrap_or(0);
    let header = entry.header();
    let (uid, gid) = options.owner.unwrap_or_else(|| (id(header.uid()), id(header.gid())));
    (Uid::from_raw(uid), Gid::from_raw(gid))
}

fn mode(entry: &Entry<'_, impl Read>, options: &Unpack, otherwise: u32) -> Mode {
    let mode = options.mode.unwrap_or_else(|| entry.header().mode().unwrap_or(otherwise));
    Mode::from_raw_mode(mode & 0o7777)
}

fn times(entry: &Entry<'_, impl Read>) -> Timestamps {
    let seconds = entry.header().mtime().ok().and_then(|at| i64::try_from(at).ok()).unwrap_or(0);
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: seconds, tv_nsec: 0 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_out_are_refused() {
        assert_eq!(inside("./a//b/").unwrap().as_deref(), Some("a/b"));
        assert_eq!(inside("./").unwrap(), None);
        assert!(inside("a/../../b").is_err());
    }
}
