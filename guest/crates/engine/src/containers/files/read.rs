//! A tree of files as a tar stream.

use std::{
    collections::HashMap,
    ffi::CStr,
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsFd, BorrowedFd},
};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, openat, readlinkat, statat};
use tar::{Builder, EntryType, Header};

/// Directories within directories; each costs a descriptor while it is read.
const MAX_DEPTH: usize = 256;
/// What a name may have in an ordinary header.
const SHORT_NAME: usize = 100;

/// Writes files below one root; hard links among them stay hard links.
pub struct TreeWriter<W: Write> {
    builder: Builder<W>,
    seen: HashMap<(u64, u64), Vec<u8>>,
}

impl<W: Write> TreeWriter<W> {
    pub fn new(out: W) -> Self {
        Self { builder: Builder::new(out), seen: HashMap::new() }
    }

    /// The end of the archive.
    pub fn finish(self) -> io::Result<()> {
        self.builder.into_inner()?.flush()
    }

    /// Adds `name` in `directory` and everything below it under the name `tar_name`.
    pub fn add(&mut self, directory: BorrowedFd<'_>, name: &CStr, tar_name: &[u8]) -> io::Result<()> {
        self.entry(directory, name, tar_name, 0)
    }

    /// Adds what is in a directory, without an entry for itself; `prefix` is put in front of every name.
    pub fn add_contents(&mut self, directory: BorrowedFd<'_>, prefix: &[u8]) -> io::Result<()> {
        self.contents(directory, c".", prefix, 0)
    }

    fn entry(&mut self, parent: BorrowedFd<'_>, name: &CStr, tar_name: &[u8], depth: usize) -> io::Result<()> {
        let found = match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            // Removed while we were on the way.
            Err(rustix::io::Errno::NOENT) => return Ok(()),
            found => found?,
        };
        let mut header = header(&found);
        match FileType::from_raw_mode(found.st_mode) {
            FileType::Directory => {
                let mut directory_name = tar_name.to_vec();
                directory_name.push(b'/');
                header.set_entry_type(EntryType::Directory);
                self.put(header, &directory_name, &[], io::empty())?;
                self.contents(parent, name, &directory_name, depth + 1)
            }
            FileType::RegularFile => self.file(parent, name, tar_name, header, &found),
            FileType::Symlink => {
                let target = readlinkat(parent, name, Vec::new())?;
                header.set_entry_type(EntryType::Symlink);
                self.put(header, tar_name, target.as_bytes(), io::empty())
            }
            kind @ (FileType::CharacterDevice | FileType::BlockDevice) => {
                let block = kind == FileType::BlockDevice;
                header.set_entry_type(if block { EntryType::Block } else { EntryType::Char });
                header.set_device_major(rustix::fs::major(found.st_rdev))?;
                header.set_device_minor(rustix::fs::minor(found.st_rdev))?;
                self.put(header, tar_name, &[], io::empty())
            }
            FileType::Fifo => {
                header.set_entry_type(EntryType::Fifo);
                self.put(header, tar_name, &[], io::empty())
            }
            // A socket means nothing outside.
            _ => Ok(()),
        }
    }

    fn contents(&mut self, parent: BorrowedFd<'_>, name: &CStr, prefix: &[u8], depth: usize) -> io::Result<()> {
        if depth > MAX_DEPTH {
            return Err(io::Error::other("directories are nested too deeply"));
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = openat(parent, name, flags, Mode::empty())?;
        for entry in Dir::read_from(&directory)? {
            let entry = entry?;
            let child = entry.file_name();
            if child == c"." || child == c".." {
                continue;
            }
            let mut tar_name = prefix.to_vec();
            tar_name.extend_from_slice(child.to_bytes());
            self.entry(directory.as_fd(), child, &tar_name, depth)?;
        }
        Ok(())
    }

    fn file(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        tar_name: &[u8],
        mut header: Header,
        found: &Stat,
    ) -> io::Result<()> {
        if found.st_nlink > 1 {
            let inode = (found.st_dev, found.st_ino);
            if let Some(first) = self.seen.get(&inode).cloned() {
                header.set_entry_type(EntryType::Link);
                return self.put(header, tar_name, &first, io::empty());
            }
            self.seen.insert(inode, tar_name.to_vec());
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = File::from(openat(parent, name, flags, Mode::empty())?);
        let opened = file.metadata()?;
        if !opened.is_file() {
            return Ok(());
        }
        let mut capability = [0; 64];
        if let Ok(len) = rustix::fs::fgetxattr(&file, "security.capability", &mut capability[..]) {
            let extension = ("SCHILY.xattr.security.capability", &capability[..len]);
            self.builder.append_pax_extensions([extension])?;
        }
        header.set_entry_type(EntryType::Regular);
        header.set_size(opened.len());
        // Why padded: the size has been said; a file that shrinks meanwhile must not shift what follows.
        let whole = file.chain(io::repeat(0)).take(opened.len());
        self.put(header, tar_name, &[], whole)
    }

    fn put(&mut self, mut header: Header, name: &[u8], link: &[u8], data: impl Read) -> io::Result<()> {
        for (kind, text) in [(b'K', link), (b'L', name)] {
            if text.len() > SHORT_NAME {
                self.long(kind, text)?;
            }
        }
        let old = header.as_old_mut();
        fill(&mut old.name, name);
        fill(&mut old.linkname, link);
        header.set_cksum();
        self.builder.append(&header, data)
    }

    /// GNU's way of saying a long name: an entry before the entry.
    fn long(&mut self, kind: u8, text: &[u8]) -> io::Result<()> {
        let mut header = Header::new_gnu();
        fill(&mut header.as_old_mut().name, b"././@LongLink");
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(text.len() as u64 + 1);
        header.set_entry_type(EntryType::new(kind));
        header.set_cksum();
        self.builder.append(&header, text.chain(&[0][..]))
    }
}

fn fill(field: &mut [u8; SHORT_NAME], text: &[u8]) {
    let len = text.len().min(SHORT_NAME);
    field.fill(0);
    field[..len].copy_from_slice(&text[..len]);
}

fn header(found: &Stat) -> Header {
    let mut header = Header::new_gnu();
    header.set_mode(found.st_mode & 0o7777);
    header.set_uid(found.st_uid.into());
    header.set_gid(found.st_gid.into());
    header.set_mtime(u64::try_from(found.st_mtime).unwrap_or(0));
    header.set_size(0);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_read_back_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let long = "n".repeat(150);
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        std::fs::write(dir.path().join("sub").join(&long), "content").unwrap();
        std::fs::hard_link(dir.path().join("sub").join(&long), dir.path().join("sub/link")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("sub/sym")).unwrap();
        let root = File::open(dir.path()).unwrap();
        let mut bytes = Vec::new();
        let mut writer = TreeWriter::new(&mut bytes);
        writer.add(root.as_fd(), c"sub", b"sub").unwrap();
        writer.finish().unwrap();
        let out = tempfile::tempdir().unwrap();
        tar::Archive::new(&bytes[..]).unpack(out.path()).unwrap();
        assert_eq!(std::fs::read_to_string(out.path().join("sub").join(&long)).unwrap(), "content");
        assert_eq!(std::fs::read_to_string(out.path().join("sub/link")).unwrap(), "content");
        assert_eq!(std::fs::read_link(out.path().join("sub/sym")).unwrap().to_str(), Some("/etc/passwd"));
        let mut archive = tar::Archive::new(&bytes[..]);
        assert!(archive.entries().unwrap().any(|entry| entry.unwrap().header().entry_type() == EntryType::Link));
    }
}
