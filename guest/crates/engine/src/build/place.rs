//! Files from one root to another: finding them by name or pattern, telling whether they changed, putting them in place.
//!
//! Every path is resolved below its root, so that a link in a context or an image leads nowhere else. Times do not count
//! in the comparison: a fresh checkout is the same context. Source: moby builder/dockerfile/copy.go.

use std::{
    ffi::{CString, OsStr},
    fs::File,
    io::{self, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    thread,
};

use cubby_build::glob;
use cubby_image::{Digest, digest::Hasher};
use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Uid, chownat, mkdirat, openat, readlinkat, statat};

use super::copy::{Wanted, label};
use crate::{
    containers::{
        files::{Files, TreeWriter, Unpack, unpack},
        mounts::clean,
        users::Accounts,
    },
    error::{Error, Result},
};

/// Links that lead to links.
const MAX_LINKS: usize = 40;
/// Directories within directories.
const MAX_DEPTH: usize = 256;

/// What a `COPY` copies.
pub(super) struct Found {
    items: Vec<Item>,
    digest: Digest,
}

struct Item {
    /// Absolute below the root; no link.
    path: String,
    /// The last part of what was asked for.
    name: String,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Directory,
    File,
    /// A file that is unpacked instead of copied.
    Archive,
}

impl Found {
    /// `file:<digest>`, `dir:<digest>` or `multi:<digest>`.
    pub fn label(&self) -> String {
        match self.items.as_slice() {
            [one] if one.kind == Kind::Directory => label("dir", &self.digest),
            [_] => label("file", &self.digest),
            _ => label("multi", &self.digest),
        }
    }
}

/// Blocks.
///
/// # Errors
/// Files that are not there, paths that lead out.
pub(super) fn find(files: &Files, wanted: &Wanted) -> Result<Found> {
    let mut items = Vec::new();
    for source in &wanted.sources {
        if leads_out(source) && !wanted.keeps_owners {
            return Err(failed(wanted, format!("forbidden path outside the build context: {source} ()")));
        }
        let before = items.len();
        let path = clean(source);
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        expand(files, wanted, "", &parts, &mut items)?;
        if items.len() == before {
            return Err(failed(wanted, "no source files were specified".to_owned()));
        }
    }
    let digest =
        fingerprint(files, wanted, &items).map_err(|source| Error::system("read the files to copy", source))?;
    Ok(Found { items, digest })
}

fn failed(wanted: &Wanted, reason: String) -> Error {
    Error::invalid(format!("{} failed: {reason}", wanted.keyword))
}

/// True when the path climbs above where it begins.
fn leads_out(path: &str) -> bool {
    let mut depth = 0_i32;
    path.split('/').any(|part| {
        depth += match part {
            "" | "." => 0,
            ".." => -1,
            _ => 1,
        };
        depth < 0
    })
}

fn expand(files: &Files, wanted: &Wanted, dir: &str, parts: &[&str], items: &mut Vec<Item>) -> Result<()> {
    let Some((first, rest)) = parts.split_first() else {
        return item(files, wanted, dir, items);
    };
    if !glob::is_pattern(first) {
        let plain: String = unescaped(first);
        let path = format!("{dir}/{plain}");
        if rest.is_empty() { item(files, wanted, &path, items) } else { expand(files, wanted, &path, rest, items) }
    } else {
        let names = match names(files, dir) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(());
            }
            names => names.map_err(|source| Error::system(format!("read {dir}"), source))?,
        };
        for name in names.iter().filter(|name| glob::matches(first, name)) {
            let path = format!("{dir}/{name}");
            if rest.is_empty() {
                item(files, wanted, &path, items)?
            } else {
                expand(files, wanted, &path, rest, items)?
            }
        }
        Ok(())
    }
}

fn unescaped(part: &str) -> String {
    let mut out = String::new();
    let mut characters = part.chars();
    while let Some(c) = characters.next() {
        out.push(if c == '\\' { characters.next().unwrap_or(c) } else { c });
    }
    out
}

