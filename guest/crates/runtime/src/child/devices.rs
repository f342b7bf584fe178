//! What is below /dev, and what a tmpfs starts with.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use super::Step;
use super::resolve::{Make, Root};
use crate::plan::DevicePlan;
use crate::protocol::Failure;

/// Links that every container has. Source: OCI runtime spec, "Dev symbolic links".
const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

pub(super) fn create(root: &Root, devices: &[DevicePlan]) -> Step {
    let dev = root.make("/dev", Make::Directory).map_err(|err| Failure::setup("create /dev", err))?;
    for device in devices {
        let made = match device.path.strip_prefix("/dev/") {
            Some(name) if !name.contains('/') => make_node(&dev, name, device),
            _ => elsewhere(root, device),
        };
        made.map_err(|err| Failure::setup(format!("error creating device nodes: mknod {}", device.path), err))?;
    }
    Ok(())
}

fn elsewhere(root: &Root, device: &DevicePlan) -> io::Result<()> {
    let path = device.path.trim_end_matches('/');
    let (directory, name) = path.rsplit_once('/').ok_or(io::ErrorKind::InvalidInput)?;
    if matches!(name, "" | "." | "..") {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    make_node(&root.make(&format!("/{directory}"), Make::Directory)?, name, device)
}

fn make_node(parent: &OwnedFd, name: &str, device: &DevicePlan) -> io::Result<()> {
    let kind = FileType::from_raw_mode(device.mode);
    let mode = Mode::from_raw_mode(device.mode);
    let number = rustix::fs::makedev(device.major, device.minor);
    match rustix::fs::mknodat(parent, name, kind, mode, number) {
        Err(Errno::EXIST) => {
            // The image's own /dev: keep the same device, replace anything else.
            let there = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
            if FileType::from_raw_mode(there.st_mode) == kind && there.st_rdev == number {
                return Ok(());
            }
            rustix::fs::unlinkat(parent, name, AtFlags::empty())?;
            rustix::fs::mknodat(parent, name, kind, mode, number)?;
        }
        done => done?,
    }
    if device.uid != 0 || device.gid != 0 {
        let (uid, gid) = (Uid::from_raw(device.uid), Gid::from_raw(device.gid));
        rustix::fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    }
    Ok(())
}

pub(super) fn link(root: &Root) -> Step {
    let step = |err: io::Error| Failure::setup("create links in /dev", err);
    let dev = root.open("/dev").map_err(step)?;
    for (name, target) in LINKS {
        // ptmx must be the container's own; the others may be what the image brings.
        if name == "ptmx" {
            let _ = rustix::fs::unlinkat(&dev, name, AtFlags::empty());
        }
        match rustix::fs::symlinkat(target, &dev, name) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(err) => return Err(step(err.into())),
        }
    }
    Ok(())
}

/// Files copied into one tmpfs at most: a bound on what a hostile image can make a start cost.
const COPY_MAX: usize = 100_000;

/// `tmpcopyup`: fills the tmpfs just mounted at `path` with what it covers. We stand (cwd) in the covered directory.
pub(super) fn copy_up(root: &Root, path: &str) -> io::Result<()> {
    let covered = rustix::fs::open(".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let target = root.open_as(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
    let mut budget = COPY_MAX;
    copy_directory(&covered, &target, &mut budget)
}

fn copy_directory(from: &OwnedFd, to: &OwnedFd, budget: &mut usize) -> io::Result<()> {
    for entry in Dir::read_from(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        *budget = budget.checked_sub(1).ok_or(io::ErrorKind::QuotaExceeded)?;
        let stat = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let mode = Mode::from_raw_mode(stat.st_mode);
        let open = OFlags::CLOEXEC | OFlags::NOFOLLOW;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                rustix::fs::mkdirat(to, name, mode)?;
                let below = OFlags::RDONLY | OFlags::DIRECTORY | open;
                let source = rustix::fs::openat(from, name, below, Mode::empty())?;
                let target = rustix::fs::openat(to, name, below, Mode::empty())?;
                copy_directory(&source, &target, budget)?;
            }
            FileType::Symlink => {
                let link = rustix::fs::readlinkat(from, name, Vec::new())?;
                rustix::fs::symlinkat(link, to, name)?;
            }
            FileType::RegularFile => {
                let source = rustix::fs::openat(from, name, OFlags::RDONLY | open, Mode::empty())?;
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | open;
                let target = rustix::fs::openat(to, name, flags, mode)?;
                io::copy(&mut std::fs::File::from(source), &mut std::fs::File::from(target))?;
            }
            _ => continue,
        }
        let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
        rustix::fs::chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    }
    Ok(())
}
