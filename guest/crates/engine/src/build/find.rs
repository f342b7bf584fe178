//! Finding what a `COPY` or `ADD` copies, by name or pattern.
//!
//! Every path is resolved below its root, so that a link in a context or an image leads nowhere else.
//! Source: moby builder/dockerfile/copy.go.

use std::{
    fs::File,
    io::{self, Read},
};

use cubby_build::glob;
use cubby_image::{Digest, digest::Hasher};
use rustix::fs::{AtFlags, Dir, FileType, Stat, readlinkat, statat};

use super::{
    copy::{Wanted, label},
    fingerprint::fingerprint,
};
use crate::{
    containers::{files::Files, mounts::clean},
    error::{Error, Result},
};

/// Links that lead to links.
const MAX_LINKS: usize = 40;

/// What a `COPY` copies.
pub struct Found {
    pub items: Vec<Item>,
    pub digest: Digest,
    /// Nothing was asked for here.
    pub is_nothing: bool,
}

pub struct Item {
    /// Absolute below the root; no link.
    pub path: String,
    /// The last part of what was asked for.
    pub name: String,
    pub kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Directory,
    File,
    /// A file that is unpacked instead of copied.
    Archive,
}

/// What the history calls what was found in several places: `file:<digest>`, `dir:<digest>` or `multi:<digest>`.
pub fn label_of<'a>(found: impl Iterator<Item = &'a Found>) -> String {
    let (mut kinds, mut digests) = (Vec::new(), Vec::new());
    for found in found.filter(|found| !found.is_nothing) {
        kinds.extend(found.items.iter().map(|item| item.kind));
        digests.push(found.digest);
    }
    let digest = match digests.as_slice() {
        [one] => *one,
        several => several
            .iter()
            .fold(Hasher::new(), |mut hasher, digest| {
                hasher.update(digest.to_string().as_bytes());
                hasher
            })
            .finish(),
    };
    match kinds.as_slice() {
        [Kind::Directory] => label("dir", &digest),
        [_] => label("file", &digest),
        _ => label("multi", &digest),
    }
}

/// Blocks.
///
/// # Errors
/// Files that are not there, paths that lead out.
pub fn find(files: &Files, wanted: &Wanted) -> Result<Found> {
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
    Ok(Found { items, digest, is_nothing: wanted.sources.is_empty() && wanted.documents.is_empty() })
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
            if is_archive(file) { Kind::Archive } else { Kind::File }
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
fn is_archive(file: File) -> bool {
    let Ok(plain) = cubby_image::layer::decoder(file) else { return false };
    let mut block = Vec::with_capacity(512);
    if plain.take(512).read_to_end(&mut block).is_err() || block.len() < 512 {
        return false;
    }
    let mut header = tar::Header::new_old();
    header.as_mut_bytes().copy_from_slice(&block);
    let said = header.cksum().ok();
    header.set_cksum();
    block.iter().any(|byte| *byte != 0) && said == header.cksum().ok()
}