/// Sorted.
fn names(files: &Files, dir: &str) -> io::Result<Vec<String>> {
    let directory = files.read(if dir.is_empty() { "/" } else { dir })?;
    let mut names = Vec::new();
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            names.push(name.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn item(files: &Files, wanted: &Wanted, path: &str, items: &mut Vec<Item>) -> Result<()> {
    let name = path.rsplit('/').next().unwrap_or_default().to_owned();
    let (path, found) = resolve(files, path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => failed(
            wanted,
            format!(
                "file not found in build context or excluded by .dockerignore: stat {}: file does not exist",
                path.trim_start_matches('/')
            ),
        ),
        _ => Error::system(format!("look at {path}"), error),
    })?;
    let kind = match FileType::from_raw_mode(found.st_mode) {
        FileType::Directory => Kind::Directory,
        FileType::RegularFile if wanted.unpacks => {
            let file = files.read(&path).map_err(|source| Error::system(format!("read {path}"), source))?;
            if is_archive(file, wanted, &path)? { Kind::Archive } else { Kind::File }
        }
        _ => Kind::File,
    };
    items.push(Item { path, name, kind });
    Ok(())
}

/// The place that a path leads to, its last part not being a link.
fn resolve(files: &Files, path: &str) -> io::Result<(String, Stat)> {
    let mut path = clean(path);
    for _ in 0..MAX_LINKS {
        let place = files.place(&path)?;
        let found = statat(&place.directory, place.file(), AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(found.st_mode) != FileType::Symlink {
            return Ok((path, found));
        }
        let target = readlinkat(&place.directory, place.file(), Vec::new())?;
        let target = target.to_string_lossy().into_owned();
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        path = if target.starts_with('/') { clean(&target) } else { clean(&format!("{parent}/{target}")) };
    }
    Err(rustix::io::Errno::LOOP.into())
}

/// A tar, compressed or not. Source: moby pkg/archive `IsArchivePath`.
fn is_archive(mut file: File, wanted: &Wanted, path: &str) -> Result<bool> {
    let read = |source: io::Error| Error::system(format!("read {path}"), source);
    let mut magic = [0; 6];
    let n = file.read(&mut magic).map_err(read)?;
    let start = &magic[..n];
    if start.starts_with(b"BZh") || start.starts_with(b"\xfd7zXZ") {
        return Err(failed(
            wanted,
            format!("{path}: archives compressed with bzip2 or xz are not unpacked: use gzip or zstd"),
        ));
    }
    let whole = io::Cursor::new(start.to_vec()).chain(file);
    let Ok(plain) = cubby_image::layer::decoder(whole) else { return Ok(false) };
    let mut block = Vec::with_capacity(512);
    if plain.take(512).read_to_end(&mut block).is_err() || block.len() < 512 {
        return Ok(false);
    }
    let mut header = tar::Header::new_old();
    header.as_mut_bytes().copy_from_slice(&block);
    let said = header.cksum().ok();
    header.set_cksum();
    Ok(block.iter().any(|byte| *byte != 0) && said == header.cksum().ok())
}

/// Names, kinds, permissions and contents. The digest is the same whatever order a directory lists its files in.
fn fingerprint(files: &Files, wanted: &Wanted, items: &[Item]) -> io::Result<Digest> {
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

/// Puts what was found where it is wanted. Blocks.
pub(super) fn put(source: &Files, wanted: &Wanted, found: &Found, target: &Files) -> Result<()> {
    let owner = match &wanted.chown {
        Some(owner) => Some(owner_of(target, owner)?),
        None if wanted.keeps_owners => None,
        None => Some((0, 0)),
    };
    let into_directory = wanted.into_directory || is_directory(target, &wanted.destination);
    for item in &found.items {
        let place = Place { wanted, owner, into_directory };
        place.item(source, item, target)?;
    }
    for document in &wanted.documents {
        Place { wanted, owner, into_directory }.document(&document.name, document.text.as_bytes(), target)?;
    }
    Ok(())
}

fn is_directory(files: &Files, path: &str) -> bool {
    let found = files.open(path).and_then(|place| Ok(rustix::fs::fstat(&place)?));
    found.is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Directory)
}

/// `user`, `user:group`, by name or number. A user alone gives its number to the group, too.
fn owner_of(target: &Files, owner: &str) -> Result<(u32, u32)> {
    let accounts =
        Accounts::read(target.root()).map_err(|source| Error::system("read the image's accounts", source))?;
    let user = accounts.resolve(owner, &[]).map_err(|reason| {
        Error::invalid(format!("unable to convert uid/gid chown string to host mapping: {reason}"))
    })?;
    Ok((user.uid, if owner.contains(':') { user.gid } else { user.uid }))
}

struct Place<'a> {
    wanted: &'a Wanted,
    owner: Option<(u32, u32)>,
    into_directory: bool,
}

impl Place<'_> {
    fn item(&self, source: &Files, item: &Item, target: &Files) -> Result<()> {
        let read = |error: io::Error| Error::system(format!("read {}", item.path), error);
        match item.kind {
            Kind::Archive => {
                make_directory(target, &self.wanted.destination, self.owner)?;
                let archive = source.read(&item.path).map_err(read)?;
                // Why without owners of ours: an archive brings its own, unless the user says otherwise.
                let owner = self.wanted.chown.as_ref().and(self.owner);
                unpack(target, archive, &self.unpacking(&self.wanted.destination, owner))
            }
            Kind::Directory => {
                make_directory(target, &self.wanted.destination, self.owner)?;
                let directory = OwnedFd::from(source.read(&item.path).map_err(read)?);
                self.through(target, &self.wanted.destination, |tree| tree.add_contents(directory.as_fd(), b""))
            }
            Kind::File => {
                let (parent, name) = self.destination(&item.name);
                make_directory(target, &parent, self.owner)?;
                let place = source.place(&item.path).map_err(read)?;
                let file = CString::new(place.file()).map_err(|error| read(io::Error::other(error)))?;
                self.through(target, &parent, |tree| tree.add(place.directory.as_fd(), &file, name.as_bytes()))
            }
        }
    }

    fn document(&self, name: &str, text: &[u8], target: &Files) -> Result<()> {
        let (parent, name) = self.destination(name);
        make_directory(target, &parent, self.owner)?;
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        let made = archive
            .append_data(&mut header, OsStr::from_bytes(name.as_bytes()), text)
            .and_then(|()| archive.into_inner());
        let archive = made.map_err(|source| Error::system(format!("write {name}"), source))?;
        unpack(target, archive.as_slice(), &self.unpacking(&parent, self.owner))
    }

    /// Directory and name of a single file.
    fn destination(&self, name: &str) -> (String, String) {
        let whole = &self.wanted.destination;
        if self.into_directory {
            return (whole.clone(), name.to_owned());
        }
        let (parent, last) = whole.rsplit_once('/').unwrap_or(("", whole));
        (if parent.is_empty() { "/".to_owned() } else { parent.to_owned() }, last.to_owned())
    }

    fn unpacking(&self, into: &str, owner: Option<(u32, u32)>) -> Unpack {
        Unpack { into: into.to_owned(), keep_kinds: true, owner, mode: self.wanted.chmod }
    }

    /// One side writes an archive, the other unpacks it: the same rules as everywhere for what may be made of one.
    fn through(
        &self,
        target: &Files,
        into: &str,
        write: impl FnOnce(&mut TreeWriter<&mut dyn Write>) -> io::Result<()> + Send,
    ) -> Result<()> {
        let (reader, writer) = io::pipe().map_err(|source| Error::system("make a pipe", source))?;
        thread::scope(|scope| {
            let writing = scope.spawn(move || {
                let mut out = io::BufWriter::with_capacity(64 << 10, writer);
                let mut tree = TreeWriter::new(&mut out as &mut dyn Write);
                write(&mut tree)?;
                tree.finish()
            });
            let unpacked = unpack(target, reader, &self.unpacking(into, self.owner));
            let written = writing.join().map_err(|_| Error::internal("reading the files to copy failed"))?;
            unpacked?;
            written.map_err(|source| Error::system("read the files to copy", source))
        })
    }
}

