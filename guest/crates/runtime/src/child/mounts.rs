//! The container's mounts, below its new root, and the move into it.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{CWD, FileType};
use rustix::mount::{MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags};

use super::resolve::{Make, Root};
use super::{Keeper, Step, cover, devices, terminal};
use crate::NamespaceKind;
use crate::plan::{ContainerPlan, MountKind, MountPlan, Plan, attr};
use crate::protocol::Failure;
use crate::sys::{self, MountAttr};

/// On top of the host's root: our own root directory stays what it was, so host paths still resolve, and no empty
/// directory is needed.
const ATTACH_POINT: &str = "/";

/// Builds the whole tree and makes it the root.
pub(super) fn build(
    plan: &Plan,
    container: &ContainerPlan,
    rootfs: OwnedFd,
    detached: Vec<OwnedFd>,
    keeper: &Keeper,
) -> Step {
    let mut trees = binds(container)?;
    isolate()?;
    parts(container, detached, &mut trees)?;
    rustix::mount::move_mount(&rootfs, "", CWD, ATTACH_POINT, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .map_err(|err| Failure::setup("attach the root filesystem", err))?;
    let root = Root::new(rootfs);
    let mut late_readonly = Vec::new();
    for (mount, tree) in container.mounts.iter().zip(trees) {
        add(&root, mount, tree, plan, container).map_err(|err| describe(mount, err))?;
        if is_dev(mount) && mount.set & attr::RDONLY != 0 {
            late_readonly.push(mount.destination.as_str());
        }
    }
    // A /dev that is bind-mounted is the host's: nothing is made in it.
    let own_dev = !container.mounts.iter().any(|m| is_dev(m) && matches!(m.kind, MountKind::Bind { .. }));
    if own_dev {
        devices::create(&root, &container.devices)?;
        devices::link(&root)?;
    }
    if let Some(size) = plan.stdio.tty {
        terminal::in_new_container(&root, size, plan.process.uid, keeper, own_dev)?;
    }
    for path in late_readonly {
        set_on(&root, path, attr::RDONLY).map_err(|err| Failure::setup(format!("make {path} read-only"), err))?;
    }
    // As runc: a working directory that the image lacks is made. What cannot be made (read-only, a file in the way) is for the
    // chdir to complain about.
    let _ = root.make(&plan.process.cwd, Make::Directory);
    names(container)?;
    sysctls(container)?;
    cover::readonly(&root, &container.readonly)?;
    cover::mask(&root, &container.masked)?;
    enter(&root, container)
}

fn is_dev(mount: &MountPlan) -> bool {
    mount.destination.trim_end_matches('/') == "/dev"
}

/// One per mount, for those that come from elsewhere.
type Trees = Vec<Option<OwnedFd>>;

/// Copies of what is bound, while ours are still the host's mounts: copies stay with the host's as propagation wants.
fn binds(container: &ContainerPlan) -> Step<Trees> {
    let tree = |mount: &MountPlan| {
        let MountKind::Bind { source, recursive } = &mount.kind else { return Ok(None) };
        let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        if *recursive {
            flags |= OpenTreeFlags::AT_RECURSIVE;
        }
        rustix::mount::open_tree(CWD, source, flags).map(Some).map_err(|err| describe(mount, err.into()))
    };
    container.mounts.iter().map(tree).collect()
}

/// Nothing we mount or unmount may reach the host.
fn isolate() -> Step {
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(|err| Failure::setup("make the mounts private", err))
}

/// Puts detached mounts in their places, or the parts of them that are wanted. Older kernels copy only what is attached, so
/// those are for a moment, where everybody has a directory.
fn parts(container: &ContainerPlan, detached: Vec<OwnedFd>, trees: &mut Trees) -> Step {
    const PLACE: &str = "/proc";
    let mut detached: Trees = detached.into_iter().map(Some).collect();
    for (mount, slot) in container.mounts.iter().zip(trees) {
        let MountKind::Detached { index, subpath } = &mount.kind else { continue };
        let whole = detached.get_mut(*index).and_then(Option::take);
        let whole = whole.ok_or_else(|| describe(mount, io::ErrorKind::NotFound.into()))?;
        let Some(subpath) = subpath else {
            *slot = Some(whole);
            continue;
        };
        let cut = || -> io::Result<OwnedFd> {
            rustix::mount::move_mount(&whole, "", CWD, PLACE, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
            let flags =
                OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
            let part = Root::new(whole).open(subpath);
            let part = part.and_then(|part| Ok(rustix::mount::open_tree(&part, "", flags)?));
            rustix::mount::unmount(PLACE, UnmountFlags::DETACH)?;
            part
        };
        *slot = Some(cut().map_err(|err| describe(mount, err))?);
    }
    Ok(())
}

/// Error in runc's words.
fn describe(mount: &MountPlan, err: io::Error) -> Failure {
    let (source, what) = match &mount.kind {
        MountKind::Bind { source, .. } => (source.as_str(), "bind"),
        MountKind::Filesystem { source, fstype, .. } => (source.as_str(), fstype.as_str()),
        MountKind::Detached { subpath, .. } => (subpath.as_deref().unwrap_or_default(), "detached"),
        MountKind::Cgroup => ("cgroup", "cgroup"),
    };
    let to = &mount.destination;
    let text = format!("error mounting \"{source}\" to rootfs at \"{to}\": mount src={source}, dst={to}, type={what}");
    Failure::setup(text, err)
}

fn add(
    root: &Root,
    mount: &MountPlan,
    tree: Option<OwnedFd>,
    plan: &Plan,
    container: &ContainerPlan,
) -> io::Result<()> {
    match &mount.kind {
        MountKind::Bind { .. } | MountKind::Detached { .. } => {
            dress_and_attach(root, mount, tree.ok_or(io::ErrorKind::NotFound)?)
        }
        MountKind::Filesystem { fstype, source, flags, data, copy_up } => {
            let wanted = Filesystem { fstype, source, flags: *flags, data };
            filesystem(root, mount, &wanted)?;
            if *copy_up && fstype == "tmpfs" {
                super::devices::copy_up(root, &mount.destination)?;
            }
            propagate(root, mount)
        }
        MountKind::Cgroup => {
            let private = container.create & NamespaceKind::Cgroup.flag() != 0;
            cover::cgroup(root, mount, plan.cgroup.as_ref(), private)
        }
    }
}

/// What `mount(2)` wants.
pub(super) struct Filesystem<'a> {
    pub fstype: &'a str,
    pub source: &'a str,
    pub flags: u64,
    pub data: &'a str,
}

/// Mounts a new filesystem. The classic call on a directory we stand in: one system call, and no path to race with.
pub(super) fn filesystem(root: &Root, mount: &MountPlan, wanted: &Filesystem<'_>) -> io::Result<()> {
    let mut data = wanted.data.to_owned();
    let place = match wanted.fstype {
        // Source: CVE-2019-16884: a /proc that is a link of the image's would let it fake what we write there.
        "proc" | "sysfs" => {
            root.make(&mount.destination, Make::Directory)?;
            root.open_plain(&mount.destination).map_err(|err| match err.raw_os_error() {
                Some(libc::ELOOP) => {
                    io::Error::other(format!("filesystem \"{}\" must be mounted on ordinary directory", wanted.fstype))
                }
                _ => err,
            })?
        }
        "tmpfs" if !data.contains("mode=") => match root.open(&mount.destination) {
            // As runc: without a mode of its own it has that of the directory it covers.
            Ok(place) => {
                let mode = rustix::fs::fstat(&place)?.st_mode & 0o7777;
                let comma = if data.is_empty() { "" } else { "," };
                data.push_str(&format!("{comma}mode={mode:o}"));
                place
            }
            Err(_) => root.make(&mount.destination, Make::Directory)?,
        },
        _ => root.make(&mount.destination, Make::Directory)?,
    };
    let mut set = mount.set;
    if is_dev(mount) {
        // Devices are still to be made there; read-only comes afterwards.
        set &= !attr::RDONLY;
    }
    let flags = MountFlags::from_bits_retain((wanted.flags | classic(set)) as u32);
    let data = CString::new(data).map_err(|_| io::ErrorKind::InvalidInput)?;
    rustix::process::fchdir(&place)?;
    let data = (!data.is_empty()).then_some(data.as_c_str());
    rustix::mount::mount(wanted.source, ".", wanted.fstype, flags, data)?;
    Ok(())
}

/// MOUNT_ATTR_* to MS_*.
fn classic(set: u64) -> u64 {
    let table = [
        (attr::RDONLY, libc::MS_RDONLY),
        (attr::NOSUID, libc::MS_NOSUID),
        (attr::NODEV, libc::MS_NODEV),
        (attr::NOEXEC, libc::MS_NOEXEC),
        (attr::NOATIME, libc::MS_NOATIME),
        (attr::STRICTATIME, libc::MS_STRICTATIME),
        (attr::NODIRATIME, libc::MS_NODIRATIME),
        (attr::NOSYMFOLLOW, 256),
    ];
    table.iter().filter(|(attr, _)| set & attr != 0).fold(0, |flags, (_, flag)| flags | flag)
}

fn propagate(root: &Root, mount: &MountPlan) -> io::Result<()> {
    let Some(propagation) = mount.propagation else { return Ok(()) };
    let attr = MountAttr { propagation: propagation.kind, ..MountAttr::default() };
    sys::mount_setattr(root.open(&mount.destination)?, propagation.recursive, attr)
}

/// Sets attributes on what is mounted at a path.
pub(super) fn set_on(root: &Root, path: &str, set: u64) -> io::Result<()> {
    sys::mount_setattr(root.open(path)?, false, MountAttr { set, ..MountAttr::default() })
}

/// Gives a detached tree its attributes and attaches it at the mount's destination.
fn dress_and_attach(root: &Root, mount: &MountPlan, tree: OwnedFd) -> io::Result<()> {
    if mount.set_below | mount.clear_below != 0 {
        let attr = MountAttr { set: mount.set_below, clear: mount.clear_below, ..MountAttr::default() };
        sys::mount_setattr(&tree, true, attr)?;
    }
    if mount.set | mount.clear != 0 {
        sys::mount_setattr(&tree, false, MountAttr { set: mount.set, clear: mount.clear, ..MountAttr::default() })?;
    }
    if let Some(propagation) = mount.propagation {
        let attr = MountAttr { propagation: propagation.kind, ..MountAttr::default() };
        sys::mount_setattr(&tree, propagation.recursive, attr)?;
    }
    let is_directory = FileType::from_raw_mode(rustix::fs::fstat(&tree)?.st_mode) == FileType::Directory;
    let what = if is_directory { Make::Directory } else { Make::File };
    let place = root.make(&mount.destination, what)?;
    let onto_directory = FileType::from_raw_mode(rustix::fs::fstat(&place)?.st_mode) == FileType::Directory;
    if is_directory != onto_directory {
        // The kernel would say "invalid argument".
        return Err(io::Error::from_raw_os_error(libc::ENOTDIR));
    }
    attach(&tree, &place)
}

/// Attaches a detached mount at a place held by a descriptor.
pub(super) fn attach(tree: impl AsFd, place: impl AsFd) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(rustix::mount::move_mount(tree, "", place, "", flags)?)
}

