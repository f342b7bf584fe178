//! A container's files, by the archive part of the Docker API: containers that do not run, and those without a shell, too.
//!
//! | module | |
//! |---|---|
//! | this | one directory, with what changed since the container was created |
//! | [`content`] | the beginning of a file as text; text written back; a file or directory saved on this computer; an upload |
//!
//! Docker can only archive a directory with everything below it. Cubby's own engine has a listing of its own; of others the
//! archive is read until it would be too much, and what was seen by then is shown.

pub mod content;
mod direct;

use std::collections::BTreeMap;
use std::io::Read;

use bollard::Docker;
use bollard::models::{ChangeType, FilesystemChange};
use bollard::query_parameters::DownloadFromContainerOptionsBuilder;
use futures_util::StreamExt;
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::endpoint::Endpoint;
use super::errors::app_error;
use crate::schema::{AppError, FileChange, FileEntry, FileKind, FileListing};

/// Of an archive that is read for its names only.
const MAX_WALK_BYTES: u64 = 256 << 20;
const MAX_ENTRIES: usize = 20_000;

/// One directory.
pub async fn list(docker: &Docker, endpoint: &Endpoint, id: &str, path: &str) -> Result<FileListing, AppError> {
    const TITLE: &str = "The folder could not be opened";
    let path = clean(path);
    let (mut entries, cut) = match direct::directory(endpoint, id, &path).await {
        Some(Ok(found)) => found,
        Some(Err(detail)) => return Err(AppError::failed(TITLE, detail)),
        None => walk(docker, id, &path).await?,
    };
    // Some drivers cannot tell; a list without marks is still a list.
    let changes = docker.container_changes(id).await.ok().flatten().unwrap_or_default();
    mark(&mut entries, &path, &changes);
    entries.sort_by(|a, b| {
        let order = |entry: &FileEntry| (entry.kind != FileKind::Directory, entry.name.to_lowercase());
        order(a).cmp(&order(b)).then_with(|| a.name.cmp(&b.name))
    });
    let changes_total =
        changes.iter().filter(|change| change.kind != ChangeType::_0 || is_leaf(change, &changes)).count();
    Ok(FileListing { path, entries, cut, changes_total: u32::try_from(changes_total).unwrap_or(u32::MAX) })
}

/// A directory that changed only because something in it did is no change of its own.
fn is_leaf(change: &FilesystemChange, all: &[FilesystemChange]) -> bool {
    let below = format!("{}/", change.path.trim_end_matches('/'));
    !all.iter().any(|other| other.path.starts_with(&below))
}

/// Absolute, without `.`, `..` and slashes too many.
pub fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

fn mark(entries: &mut Vec<FileEntry>, directory: &str, changes: &[FilesystemChange]) {
    let prefix = format!("{}/", directory.trim_end_matches('/'));
    let mut marks: BTreeMap<&str, FileChange> = BTreeMap::new();
    for change in changes {
        let Some(rest) = change.path.strip_prefix(&prefix).filter(|rest| !rest.is_empty()) else { continue };
        match rest.split_once('/') {
            // Below one of ours: that one counts as changed, unless it is told more exactly.
            Some((name, _)) => drop(marks.entry(name).or_insert(FileChange::Changed)),
            None => {
                let kind = match change.kind {
                    ChangeType::_0 => FileChange::Changed,
                    ChangeType::_1 => FileChange::Added,
                    ChangeType::_2 => FileChange::Deleted,
                };
                marks.insert(rest, kind);
            }
        }
    }
    for entry in entries.iter_mut() {
        entry.change = marks.remove(entry.name.as_str());
    }
    let deleted = marks.into_iter().filter(|(_, change)| *change == FileChange::Deleted);
    entries.extend(deleted.map(|(name, change)| FileEntry {
        name: name.to_owned(),
        kind: FileKind::File,
        size_bytes: 0,
        mode: 0,
        modified_unix_ms: None,
        link_target: None,
        change: Some(change),
    }));
}

async fn walk(docker: &Docker, id: &str, path: &str) -> Result<(Vec<FileEntry>, bool), AppError> {
    const TITLE: &str = "The folder could not be opened";
    // With the dot a link to a directory is followed.
    let inside = format!("{}/.", path.trim_end_matches('/'));
    let archive = archive(docker, id, &inside);
    let walked = tokio::task::spawn_blocking(move || children(archive)).await;
    let walked = walked.map_err(|err| AppError::failed(TITLE, err.to_string()))?;
    walked.map_err(|err| match err.into_inner().and_then(|inner| inner.downcast::<bollard::errors::Error>().ok()) {
        Some(err) => app_error(TITLE, *err),
        None => AppError::failed(TITLE, "the engine's archive cannot be read"),
    })
}