/// Makes a directory and those above it; new ones belong to `owner`, or to root. Blocks.
pub(super) fn make_directory(files: &Files, path: &str, owner: Option<(u32, u32)>) -> Result<()> {
    let failed = |error: io::Error| Error::system(format!("make the directory {path}"), error);
    let (uid, gid) = owner.unwrap_or((0, 0));
    let mut done = String::from("/");
    for part in clean(path).split('/').filter(|part| !part.is_empty()) {
        let parent = files.open(&done).map_err(failed)?;
        match mkdirat(&parent, part, Mode::from_raw_mode(0o755)) {
            Ok(()) => {
                chownat(&parent, part, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(|error| failed(error.into()))?;
            }
            Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(failed(error.into())),
        }
        done = format!("{}/{part}", done.trim_end_matches('/'));
    }
    if is_directory(files, path) { Ok(()) } else { Err(failed(io::ErrorKind::NotADirectory.into())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(sources: &[&str], destination: &str) -> Wanted {
        Wanted {
            keyword: "COPY",
            sources: sources.iter().map(|&source| source.to_owned()).collect(),
            documents: Vec::new(),
            destination: destination.to_owned(),
            into_directory: destination.ends_with('/'),
            chown: None,
            chmod: None,
            keeps_owners: false,
            unpacks: false,
        }
    }

    fn context() -> (tempfile::TempDir, Files) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("src/deep")).unwrap();
        for (name, text) in [("a.txt", "a"), ("b.txt", "b"), ("src/c.txt", "c"), ("src/deep/d", "d")] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("evil")).unwrap();
        std::os::unix::fs::symlink("src/c.txt", dir.path().join("link")).unwrap();
        let files = Files::at(dir.path()).unwrap();
        (dir, files)
    }

    fn copied(wanted: &Wanted) -> Result<tempfile::TempDir> {
        let (_context, files) = context();
        let out = tempfile::tempdir().unwrap();
        let found = find(&files, wanted)?;
        put(&files, wanted, &found, &Files::at(out.path()).unwrap())?;
        Ok(out)
    }

    fn read(out: &tempfile::TempDir, path: &str) -> Option<String> {
        std::fs::read_to_string(out.path().join(path)).ok()
    }

    #[test]
    fn files_directories_patterns_and_links() {
        let out = copied(&wanted(&["a.txt"], "/new/name")).unwrap();
        assert_eq!(read(&out, "new/name").as_deref(), Some("a"));
        let out = copied(&wanted(&["*.txt"], "/to/")).unwrap();
        assert_eq!((read(&out, "to/a.txt").as_deref(), read(&out, "to/b.txt").as_deref()), (Some("a"), Some("b")));
        let out = copied(&wanted(&["src"], "/to")).unwrap();
        assert_eq!((read(&out, "to/c.txt").as_deref(), read(&out, "to/deep/d").as_deref()), (Some("c"), Some("d")));
        let out = copied(&wanted(&["link"], "/to/")).unwrap();
        assert_eq!(read(&out, "to/link").as_deref(), Some("c"));
        let out = copied(&wanted(&["s?c/[a-c]*"], "/to/")).unwrap();
        assert_eq!(read(&out, "to/c.txt").as_deref(), Some("c"));
    }

    #[test]
    fn nothing_outside_the_context_is_copied() {
        let refused = |sources: &[&str]| copied(&wanted(sources, "/to/")).unwrap_err().message().to_owned();
        assert_eq!(refused(&["../x"]), "COPY failed: forbidden path outside the build context: ../x ()");
        assert!(refused(&["evil"]).starts_with("COPY failed: file not found in build context"));
        assert!(refused(&["none"]).ends_with("stat none: file does not exist"));
        assert_eq!(refused(&["none*"]), "COPY failed: no source files were specified");
    }

    #[test]
    fn the_digest_follows_contents_and_not_times() {
        let (dir, files) = context();
        let digest = || find(&files, &wanted(&["."], "/")).unwrap().digest;
        let before = digest();
        std::fs::File::open(dir.path().join("a.txt")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        assert_eq!(digest(), before);
        std::fs::write(dir.path().join("src/deep/d"), "e").unwrap();
        assert_ne!(digest(), before);
    }

    #[test]
    fn archives_are_told_from_other_files() {
        let dir = tempfile::tempdir().unwrap();
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        header.set_mode(0o600);
        archive.append_data(&mut header, "inside", &b"x"[..]).unwrap();
        std::fs::write(dir.path().join("a.tar"), archive.into_inner().unwrap()).unwrap();
        std::fs::write(dir.path().join("zeros"), [0; 2048]).unwrap();
        let files = Files::at(dir.path()).unwrap();
        let out = tempfile::tempdir().unwrap();
        let wanted = Wanted { unpacks: true, keyword: "ADD", ..wanted(&["a.tar", "zeros"], "/to/") };
        let found = find(&files, &wanted).unwrap();
        put(&files, &wanted, &found, &Files::at(out.path()).unwrap()).unwrap();
        assert_eq!(read(&out, "to/inside").as_deref(), Some("x"));
        assert!(out.path().join("to/zeros").is_file());
    }
}
