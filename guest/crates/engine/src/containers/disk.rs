//! What a container has on disk.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use cubby_image::snapshot::{self, Access};
use std::os::fd::OwnedFd;

use super::{Containers, model::Record};
use crate::error::{Error, Result};

impl Containers {
    /// The log's file; `none` and the like have none.
    pub(super) fn log_path(&self, record: &Record) -> Option<PathBuf> {
        let directory = self.directory(&record.id);
        match record.host_config.log_config.driver.as_str() {
            "none" => None,
            "local" => Some(directory.join("local-logs").join("container.log")),
            _ => Some(directory.join(format!("{}-json.log", record.id))),
        }
    }

    /// Image layers, topmost first.
    pub(super) fn lowers(&self, record: &Record) -> Result<Vec<PathBuf>> {
        if record.image_id.is_empty() {
            return Ok(vec![self.parts.config.data_root.join("layers").join("empty")]);
        }
        let image = self.image_of(record);
        let image = image.ok_or_else(|| Error::not_found(format!("No such image: {}", record.image_id)))?;
        Ok(image.lower_dirs.to_vec())
    }

    /// The container's root filesystem, attached nowhere. Blocking.
    ///
    /// Of a running container it is a second mount of the same layers; overlayfs warns about that, so those are reached
    /// through their process instead where that can be.
    pub(super) fn mount_root(&self, record: &Record) -> Result<OwnedFd> {
        let directory = self.directory(&record.id);
        let (upper, work) = (directory.join("upper"), directory.join("work"));
        snapshot::mount_detached(&self.lowers(record)?, Access::Writable { upper: &upper, work: &work })
            .map_err(|source| Error::system("mount the container's root filesystem", source))
    }

    /// Bytes in the writable layer, and with the image's. Blocking.
    pub(super) fn sizes(&self, record: &Record) -> (i64, i64) {
        let own = tree_bytes(&self.directory(&record.id).join("upper"));
        let image = self.image_of(record).map_or(0, |image| image.size_bytes);
        (own as i64, (own + image) as i64)
    }

    /// Takes `DATA/containers/<id>` out of sight; its files go in the background.
    pub(super) async fn remove_directory(&self, id: &str) -> bool {
        let (directory, trash) = (self.directory(id), self.trash());
        let hidden = trash.join(id);
        let moved = tokio::task::spawn_blocking(move || {
            fs::create_dir_all(&trash)?;
            match fs::rename(&directory, trash.join(directory.file_name().unwrap_or_default())) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                moved => moved,
            }
        });
        match moved.await.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(()) => {
                tokio::task::spawn_blocking(move || empty(&hidden));
                true
            }
            Err(error) => {
                tracing::error!(container_id = id, err = %error, "container directory could not be removed");
                false
            }
        }
    }

    fn trash(&self) -> PathBuf {
        self.parts.config.data_root.join("containers-trash")
    }

    /// Removes what a crash kept from being removed.
    pub(super) fn empty_trash(&self) {
        let trash = self.trash();
        tokio::task::spawn_blocking(move || {
            for entry in fs::read_dir(&trash).into_iter().flatten().flatten() {
                empty(&entry.path());
            }
        });
    }
}

fn empty(directory: &Path) {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %directory.display(), err = %error, "files of a removed container stay");
        }
        _ => {}
    }
}

/// Sum of the sizes of the files below, each inode once.
fn tree_bytes(directory: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let mut seen = std::collections::HashSet::new();
    let (mut total, mut stack) = (0, vec![directory.to_owned()]);
    while let Some(directory) = stack.pop() {
        let Ok(entries) = fs::read_dir(directory) else { continue };
        for entry in entries.flatten() {
            let Ok(found) = entry.path().symlink_metadata() else { continue };
            if found.is_dir() {
                stack.push(entry.path());
            } else if found.nlink() < 2 || seen.insert((found.dev(), found.ino())) {
                total += if found.is_file() { found.len() } else { 0 };
            }
        }
    }
    total
}
