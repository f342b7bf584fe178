//! Applying tar entries to a directory.
//!
//! The archive is the only adversary: nobody else writes to a staging directory. So each entry's parent is resolved by
//! the kernel below the layer's root (`openat2`, see [`super::parents`]), and its last component is only ever created
//! anew or replaced, never followed.

use std::{
    ffi::OsStr,
    fs, io,
    io::{Read, Write},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd},
        unix::{ffi::OsStrExt, fs::FileExt},
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, FileType, Mode, OFlags, Timestamps, fstatvfs, futimens, linkat, makedev, mkdirat, mknodat, open,
        openat, statat, symlinkat, unlinkat,
    },
    io::Errno,
};

use super::{
    metadata,
    parents::{Parents, clean, split},
    split::{Shadows, Splitter},
    stream::Chunks,
    whiteout::{self, Mark},
};
use crate::{
    error::{Error, Result},
    limits::Limits,
    tarball::{Entry, Kind, TarReader, display},
};

/// Free space is looked at each time this much was written.
const SPACE_CHECK: u64 = 64 << 20;

pub type LayerReader = TarReader<Chunks, Splitter>;

/// Unpacks the stream into `layer_dir/diff`; returns the sum of the files' sizes.
pub fn unpack(chunks: Chunks, layer_dir: &Path, limits: &Limits) -> Result<u64> {
    let diff = layer_dir.join("diff");
    let root = open(&diff, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let root = root.map_err(|errno| Error::disk("open", &diff)(errno.into()))?;
    let mut reader = TarReader::new(chunks, Splitter::create(layer_dir)?, *limits, limits.layer_entries);
    let mut applier = Applier {
        parents: Parents::new(root),
        shadows: Shadows::new(layer_dir),
        limits: *limits,
        directories: Vec::new(),
        names_bytes: 0,
        files_bytes: 0,
        unchecked_bytes: SPACE_CHECK,
    };
    while let Some(entry) = reader.next_entry()? {
        applier.apply(&mut reader, &entry)?;
    }
    applier.set_directory_times()?;
    reader.into_recorder().finish().map_err(Error::disk("write", layer_dir))?;
    Ok(applier.files_bytes)
}

struct Applier {
    parents: Parents,
    shadows: Shadows,
    limits: Limits,
    /// Times of directories: set last, because making files in them changes them.
    directories: Vec<(Vec<u8>, Timestamps)>,
    names_bytes: u64,
    files_bytes: u64,
    unchecked_bytes: u64,
}

impl Applier {
    fn apply(&mut self, reader: &mut LayerReader, entry: &Entry) -> Result<()> {
        let path = clean(&entry.path)?;
        if path.is_empty() {
            return self.root(entry);
        }
        let (parent, name) = split(&path);
        let failed = |source| Error::Entry { path: entry.display_path(), source };
        match whiteout::mark(name) {
            Mark::None => {}
            Mark::Reserved => return Ok(()),
            Mark::Hostile => {
                return Err(Error::Hostile { path: entry.display_path(), reason: "a whiteout of nothing".into() });
            }
            Mark::Hides(name) => return whiteout::hide(self.parents.open(parent)?, name).map_err(failed),
            Mark::Opaque => return whiteout::make_opaque(self.parents.open(parent)?, None).map_err(failed),
        }
        match entry.kind {
            Kind::File => self.file(reader, entry, &path),
            Kind::Directory => self.directory(entry, path),
            Kind::HardLink => self.hard_link(entry, &path),
            Kind::Symlink => {
                self.anew(&path, entry, |parent| Ok(symlinkat(entry.link.as_slice(), parent, name)?))?;
                self.set_by_name(&path, entry)
            }
            Kind::CharDevice => self.node(entry, &path, FileType::CharacterDevice),
            Kind::BlockDevice => self.node(entry, &path, FileType::BlockDevice),
            Kind::Fifo => self.node(entry, &path, FileType::Fifo),
        }
    }

    /// The layer's own root directory.
    fn root(&mut self, entry: &Entry) -> Result<()> {
        if entry.kind != Kind::Directory {
            return Err(Error::Hostile {
                path: entry.display_path(),
                reason: "it would replace the layer's root".into(),
            });
        }
        metadata::set_by_name(self.parents.root(), b".", entry)
            .map_err(|source| Error::Entry { path: entry.display_path(), source })?;
        self.remember_directory(Vec::new(), entry)
    }

    fn file(&mut self, reader: &mut LayerReader, entry: &Entry, path: &[u8]) -> Result<()> {
        let name = split(path).1;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = self.anew(path, entry, |parent| Ok(openat(parent, name, flags, Mode::from_raw_mode(0o600))?))?;
        let mut file = fs::File::from(file);
        self.account(entry)?;
        match &entry.sparse {
            None => {
                reader.payload_to_file(path, |bytes| file.write_all(bytes).map_err(|e| self.write_error(entry, e)))?
            }
            Some(map) => self.sparse(reader, entry, map, &file)?,
        }
        metadata::set_on_file(file.as_fd(), entry).map_err(|e| self.write_error(entry, e))
    }

    fn sparse(&self, reader: &mut LayerReader, entry: &Entry, map: &[(u64, u64)], file: &fs::File) -> Result<()> {
        file.set_len(entry.size_bytes).map_err(|e| self.write_error(entry, e))?;
        let mut buffer = vec![0; 64 << 10];
        for (offset, len) in map {
            let (mut at, end) = (*offset, offset + len);
            while at < end {
                let n = buffer.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
                reader.payload().read_exact(&mut buffer[..n]).map_err(Error::read)?;
                file.write_all_at(&buffer[..n], at).map_err(|e| self.write_error(entry, e))?;
                at += n as u64;
            }
        }
        Ok(())
    }

    fn directory(&mut self, entry: &Entry, path: Vec<u8>) -> Result<()> {
        let failed = |source| Error::Entry { path: entry.display_path(), source };
        let (parent, name) = split(&path);
        let mode = Mode::from_raw_mode(0o700);
        let dir = self.parents.open(parent)?;
        match mkdirat(dir, name, mode) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                let found = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).map_err(|errno| failed(errno.into()))?;
                if !FileType::from_raw_mode(found.st_mode).is_dir() {
                    self.remove(&path).map_err(failed)?;
                    let dir = self.parents.open(parent)?;
                    mkdirat(dir, name, mode).map_err(|errno| failed(errno.into()))?;
                    // A whiteout and then a directory: what was below stays hidden.
                    if whiteout::is_whiteout(&found) {
                        whiteout::make_opaque(dir, Some(name)).map_err(failed)?;
                    }
                }
            }
            Err(errno) => return Err(failed(errno.into())),
        }
        self.set_by_name(&path, entry)?;
        self.remember_directory(path, entry)
    }

    fn hard_link(&mut self, entry: &Entry, path: &[u8]) -> Result<()> {
        let target = clean(&entry.link).map_err(|_| Error::Hostile {
            path: entry.display_path(),
            reason: "its hard link leads out of the layer".into(),
        })?;
        if target == path {
            return Ok(());
        }
        let (target_parent, target_name) = split(&target);
        let target_dir = self.parents.existing(target_parent)?;
        let name = split(path).1;
        self.anew(path, entry, |parent| Ok(linkat(&target_dir, target_name, parent, name, AtFlags::empty())?)).map(drop)
    }

    fn node(&mut self, entry: &Entry, path: &[u8], kind: FileType) -> Result<()> {
        let number = |n: u64| u32::try_from(n).map_err(|_| Error::Archive("device number out of range".into()));
        let device = makedev(number(entry.device.0)?, number(entry.device.1)?);
        let name = split(path).1;
        self.anew(path, entry, |parent| Ok(mknodat(parent, name, kind, Mode::from_raw_mode(0o600), device)?))?;
        self.set_by_name(path, entry)
    }

    fn set_by_name(&mut self, path: &[u8], entry: &Entry) -> Result<()> {
        let (parent, name) = split(path);
        let done = metadata::set_by_name(self.parents.open(parent)?, name, entry);
        done.map_err(|source| self.write_error(entry, source))
    }

    /// Runs `make`, which creates the last component; what is there already gives way.
    fn anew<T>(&mut self, path: &[u8], entry: &Entry, make: impl Fn(BorrowedFd<'_>) -> io::Result<T>) -> Result<T> {
        let parent = split(path).0;
        let made = match make(self.parents.open(parent)?) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.remove(path).and_then(|()| {
                let parent = self.parents.open(parent).map_err(io::Error::other)?;
                make(parent)
            }),
            made => made,
        };
        made.map_err(|source| self.write_error(entry, source))
    }

    /// Removes what is at `path`, keeping file contents for the rebuilt stream.
    fn remove(&mut self, path: &[u8]) -> io::Result<()> {
        let (parent, name) = split(path);
        let dir = self.parents.open(parent).map_err(io::Error::other)?;
        let found = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let on_disk = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(OsStr::from_bytes(name));
        match FileType::from_raw_mode(found.st_mode) {
            FileType::Directory => {
                keep_tree(&mut self.shadows, &on_disk, path)?;
                fs::remove_dir_all(&on_disk)?;
                self.parents.forget();
                Ok(())
            }
            FileType::RegularFile => self.shadows.keep(&on_disk, path),
            _ => Ok(unlinkat(dir, name, AtFlags::empty())?),
        }
    }

    /// Counts a file, and sees to it that the disk does not fill up.
    fn account(&mut self, entry: &Entry) -> Result<()> {
        self.files_bytes = self.files_bytes.saturating_add(entry.size_bytes);
        self.unchecked_bytes = self.unchecked_bytes.saturating_add(entry.payload_bytes);
        if self.unchecked_bytes < SPACE_CHECK {
            return Ok(());
        }
        self.unchecked_bytes = 0;
        let free = self.free_bytes().unwrap_or(u64::MAX);
        if free.saturating_sub(entry.payload_bytes) < self.limits.reserve_bytes {
            return Err(Error::DiskFull { free_mib: free >> 20 });
        }
        Ok(())
    }

    fn free_bytes(&self) -> Option<u64> {
        let root = self.parents.strictly(b"").ok()?;
        let space = fstatvfs(&root).ok()?;
        Some(space.f_bavail.saturating_mul(space.f_frsize))
    }

    fn write_error(&self, entry: &Entry, source: io::Error) -> Error {
        if source.kind() == io::ErrorKind::StorageFull {
            return Error::DiskFull { free_mib: self.free_bytes().unwrap_or(0) >> 20 };
        }
        // Why: making room for an entry may have failed for one of our own reasons.
        match source.downcast::<Error>() {
            Ok(ours) => ours,
            Err(source) => Error::Entry { path: entry.display_path(), source },
        }
    }

    fn remember_directory(&mut self, path: Vec<u8>, entry: &Entry) -> Result<()> {
        self.names_bytes += path.len() as u64 + 64;
        if self.names_bytes > self.limits.names_bytes {
            return Err(Error::Limit("too many directories".into()));
        }
        self.directories.push((path, metadata::times(entry)));
        Ok(())
    }

    fn set_directory_times(&mut self) -> Result<()> {
        for (path, times) in std::mem::take(&mut self.directories) {
            match self.parents.strictly(&path) {
                Ok(dir) => {
                    futimens(&dir, &times).map_err(|e| Error::Entry { path: display(&path), source: e.into() })?
                }
                // It was replaced by a later entry.
                Err(_) => continue,
            }
        }
        Ok(())
    }
}

/// Keeps the contents of every file below a directory that is about to go.
fn keep_tree(shadows: &mut Shadows, dir: &Path, path: &[u8]) -> io::Result<()> {
    for item in fs::read_dir(dir)? {
        let item = item?;
        let inner = [path, b"/", item.file_name().as_bytes()].concat();
        let kind = item.file_type()?;
        if kind.is_dir() {
            keep_tree(shadows, &item.path(), &inner)?;
        } else if kind.is_file() {
            shadows.keep(&item.path(), &inner)?;
        }
    }
    Ok(())
}
