//! A mount of a running container, for another one (`--ipc container:…` shares /dev/shm).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::CWD;
use rustix::mount::{OpenTreeFlags, open_tree};
use rustix::thread::LinkNameSpaceType;

/// What is mounted at `path` in the mount namespace of a process: the same filesystem once more, attached nowhere.
/// Blocking, for a few system calls.
pub fn shared_mount(pidfd: impl AsFd, path: &str) -> io::Result<OwnedFd> {
    let pidfd = pidfd.as_fd();
    // A thread of its own: a mount can be copied only from within its mount namespace, and there is no way back.
    let copied = std::thread::scope(|scope| scope.spawn(|| copy_from_within(pidfd, path)).join());
    copied.unwrap_or_else(|_| Err(io::Error::other("the copying thread panicked")))
}

fn copy_from_within(pidfd: BorrowedFd<'_>, path: &str) -> io::Result<OwnedFd> {
    // The kernel wants that of whoever enters a mount namespace.
    crate::sys::own_directories()?;
    rustix::thread::move_into_link_name_space(pidfd, Some(LinkNameSpaceType::Mount))?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
    Ok(open_tree(CWD, path, flags)?)
}
