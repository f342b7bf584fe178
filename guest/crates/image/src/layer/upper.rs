//! The opposite of unpacking: what a container changed, as a layer's tar stream.
//!
//! With `redirect_dir` and `metacopy` off (see [`crate::snapshot`]) overlayfs' upper directory is the whole difference.
//! It may belong to a running container that changes it under our eyes, with intent: so every directory is opened below
//! the upper directory without following links, every file is opened without following links, and a file gives as many
//! bytes as it had when it was looked at.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs::File,
    io::{self, Read, Write},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use rustix::{
    fs::{
        AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, lgetxattr, llistxattr, major, minor, open, openat,
        openat2, readlinkat, statat,
    },
    io::Errno,
};

use super::whiteout::is_whiteout;
use crate::{
    error::{Error, Result},
    tarball::display,
};

/// Attributes of one file together. Source: Linux `XATTR_LIST_MAX`, `XATTR_SIZE_MAX`.
const ATTRIBUTE_BYTES: usize = 64 << 10;

/// Writes the difference that `upper` holds, names in order, whiteouts as OCI writes them.
pub fn write_upper(upper: &Path, out: impl Write) -> Result<()> {
    let root = open(upper, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let root = root.map_err(|errno| Error::disk("open", upper)(errno.into()))?;
    let mut writer = Writer { root, tar: tar::Builder::new(out), links: HashMap::new() };
    // A stack and not recursion: how deep a tree is, its owner decides.
    let mut directories = vec![Vec::new()];
    while let Some(path) = directories.pop() {
        match writer.directory(&path) {
            Ok(inner) => directories.extend(inner.into_iter().rev()),
            // It went, or became something else, meanwhile.
            Err(Error::Entry { source, .. }) if went(&source) => {}
            Err(error) => return Err(error),
        }
    }
    writer.tar.into_inner().and_then(|mut out| out.flush()).map_err(Error::Write)
}

struct Writer<W: Write> {
    root: OwnedFd,
    tar: tar::Builder<W>,
    /// Where each inode with several names was written.
    links: HashMap<(u64, u64), Vec<u8>>,
}

impl<W: Write> Writer<W> {
    /// Writes everything in a directory but what is in its directories; their paths are returned.
    fn directory(&mut self, path: &[u8]) -> Result<Vec<Vec<u8>>> {
        let failed = |errno: Errno| Error::Entry { path: display(path), source: errno.into() };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let place = if path.is_empty() { b".".as_slice() } else { path };
        let dir = openat2(&self.root, place, flags, Mode::empty(), resolve).map_err(failed)?;
        let mut names = Vec::new();
        for item in Dir::read_from(&dir).map_err(failed)? {
            let name = item.map_err(failed)?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(name);
            }
        }
        names.sort();
        let mut directories = Vec::new();
        for name in names {
            let whole = if path.is_empty() { name.clone() } else { [path, b"/", &name].concat() };
            match self.item(&dir, &name, &whole) {
                Ok(true) => directories.push(whole),
                Ok(false) => {}
                Err(error) if went(&error) => {}
                Err(source) => return Err(Error::Entry { path: display(&whole), source }),
            }
        }
        Ok(directories)
    }

    /// True when it is a directory.
    fn item(&mut self, dir: &OwnedFd, name: &[u8], path: &[u8]) -> io::Result<bool> {
        let found = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if is_whiteout(&found) {
            let (parent, name) = super::parents::split(path);
            let hidden = [parent, if parent.is_empty() { b"" } else { b"/" }, b".wh.", name].concat();
            return self.append(&mut marker(), &hidden, io::empty()).map(|()| false);
        }
        let mut header = header(&found);
        if self.is_known_link(&found, path, &mut header)? {
            return Ok(false);
        }
        let attributes = attributes(dir, name)?;
        let kept = attributes.iter().filter(|(name, _)| !name.starts_with("trusted.overlay."));
        let records: Vec<(String, &[u8])> =
            kept.map(|(name, value)| (format!("SCHILY.xattr.{name}"), value.as_slice())).collect();
        let records = records.iter().map(|(name, value)| (name.as_str(), *value));
        match FileType::from_raw_mode(found.st_mode) {
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let file = openat(dir, name, flags, Mode::empty())?;
                self.extend(records)?;
                self.append(&mut header, path, Exactly { file: file.into(), left: found.st_size as u64 })?;
            }
            FileType::Directory => {
                self.extend(records)?;
                self.append(&mut header, &[path, b"/"].concat(), io::empty())?;
                if attributes.iter().any(|(name, value)| name == "trusted.overlay.opaque" && value == b"y") {
                    self.append(&mut marker(), &[path, b"/.wh..wh..opq"].concat(), io::empty())?;
                }
                return Ok(true);
            }
            FileType::Symlink => {
                let target = readlinkat(dir, name, Vec::new())?;
                self.extend(records)?;
                self.tar.append_link(&mut header, OsStr::from_bytes(path), OsStr::from_bytes(target.to_bytes()))?;
            }
            // A socket is nothing without its process.
            FileType::Socket | FileType::Unknown => {}
            FileType::CharacterDevice | FileType::BlockDevice | FileType::Fifo => {
                self.extend(records)?;
                self.append(&mut header, path, io::empty())?;
            }
        }
        Ok(false)
    }

    /// Writes a hard link when the inode was written under another name.
    fn is_known_link(&mut self, found: &Stat, path: &[u8], header: &mut tar::Header) -> io::Result<bool> {
        if found.st_nlink < 2 || FileType::from_raw_mode(found.st_mode).is_dir() {
            return Ok(false);
        }
        let inode = (found.st_dev, found.st_ino);
        let Some(first) = self.links.get(&inode) else {
            self.links.insert(inode, path.to_vec());
            return Ok(false);
        };
        header.set_entry_type(tar::EntryType::Link);
        header.set_size(0);
        self.tar.append_link(header, OsStr::from_bytes(path), OsStr::from_bytes(first))?;
        Ok(true)
    }

    fn append(&mut self, header: &mut tar::Header, path: &[u8], content: impl Read) -> io::Result<()> {
        self.tar.append_data(header, OsStr::from_bytes(path), content)
    }

    fn extend<'a>(&mut self, records: impl Iterator<Item = (&'a str, &'a [u8])>) -> io::Result<()> {
        self.tar.append_pax_extensions(records)
    }
}

