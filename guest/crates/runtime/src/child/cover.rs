//! Kernel files that a container may not see or change, and its view of the cgroups.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::FileType;
use rustix::mount::OpenTreeFlags;

use super::Step;
use super::mounts::{Filesystem, attach, filesystem, set_on};
use super::resolve::{Make, Root};
use crate::cgroup::CgroupPath;
use crate::plan::{MountKind, MountPlan, attr};
use crate::protocol::Failure;
use crate::sys::{self, MountAttr};

/// A copy of the mount at a descriptor, to be attached elsewhere.
fn clone_mount(place: impl AsFd, recursive: bool) -> io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    Ok(rustix::mount::open_tree(place, "", flags)?)
}

/// `None`: the path is not there, which is fine (kernels differ).
fn place(root: &Root, path: &str) -> io::Result<Option<OwnedFd>> {
    match root.open(path) {
        Ok(place) => Ok(Some(place)),
        Err(err) if matches!(err.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => Ok(None),
        Err(err) => Err(err),
    }
}

/// Bind-mounts each path on itself, read-only.
pub(super) fn readonly(root: &Root, paths: &[String]) -> Step {
    for path in paths {
        readonly_one(root, path).map_err(|err| Failure::setup(format!("make {path} read-only"), err))?;
    }
    Ok(())
}

fn readonly_one(root: &Root, path: &str) -> io::Result<()> {
    let Some(place) = place(root, path)? else { return Ok(()) };
    let tree = clone_mount(&place, true)?;
    sys::mount_setattr(&tree, true, MountAttr { set: attr::RDONLY, ..MountAttr::default() })?;
    attach(tree, place)
}

/// Files get /dev/null in front, directories an empty read-only filesystem (one for all of them).
pub(super) fn mask(root: &Root, paths: &[String]) -> Step {
    let mut empty: Option<String> = None;
    for path in paths {
        mask_one(root, path, &mut empty).map_err(|err| Failure::setup(format!("mask path {path}"), err))?;
    }
    Ok(())
}

fn mask_one(root: &Root, path: &str, empty: &mut Option<String>) -> io::Result<()> {
    let Some(place) = place(root, path)? else { return Ok(()) };
    let is_directory = FileType::from_raw_mode(rustix::fs::fstat(&place)?.st_mode) == FileType::Directory;
    if !is_directory {
        return attach(clone_mount(root.open("/dev/null")?, false)?, place);
    }
    if let Some(first) = empty {
        return attach(clone_mount(root.open(first)?, false)?, place);
    }
    let flags = rustix::mount::MountFlags::RDONLY;
    rustix::process::fchdir(&place)?;
    rustix::mount::mount("tmpfs", ".", "tmpfs", flags, c"size=0k,nr_inodes=2,mode=755")?;
    *empty = Some(path.to_owned());
    Ok(())
}

/// Mounts what the container sees at /sys/fs/cgroup. On v1 only the hierarchies on which it has a directory of its own, and
/// without a cgroup namespace (`private`) those directories themselves: the rest is the host's.
pub(super) fn cgroup(root: &Root, mount: &MountPlan, own: Option<&CgroupPath>, private: bool) -> io::Result<()> {
    let lines = std::fs::read_to_string("/proc/self/cgroup")?;
    let v1: Vec<&str> =
        lines.lines().filter_map(|line| line.split(':').nth(1)).filter(|controllers| !controllers.is_empty()).collect();
    if v1.is_empty() {
        let wanted = Filesystem { fstype: "cgroup2", source: "cgroup", flags: 0, data: "" };
        return filesystem(root, mount, &wanted);
    }
    let writable = MountPlan { set: mount.set & !attr::RDONLY, ..mount.clone() };
    let tmpfs = Filesystem { fstype: "tmpfs", source: "tmpfs", flags: 0, data: "mode=755" };
    filesystem(root, &writable, &tmpfs)?;
    for controllers in v1 {
        let of_this = |path: &&PathBuf| path.iter().any(|part| part == controllers);
        if let Some(path) = own.and_then(|own| own.v1.iter().find(of_this)) {
            v1_hierarchy(root, mount, controllers, path, private)?;
        }
    }
    set_on(root, &mount.destination, mount.set)
}

fn v1_hierarchy(root: &Root, mount: &MountPlan, controllers: &str, own: &Path, private: bool) -> io::Result<()> {
    let destination = format!("{}/{controllers}", mount.destination);
    if !private {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let tree = rustix::mount::open_tree(rustix::fs::CWD, own, flags)?;
        sys::mount_setattr(&tree, false, MountAttr { set: mount.set, ..MountAttr::default() })?;
        return attach(tree, root.make(&destination, Make::Directory)?);
    }
    let one = MountPlan { destination, kind: MountKind::Cgroup, ..mount.clone() };
    filesystem(root, &one, &Filesystem { fstype: "cgroup", source: "cgroup", flags: 0, data: controllers })?;
    // Programs look for either name when controllers share a hierarchy.
    for alias in controllers.split(',').filter(|alias| *alias != controllers) {
        let parent = root.open(&mount.destination)?;
        rustix::fs::symlinkat(controllers, &parent, alias)?;
    }
    Ok(())
}
