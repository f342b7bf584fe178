//! Putting what was found from one root into another, by the same rules as any archive.

use std::{
    ffi::{CString, OsStr},
    io::{self, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    thread,
};

use rustix::fs::{AtFlags, FileType, Gid, Mode, Uid, chownat, mkdirat};

use super::{
    copy::Wanted,
    find::{Found, Item, Kind},
};
use crate::{
    containers::{
        files::{Files, TreeWriter, Unpack, unpack},
        mounts::clean,
        users::Accounts,
    },
    error::{Error, Result},
};

/// Puts what was found where it is wanted. Blocks.
pub fn put(source: &Files, wanted: &Wanted, found: &Found, target: &Files) -> Result<()> {
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
        Unpack { into: into.to_owned(), keep_kinds: true, owner, mode: self.wanted.chmod, ..Unpack::default() }
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
pub fn make_directory(files: &Files, path: &str, owner: Option<(u32, u32)>) -> Result<()> {
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
    use super::{super::find::find, *};

    fn wanted(sources: &[&str], destination: &str) -> Wanted {
        Wanted {
            keyword: "COPY",
            sources: sources.iter().map(|&source| source.to_owned()).collect(),
            addresses: Vec::new(),
            checksum: None,
            documents: Vec::new(),
            destination: destination.to_owned(),
            written: destination.to_owned(),
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