fn names(container: &ContainerPlan) -> Step {
    if let Some(name) = &container.hostname {
        rustix::system::sethostname(name.as_bytes()).map_err(|err| Failure::setup("sethostname", err))?;
    }
    if let Some(name) = &container.domainname {
        rustix::system::setdomainname(name.as_bytes()).map_err(|err| Failure::setup("setdomainname", err))?;
    }
    Ok(())
}

/// Through the host's /proc, which is still there and cannot be forged by the image: what is below /proc/sys depends on
/// the namespaces of whoever looks, not on the mount.
fn sysctls(container: &ContainerPlan) -> Step {
    for (path, value) in &container.sysctl {
        std::fs::write(format!("/proc/sys/{path}"), value)
            .map_err(|err| Failure::setup(format!("write sysctl key {}", path.replace('/', ".")), err))?;
    }
    Ok(())
}

/// Makes the tree the root and lets go of the host's.
fn enter(root: &Root, container: &ContainerPlan) -> Step {
    let step = |what: &'static str| move |err: rustix::io::Errno| Failure::setup(what, err);
    rustix::process::fchdir(root).map_err(step("enter the root filesystem"))?;
    match rustix::process::pivot_root(".", ".") {
        Ok(()) => {}
        Err(err) => return Err(Failure::setup("pivot_root", err)),
    }
    // Now "." is the host's root, on top of ours; being private, it goes without anybody else's noticing.
    rustix::mount::unmount(".", UnmountFlags::DETACH).map_err(step("unmount the host's root"))?;
    rustix::process::chdir("/").map_err(step("chdir /"))?;
    if let Some(propagation) = container.root_propagation {
        let attr = MountAttr { propagation: propagation.kind, ..MountAttr::default() };
        sys::mount_setattr(root, propagation.recursive, attr)
            .map_err(|err| Failure::setup("set root propagation", err))?;
    }
    if container.readonly_root {
        let attr = MountAttr { set: attr::RDONLY, ..MountAttr::default() };
        sys::mount_setattr(root, false, attr).map_err(|err| Failure::setup("make the root read-only", err))?;
    }
    Ok(())
}
