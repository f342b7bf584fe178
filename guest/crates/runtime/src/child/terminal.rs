//! Standard input and output: the terminal of the container's own devpts, and who owns them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Gid, Mode, OFlags, Uid};
use rustix::mount::OpenTreeFlags;
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use super::mounts::attach;
use super::resolve::{Make, Root};
use super::{Keeper, Step};
use crate::WinSize;
use crate::protocol::{Failure, Progress};

/// linux/magic.h
const DEVPTS_SUPER_MAGIC: u64 = 0x1cd1;

/// The terminal of a container that is being built; also bound to its /dev/console.
pub(super) fn in_new_container(root: &Root, size: WinSize, uid: u32, keeper: &Keeper, console: bool) -> Step {
    let step = |err: io::Error| Failure::setup("open a pseudo terminal", err);
    let master = root.open_as("/dev/pts/ptmx", OFlags::RDWR | OFlags::NOCTTY).map_err(step)?;
    let slave = open_pair(&master, size, uid).map_err(step)?;
    if console {
        bind_console(root, &slave).map_err(|err| Failure::setup("bind /dev/console", err))?;
    }
    take(slave, master, keeper)
}

/// The terminal of an exec: we are inside the container already, so the path is the container's to forge, which is why the
/// filesystem is looked at.
pub(super) fn in_running_container(size: WinSize, uid: u32, keeper: &Keeper) -> Step {
    let step = |err: io::Error| Failure::setup("open a pseudo terminal", err);
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let master = rustix::fs::open("/dev/pts/ptmx", flags, Mode::empty()).map_err(|err| step(err.into()))?;
    let slave = open_pair(&master, size, uid).map_err(step)?;
    take(slave, master, keeper)
}

fn open_pair(master: &OwnedFd, size: WinSize, uid: u32) -> io::Result<OwnedFd> {
    if rustix::fs::fstatfs(master)?.f_type as u64 != DEVPTS_SUPER_MAGIC {
        return Err(io::Error::from_raw_os_error(libc::ENOTTY));
    }
    rustix::pty::unlockpt(master)?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = rustix::pty::ioctl_tiocgptpeer(master, flags)?;
    let winsize = Winsize { ws_row: size.rows, ws_col: size.cols, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(master, winsize)?;
    rustix::fs::fchown(&slave, Some(Uid::from_raw(uid)), None)?;
    Ok(slave)
}

fn bind_console(root: &Root, slave: &OwnedFd) -> io::Result<()> {
    let place = root.make("/dev/console", Make::File)?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = rustix::mount::open_tree(slave, "", flags)?;
    attach(tree, place)
}

/// Makes the slave our controlling terminal and stdio, and hands the master to the keeper.
fn take(slave: OwnedFd, master: OwnedFd, keeper: &Keeper) -> Step {
    rustix::process::ioctl_tiocsctty(&slave).map_err(|err| Failure::setup("take the terminal", err))?;
    let dup = |done: rustix::io::Result<()>| done.map_err(|err| Failure::setup("dup the terminal", err));
    dup(rustix::stdio::dup2_stdin(&slave))?;
    dup(rustix::stdio::dup2_stdout(&slave))?;
    dup(rustix::stdio::dup2_stderr(&slave))?;
    keeper.tell(&Progress::Pty, vec![master]).map_err(|err| Failure::setup("hand the terminal over", err))
}

/// Lets the user open /dev/stdout again: pipes are made by root. Source: runc's `fixStdioPermissions`.
pub(super) fn own_stdio(uid: u32, gid: u32) {
    if uid == 0 {
        return;
    }
    give(io::stdin().as_fd(), uid, gid);
    give(io::stdout().as_fd(), uid, gid);
    give(io::stderr().as_fd(), uid, gid);
}

fn give(fd: BorrowedFd<'_>, uid: u32, gid: u32) {
    // /dev/null belongs to everybody, and a terminal was given away when it was made.
    let is_pipe = rustix::fs::fstat(fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo);
    if is_pipe {
        // Failing leaves what was there: a program that reopens its stdout will say so.
        let _ = rustix::fs::fchown(fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    }
}