fn header(found: &Stat) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_mode(found.st_mode & 0o7777);
    header.set_uid(found.st_uid.into());
    header.set_gid(found.st_gid.into());
    header.set_mtime(u64::try_from(found.st_mtime).unwrap_or(0));
    let kind = match FileType::from_raw_mode(found.st_mode) {
        FileType::Directory => tar::EntryType::Directory,
        FileType::Symlink => tar::EntryType::Symlink,
        FileType::CharacterDevice => tar::EntryType::Char,
        FileType::BlockDevice => tar::EntryType::Block,
        FileType::Fifo => tar::EntryType::Fifo,
        _ => tar::EntryType::Regular,
    };
    header.set_entry_type(kind);
    let size = if kind == tar::EntryType::Regular { found.st_size } else { 0 };
    header.set_size(u64::try_from(size).unwrap_or(0));
    if matches!(kind, tar::EntryType::Char | tar::EntryType::Block) {
        // Why the results are let go: a GNU header has both fields.
        let _ = header.set_device_major(major(found.st_rdev));
        let _ = header.set_device_minor(minor(found.st_rdev));
    }
    header
}

/// An empty file that only its name counts of.
fn marker() -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    header.set_mtime(0);
    header.set_entry_type(tar::EntryType::Regular);
    header
}

/// Names and values; a file system without attributes has none.
fn attributes(dir: &OwnedFd, name: &[u8]) -> io::Result<Vec<(String, Vec<u8>)>> {
    let path = [format!("/proc/self/fd/{}/", dir.as_raw_fd()).as_bytes(), name].concat();
    let mut names = vec![0_u8; ATTRIBUTE_BYTES];
    let len = match llistxattr(path.as_slice(), &mut names[..]) {
        Ok(len) => len,
        Err(Errno::NOTSUP) => 0,
        Err(errno) => return Err(errno.into()),
    };
    let mut attributes = Vec::new();
    for name in names[..len].split(|b| *b == 0).filter(|name| !name.is_empty()) {
        let Ok(text) = std::str::from_utf8(name) else { continue };
        let mut value = vec![0_u8; ATTRIBUTE_BYTES];
        match lgetxattr(path.as_slice(), name, &mut value[..]) {
            Ok(len) => attributes.push((text.to_owned(), value[..len].to_vec())),
            Err(Errno::NODATA) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(attributes)
}

/// A file that gives exactly what its header says, whatever becomes of it: cut, or filled with zeros.
struct Exactly {
    file: File,
    left: u64,
}

impl Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(0);
        }
        let mut n = self.file.read(&mut buffer[..wanted])?;
        if n == 0 {
            buffer[..wanted].fill(0);
            n = wanted;
        }
        self.left -= n as u64;
        Ok(n)
    }
}

/// Something changed under our eyes; what is not there is not written.
fn went(error: &io::Error) -> bool {
    let gone = [Errno::NOENT, Errno::NOTDIR, Errno::LOOP, Errno::XDEV].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|code| gone.contains(&code))
}
