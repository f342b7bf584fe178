//! Telling whether what is copied has changed. Times do not count: a fresh checkout is the same context.

use std::{
    ffi::CString,
    fs::File,
    io::{self, Read},
    os::fd::OwnedFd,
};

use cubby_image::{Digest, digest::Hasher};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, readlinkat, statat};

use super::{copy::Wanted, find::Item};
use crate::containers::files::Files;

/// Directories within directories.
const MAX_DEPTH: usize = 256;

/// Names, kinds, permissions and contents. The digest is the same whatever order a directory lists its files in.
pub fn fingerprint(files: &Files, wanted: &Wanted, items: &[Item]) -> io::Result<Digest> {
    let mut hasher = Hasher::new();
    for item in items {
        let place = files.place(&item.path)?;
        let name = CString::new(place.file()).map_err(io::Error::other)?;
        // Why the name: `COPY a b /to/` and `COPY b a /to/` put different files there.
        hasher.update(item.name.as_bytes());
        hash(&place.directory, &name, wanted.keeps_owners, &mut hasher, 0)?;
    }
    for document in &wanted.documents {
        hasher.update(format!("{}\0{}", document.name, document.text).as_bytes());
    }
    Ok(hasher.finish())
}

fn hash(dir: &OwnedFd, name: &CString, owners: bool, hasher: &mut Hasher, depth: usize) -> io::Result<()> {
    let found = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let kind = FileType::from_raw_mode(found.st_mode);
    let owner = if owners { (found.st_uid, found.st_gid) } else { (0, 0) };
    hasher.update(format!("\0{:o} {} {} {}\0", found.st_mode, owner.0, owner.1, found.st_rdev).as_bytes());
    match kind {
        FileType::RegularFile => {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let mut file = File::from(openat(dir, name, flags, Mode::empty())?);
            hasher.update(format!("{}\0", found.st_size).as_bytes());
            let mut chunk = vec![0; 128 << 10];
            loop {
                match file.read(&mut chunk)? {
                    0 => return Ok(()),
                    n => hasher.update(&chunk[..n]),
                }
            }
        }
        FileType::Symlink => hasher.update(readlinkat(dir, name, Vec::new())?.as_bytes()),
        FileType::Directory => {
            if depth > MAX_DEPTH {
                return Err(io::Error::other("directories are nested too deeply"));
            }
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let inner = openat(dir, name, flags, Mode::empty())?;
            let mut names = Vec::new();
            for entry in Dir::read_from(&inner)? {
                let entry = entry?;
                if entry.file_name() != c"." && entry.file_name() != c".." {
                    names.push(entry.file_name().to_owned());
                }
            }
            names.sort();
            for name in names {
                hasher.update(name.as_bytes());
                hash(&inner, &name, owners, hasher, depth + 1)?;
            }
            hasher.update(b"\0end\0");
        }
        _ => {}
    }
    Ok(())
}
