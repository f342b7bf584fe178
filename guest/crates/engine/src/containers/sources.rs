//! Mounts of a container that starts: sources found or made, options translated.

use std::{
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use super::{model::MountRecord, mounts::clean, spec::ReadyMount};
use crate::error::{Error, Result};

/// A mount with its source in place. `volume`: the directory of the mount's volume.
pub(super) async fn ready(mount: &MountRecord, volume: Option<PathBuf>) -> Result<ReadyMount> {
    let mount = mount.clone();
    let made = tokio::task::spawn_blocking(move || match mount.point.kind.as_str() {
        "tmpfs" => Ok(tmpfs_spec(&mount)),
        "volume" => {
            let root = volume.ok_or_else(|| Error::internal("a volume mount without its volume"))?;
            let subpath = mount.spec.volume_options.as_ref().map_or("", |options| &options.subpath);
            let source = if subpath.is_empty() { root } else { below(&root, subpath)? };
            Ok(bind(&mount, source))
        }
        _ => {
            let source = PathBuf::from(&mount.point.source);
            if !source.exists() {
                if !mount.create_source {
                    return Err(super::mounts::no_bind_source(&mount.point.source));
                }
                std::fs::create_dir_all(&source).map_err(|error| {
                    Error::system(format!("error while creating mount source path '{}'", mount.point.source), error)
                })?;
            }
            Ok(bind(&mount, source))
        }
    });
    made.await.map_err(|error| Error::internal(format!("mount: {error}")))?
}

pub(super) fn bind(mount: &MountRecord, source: PathBuf) -> ReadyMount {
    let options = mount.spec.bind_options.clone().unwrap_or_default();
    ReadyMount::Bind {
        source,
        destination: mount.point.destination.clone(),
        read_only: !mount.point.rw,
        read_only_below: !mount.point.rw && !options.read_only_non_recursive,
        recursive: !options.non_recursive,
        propagation: mount.point.propagation.clone(),
    }
}

/// A place below a volume's or image's root, no link followed out of it.
///
/// # Errors
/// System, in dockerd's words. Source: moby internal/safepath.
pub(super) fn open_below(root: impl AsFd, subpath: &str) -> Result<OwnedFd> {
    let flags = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    openat2(root, subpath, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), flags).map_err(|source| {
        let fault = match source {
            rustix::io::Errno::XDEV => format!("path concatenation escapes the base directory, subpath: {subpath}"),
            rustix::io::Errno::NOENT => {
                return Error::internal(format!(
                    "cannot access path {subpath}: lstat {subpath}: no such file or directory"
                ));
            }
            _ => format!("cannot access path {subpath}"),
        };
        Error::system(fault, std::io::Error::from(source))
    })
}

/// [`open_below`] as a path. It lies within `root` for as long as nobody moves it.
pub(super) fn below(root: &Path, subpath: &str) -> Result<PathBuf> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(root, flags, Mode::empty())
        .map_err(|source| Error::system("open the volume", std::io::Error::from(source)))?;
    let found = open_below(&root, subpath)?;
    std::fs::read_link(format!("/proc/self/fd/{}", found.as_raw_fd()))
        .map_err(|source| Error::system("find the volume's subpath", source))
}

/// Source: moby mount.MergeTmpfsOptions.
const TMPFS_DEFAULTS: [&str; 3] = ["noexec", "nosuid", "nodev"];

fn tmpfs_spec(mount: &MountRecord) -> ReadyMount {
    let asked = mount.spec.tmpfs_options.clone().unwrap_or_default();
    let mut options: Vec<String> = TMPFS_DEFAULTS.map(str::to_owned).to_vec();
    if mount.spec.read_only {
        options.push("ro".to_owned());
    }
    if asked.mode != 0 {
        options.push(format!("mode={:o}", asked.mode & 0o7777));
    }
    if asked.size_bytes > 0 {
        options.push(format!("size={}", asked.size_bytes));
    }
    for option in asked.options.iter().flatten() {
        options.push(option.join("="));
    }
    ReadyMount::Tmpfs { destination: mount.point.destination.clone(), options }
}

/// One of `--tmpfs`: `size=64m,mode=1777,exec`.
pub(super) fn tmpfs(target: &str, asked: &str) -> Result<ReadyMount> {
    let mut options: Vec<String> = TMPFS_DEFAULTS.map(str::to_owned).to_vec();
    for option in asked.split(',').filter(|option| !option.is_empty()) {
        let name = option.split('=').next().unwrap_or_default();
        let known = [
            "ro",
            "rw",
            "exec",
            "noexec",
            "suid",
            "nosuid",
            "dev",
            "nodev",
            "size",
            "mode",
            "uid",
            "gid",
            "nr_inodes",
            "nr_blocks",
            "mpol",
            "noatime",
            "nodiratime",
            "relatime",
            "strictatime",
            "sync",
            "async",
            "private",
            "rprivate",
            "shared",
            "rshared",
            "slave",
            "rslave",
            "huge",
        ];
        if !known.contains(&name) {
            return Err(Error::invalid(format!("invalid tmpfs option [{option:?}]")));
        }
        options.push(option.to_owned());
    }
    Ok(ReadyMount::Tmpfs { destination: clean(target), options })
}

/// `mkdir -p` below a root, no link followed out of it.
pub(crate) fn make_directories(root: impl AsFd, path: &str) -> std::io::Result<()> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    if openat2(root.as_fd(), path, flags, Mode::empty(), resolve).is_ok() {
        return Ok(());
    }
    let mut done = String::from("/");
    for part in clean(path).split('/').filter(|part| !part.is_empty()) {
        let parent = openat2(root.as_fd(), &done, flags, Mode::empty(), resolve)?;
        match rustix::fs::mkdirat(&parent, part, Mode::from_raw_mode(0o755)) {
            Err(error) if error != rustix::io::Errno::EXIST => return Err(error.into()),
            _ => {}
        }
        done = format!("{}/{part}", done.trim_end_matches('/'));
    }
    openat2(root.as_fd(), path, flags, Mode::empty(), resolve).map(drop).map_err(Into::into)
}