/// The archive of a path, to be read on a blocking thread.
fn archive(docker: &Docker, id: &str, path: &str) -> impl Read + Send + use<> {
    let options = DownloadFromContainerOptionsBuilder::default().path(path).build();
    let (docker, id) = (docker.clone(), id.to_owned());
    let parts = async_stream(docker, id, options);
    SyncIoBridge::new(StreamReader::new(parts))
}

fn async_stream(
    docker: Docker,
    id: String,
    options: bollard::query_parameters::DownloadFromContainerOptions,
) -> impl futures_util::Stream<Item = std::io::Result<bytes::Bytes>> + Send + Unpin {
    let (parts, stream) = tokio::sync::mpsc::channel(4);
    tokio::spawn(async move {
        let mut source = docker.download_from_container(&id, Some(options)).boxed();
        while let Some(part) = source.next().await {
            if parts.send(part.map_err(std::io::Error::other)).await.is_err() {
                return;
            }
        }
    });
    Box::pin(futures_util::stream::unfold(stream, |mut stream| async move { Some((stream.recv().await?, stream)) }))
}

/// What is directly in the archive's directory.
fn children(archive: impl Read) -> std::io::Result<(Vec<FileEntry>, bool)> {
    let mut archive = tar::Archive::new(archive.take(MAX_WALK_BYTES));
    let mut found = Vec::new();
    for entry in archive.entries()? {
        let entry = match entry {
            Ok(entry) => entry,
            // Our own limit ends the archive in the middle.
            Err(err) if err.kind() == std::io::ErrorKind::UnexpectedEof || !found.is_empty() => {
                return Ok((found, true));
            }
            Err(err) => return Err(err),
        };
        if found.len() >= MAX_ENTRIES {
            return Ok((found, true));
        }
        let path = entry.path_bytes();
        let path = String::from_utf8_lossy(&path);
        let name = path.trim_start_matches("./").trim_start_matches('/').trim_end_matches('/');
        if name.is_empty() || name == "." || name.contains('/') {
            continue;
        }
        let header = entry.header();
        let kind = match header.entry_type() {
            tar::EntryType::Directory => FileKind::Directory,
            tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::Link => FileKind::File,
            tar::EntryType::Symlink => FileKind::Link,
            _ => FileKind::Other,
        };
        found.push(FileEntry {
            name: name.to_owned(),
            kind,
            size_bytes: entry.size(),
            mode: header.mode().unwrap_or_default() & 0o7777,
            modified_unix_ms: header.mtime().ok().map(|seconds| seconds.saturating_mul(1000)),
            link_target: entry.link_name_bytes().map(|name| String::from_utf8_lossy(&name).into_owned()),
            change: None,
        });
    }
    Ok((found, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str) -> FileEntry {
        let kind = FileKind::File;
        FileEntry {
            name: name.into(),
            kind,
            size_bytes: 0,
            mode: 0,
            modified_unix_ms: None,
            link_target: None,
            change: None,
        }
    }

    #[test]
    fn paths_stay_inside() {
        assert_eq!(clean("a//b/./../c/"), "/a/c");
        assert_eq!(clean("/../../.."), "/");
    }

    #[test]
    fn changes_are_marked_and_what_is_gone_is_listed() {
        let change = |path: &str, kind| FilesystemChange { path: path.into(), kind };
        let changes = [
            change("/etc", ChangeType::_0),
            change("/etc/new", ChangeType::_1),
            change("/etc/gone", ChangeType::_2),
            change("/etc/conf.d/deep", ChangeType::_1),
            change("/etcetera", ChangeType::_1),
        ];
        let mut entries = vec![entry("new"), entry("old"), entry("conf.d")];
        mark(&mut entries, "/etc", &changes);
        let marks: Vec<_> = entries.iter().map(|entry| (entry.name.as_str(), entry.change)).collect();
        assert_eq!(
            marks,
            [
                ("new", Some(FileChange::Added)),
                ("old", None),
                ("conf.d", Some(FileChange::Changed)),
                ("gone", Some(FileChange::Deleted)),
            ]
        );
        let mut root = vec![entry("etc"), entry("etcetera"), entry("usr")];
        mark(&mut root, "/", &changes);
        assert_eq!(root[0].change, Some(FileChange::Changed));
        assert_eq!(root[2].change, None);
    }

    #[test]
    fn an_archive_cut_short_shows_what_was_seen() {
        let mut builder = tar::Builder::new(Vec::new());
        for name in ["./a", "./sub/b", "./c"] {
            let mut header = tar::Header::new_gnu();
            header.set_size(2000);
            header.set_mode(0o640);
            builder.append_data(&mut header, name, [7_u8; 2000].as_slice()).unwrap();
        }
        let bytes = builder.into_inner().unwrap();
        let (all, cut) = children(bytes.as_slice()).unwrap();
        assert_eq!((all.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), cut), (vec!["a", "c"], false));
        assert_eq!(all[0].mode, 0o640);
        let (some, cut) = children(&bytes[..3000]).unwrap();
        assert_eq!((some.len(), cut), (1, true));
    }
}
