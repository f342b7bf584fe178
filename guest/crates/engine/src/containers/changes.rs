//! Changes: what a container's writable layer adds, changes and hides. Source: moby pkg/archive changes, overlay2.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::Path,
};

use serde::Serialize;

use super::{Containers, files::Files};
use crate::error::{Error, Result};

/// Directories within directories.
const MAX_DEPTH: usize = 256;

/// Made by the engine, not by the container. Source: moby daemon/initlayer.
const OURS: &[&str] = &[
    "/dev/pts",
    "/dev/shm",
    "/dev/mqueue",
    "/dev/console",
    "/proc",
    "/sys",
    "/.dockerenv",
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/hostname",
    "/etc/mtab",
    "/dev",
];

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    #[serde(rename = "Path")]
    pub path: String,
    /// 0 changed, 1 added, 2 deleted.
    #[serde(rename = "Kind")]
    pub kind: u8,
}

impl Containers {
    /// Blocking.
    pub fn changes(&self, name: &str) -> Result<Vec<Change>> {
        let container = self.find(name)?;
        let record = container.record();
        let before = self.image_files(&record)?;
        let upper = self.directory(&record.id).join("upper");
        let mut changes = Vec::new();
        walk(&upper, "", &before, 0, &mut changes).map_err(|source| Error::system("read the changes", source))?;
        changes.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(changes)
    }
}

/// What a directory of the writable layer has in it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Nothing,
    /// What the engine made.
    OursAlone,
    Theirs,
}

fn walk(directory: &Path, shown: &str, before: &Files, depth: usize, changes: &mut Vec<Change>) -> io::Result<Inside> {
    if depth > MAX_DEPTH {
        return Ok(Inside::Nothing);
    }
    let mut inside = Inside::Nothing;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let path = format!("{shown}/{}", entry.file_name().to_string_lossy());
        let found = entry.path().symlink_metadata()?;
        let existed = before.place(&path).is_ok_and(|place| {
            rustix::fs::statat(&place.directory, place.file(), rustix::fs::AtFlags::SYMLINK_NOFOLLOW).is_ok()
        });
        let hidden = found.file_type().is_char_device() && found.rdev() == 0;
        let place = changes.len();
        let own = if found.is_dir() {
            // Why before its children's: they decide whether a directory of the image has changed at all.
            match walk(&entry.path(), &path, before, depth + 1, changes)? {
                Inside::Theirs => true,
                Inside::OursAlone => false,
                // An empty directory: new, or one whose own attributes have changed.
                Inside::Nothing => !OURS.contains(&path.as_str()),
            }
        } else {
            !OURS.contains(&path.as_str())
        };
        if own {
            let kind = if hidden { 2 } else { u8::from(!existed) };
            changes.insert(place, Change { path, kind });
            inside = Inside::Theirs;
        } else if inside == Inside::Nothing {
            inside = Inside::OursAlone;
        }
    }
    Ok(inside)
}
