//! Root filesystems: stacks of layers as detached overlay mounts.
//!
//! A mount made here is attached nowhere: it lives as long as its descriptor, in no mount namespace, so a crash leaves
//! nothing behind. Whoever wants to see it attaches it (`move_mount`) in a namespace of its own.

use std::{
    fs, io,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Mode, OFlags, open},
    io::Errno,
    mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen},
};

/// What a container adds to its image's layers.
#[derive(Clone, Copy, Debug)]
pub enum Access<'a> {
    /// Changes go to `upper`; `work` is overlayfs' own, on the same file system. See [`prepare`].
    Writable {
        upper: &'a Path,
        work: &'a Path,
    },
    ReadOnly,
}

/// Makes the writable half of a root filesystem under `container_dir` (`upper` and `work`) and returns both.
pub fn prepare(container_dir: &Path) -> io::Result<(PathBuf, PathBuf)> {
    use std::os::unix::fs::PermissionsExt;
    let (upper, work) = (container_dir.join("upper"), container_dir.join("work"));
    fs::create_dir_all(&upper)?;
    fs::create_dir_all(&work)?;
    // Why: upper's root is the container's `/`, whatever the engine's umask.
    fs::set_permissions(&upper, fs::Permissions::from_mode(0o755))?;
    Ok((upper, work))
}

/// Mounts `lowers`, topmost first, as one tree, attached nowhere.
///
/// The same directory must not be listed twice (overlayfs refuses it). With a single lower and [`Access::ReadOnly`]
/// overlayfs wants a second lower: callers give an empty directory then.
pub fn mount_detached(lowers: &[PathBuf], access: Access<'_>) -> io::Result<OwnedFd> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", "overlay")?;
    let _open_until_mounted = set_lowers(&context, lowers)?;
    if let Access::Writable { upper, work } = access {
        fsconfig_set_string(&context, "upperdir", upper)?;
        fsconfig_set_string(&context, "workdir", work)?;
    }
    // Why: with these the upper directory alone is the whole difference to the layers, and it stays usable when layers
    // are moved; kernels may be configured to turn them on.
    for option in ["redirect_dir", "index", "metacopy"] {
        fsconfig_set_string(&context, option, "off")?;
    }
    fsconfig_create(&context)?;
    let attributes = match access {
        Access::Writable { .. } => MountAttrFlags::empty(),
        Access::ReadOnly => MountAttrFlags::MOUNT_ATTR_RDONLY,
    };
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

/// Returns what must stay open until the mount is made.
fn set_lowers(context: &OwnedFd, lowers: &[PathBuf]) -> io::Result<Vec<OwnedFd>> {
    for (done, lower) in lowers.iter().enumerate() {
        match fsconfig_set_string(context, "lowerdir+", lower) {
            Ok(()) => {}
            // Kernels before 6.7 know only the joined list.
            Err(Errno::INVAL | Errno::NOTSUP) if done == 0 => return set_lowers_joined(context, lowers),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Vec::new())
}

/// The older way. Why by descriptor: a string parameter has at most 255 bytes, too few for two of our paths.
fn set_lowers_joined(context: &OwnedFd, lowers: &[PathBuf]) -> io::Result<Vec<OwnedFd>> {
    let dirs =
        lowers.iter().map(|lower| open(lower, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()));
    let dirs = dirs.collect::<Result<Vec<_>, _>>()?;
    let list: Vec<String> = dirs.iter().map(|dir| format!("/proc/self/fd/{}", dir.as_raw_fd())).collect();
    fsconfig_set_string(context, "lowerdir", list.join(":"))?;
    Ok(dirs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::openat;
    use std::io::{Read, Write};

    fn read(root: &OwnedFd, path: &str) -> Option<String> {
        let mut text = String::new();
        fs::File::from(openat(root, path, OFlags::RDONLY, Mode::empty()).ok()?).read_to_string(&mut text).ok()?;
        Some(text)
    }

    #[test]
    fn the_topmost_layer_wins_and_writes_go_to_upper() {
        let dir = tempfile::tempdir().unwrap();
        let lowers: Vec<PathBuf> =
            ["top", "base: with \\ odd, name"].iter().map(|name| dir.path().join(name)).collect();
        for lower in &lowers {
            fs::create_dir(lower).unwrap();
        }
        fs::write(lowers[0].join("a"), "top").unwrap();
        fs::write(lowers[1].join("a"), "base").unwrap();
        fs::write(lowers[1].join("b"), "base").unwrap();
        let (upper, work) = prepare(&dir.path().join("c")).unwrap();
        let mount = match mount_detached(&lowers, Access::Writable { upper: &upper, work: &work }) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return eprintln!("skipped: needs root"),
            mount => mount.unwrap(),
        };
        assert_eq!(read(&mount, "a").as_deref(), Some("top"));
        assert_eq!(read(&mount, "b").as_deref(), Some("base"));
        let file = openat(&mount, "new", OFlags::CREATE | OFlags::WRONLY, Mode::from_raw_mode(0o644)).unwrap();
        fs::File::from(file).write_all(b"x").unwrap();
        assert_eq!(fs::read(upper.join("new")).unwrap(), b"x");
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(dir.path().to_str().unwrap()), "the mount is attached nowhere");
    }

    #[test]
    fn kernels_without_the_appending_option_get_the_joined_list() {
        let dir = tempfile::tempdir().unwrap();
        let lowers: Vec<PathBuf> = ["a", "b"].iter().map(|name| dir.path().join(name)).collect();
        for lower in &lowers {
            fs::create_dir(lower).unwrap();
            fs::write(lower.join("who"), lower.file_name().unwrap().as_encoded_bytes()).unwrap();
        }
        let context = match fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC) {
            Err(Errno::PERM) => return eprintln!("skipped: needs root"),
            context => context.unwrap(),
        };
        let _open = set_lowers_joined(&context, &lowers).unwrap();
        fsconfig_create(&context).unwrap();
        let mount = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()).unwrap();
        assert_eq!(read(&mount, "who").as_deref(), Some("a"));
    }

    #[test]
    fn a_read_only_stack_refuses_writes() {
        let dir = tempfile::tempdir().unwrap();
        let lowers: Vec<PathBuf> = ["a", "b"].iter().map(|name| dir.path().join(name)).collect();
        for lower in &lowers {
            fs::create_dir(lower).unwrap();
        }
        let mount = match mount_detached(&lowers, Access::ReadOnly) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return eprintln!("skipped: needs root"),
            mount => mount.unwrap(),
        };
        let refused = openat(&mount, "new", OFlags::CREATE | OFlags::WRONLY, Mode::from_raw_mode(0o644)).unwrap_err();
        assert_eq!(refused, Errno::ROFS);
    }
}
