//! Where an entry goes: its cleaned name, and its parent directory opened without leaving the layer.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{Mode, OFlags, ResolveFlags, mkdirat, openat2},
    io::Errno,
};

use crate::error::{Error, Result};
use crate::tarball::display;

/// An entry's name as components below the layer's root; empty for the root itself.
///
/// # Errors
/// Hostile when `..` would lead out.
pub fn clean(path: &[u8]) -> Result<Vec<u8>> {
    let mut clean: Vec<&[u8]> = Vec::new();
    for component in path.split(|b| *b == b'/') {
        match component {
            b"" | b"." => {}
            b".." => {
                if clean.pop().is_none() {
                    return Err(Error::Hostile { path: display(path), reason: "it leads out of the layer".into() });
                }
            }
            name => clean.push(name),
        }
    }
    Ok(clean.join(&b'/'))
}

/// Parent and last component of a cleaned name.
pub fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|b| *b == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

/// The layer's root, and the directory used last: archives list directories together.
pub struct Parents {
    root: OwnedFd,
    last: Option<(Vec<u8>, OwnedFd)>,
}

impl Parents {
    pub fn new(root: OwnedFd) -> Self {
        Self { root, last: None }
    }

    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// To be called when a directory was removed or replaced.
    pub fn forget(&mut self) {
        self.last = None;
    }

    /// Opens a directory of the layer, making it when it is missing.
    pub fn open(&mut self, path: &[u8]) -> Result<BorrowedFd<'_>> {
        if path.is_empty() {
            return Ok(self.root.as_fd());
        }
        if self.last.as_ref().is_none_or(|(last, _)| last != path) {
            let dir = match self.open_existing(path) {
                Err(Errno::NOENT) => self.make(path),
                result => result,
            };
            self.last = Some((path.to_vec(), dir.map_err(|errno| explain(path, errno))?));
        }
        match &self.last {
            Some((_, dir)) => Ok(dir.as_fd()),
            None => Ok(self.root.as_fd()),
        }
    }

    /// Opens a directory that must be there; symbolic links may lead to it as long as they stay inside.
    pub fn existing(&self, path: &[u8]) -> Result<OwnedFd> {
        self.open_existing(path).map_err(|errno| explain(path, errno))
    }

    fn open_existing(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let path = if path.is_empty() { b"." } else { path };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        openat2(&self.root, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty(), resolve)
    }

    /// Opens a directory by its own name: no symbolic links on the way.
    pub fn strictly(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let path = if path.is_empty() { b"." } else { path };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        openat2(&self.root, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty(), resolve)
    }

    fn make(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let ends = path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at).chain([path.len()]);
        let mut dir = self.open_existing(b"")?;
        for end in ends {
            let (_, name) = split(&path[..end]);
            match mkdirat(&dir, name, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
            dir = self.open_existing(&path[..end])?;
        }
        Ok(dir)
    }
}

fn explain(path: &[u8], errno: Errno) -> Error {
    let path = display(path);
    match errno {
        Errno::XDEV => Error::Hostile { path, reason: "a symbolic link on its way leads out of the layer".into() },
        Errno::LOOP => Error::Hostile { path, reason: "symbolic links on its way lead in circles".into() },
        errno => Error::Entry { path, source: io::Error::from(errno) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_cleaned_and_never_lead_out() {
        for (path, expected) in
            [("a/b", "a/b"), ("/a//b/", "a/b"), ("./a/./b", "a/b"), ("a/../b", "b"), ("./", ""), ("", "")]
        {
            assert_eq!(clean(path.as_bytes()).unwrap(), expected.as_bytes(), "{path}");
        }
        for path in ["..", "../a", "a/../..", "/..", "a/../../b"] {
            assert!(clean(path.as_bytes()).is_err(), "{path}");
        }
    }

    proptest! {
        #[test]
        fn a_clean_name_has_no_special_components(path in "[./a]{0,20}") {
            if let Ok(clean) = clean(path.as_bytes()) {
                let text = String::from_utf8(clean).unwrap();
                prop_assert!(text.is_empty() || text.split('/').all(|c| !matches!(c, "" | "." | "..")));
            }
        }
    }
}
