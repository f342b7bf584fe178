//! The keeper as a process of its own (natively; in the guest pid 1 drives it).

use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{Mode, OFlags, StatVfsMountFlags};
use rustix::mount::OpenTreeFlags;
use rustix::process::{Resource, Rlimit};

use super::Keeper;
use crate::plan::attr;
use crate::sys::{self, MountAttr};

/// `cubbyd keeper --socket S`: becomes a session leader and a child subreaper, ignores the terminal's signals, and ends when told
/// to (`Runtime::quit`). Must be called before the process has a second thread.
pub fn run(socket: &Path) -> ! {
    match serve(socket) {
        Ok(()) => std::process::exit(0),
        Err(err) => {
            tracing::error!(%err, socket = %socket.display(), "keeper failed");
            std::process::exit(1)
        }
    }
}

fn serve(socket: &Path) -> io::Result<()> {
    if let Err(err) = protect_executable() {
        tracing::warn!(%err, "the keeper's executable is writable through its processes");
    }
    // Fails if we lead a session already.
    let _ = rustix::process::setsid();
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGTERM, libc::SIGPIPE, libc::SIGQUIT] {
        sys::ignore_signal(signal);
    }
    let children = sys::signalfd(&[libc::SIGCHLD])?;
    let mut keeper = Keeper::bind(socket)?;
    // Several descriptors per container. After bind: containers get the limit from before.
    let limit = rustix::process::getrlimit(Resource::Nofile);
    if let Err(err) = rustix::process::setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%err, "the keeper's limit of open files stays low");
    }
    // No directory of somebody's is kept busy by us.
    rustix::process::chdir("/")?;
    loop {
        let mut fds = [
            PollFd::from_borrowed_fd(keeper.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(children.as_fd(), PollFlags::IN),
        ];
        match rustix::event::poll(&mut fds, None) {
            Err(rustix::io::Errno::INTR) => continue,
            done => drop(done?),
        }
        let ended = !fds[1].revents().is_empty();
        if ended {
            let mut siginfo = [0u8; 512];
            let _ = rustix::io::read(&children, &mut siginfo);
        }
        // Messages first: a spawn that is in the socket already gets its answer before the exit of another.
        keeper.step()?;
        if ended {
            while let Some((pid, status)) = sys::reap() {
                // What is not ours came to us as the subreaper.
                keeper.reaped(pid, status);
            }
        }
        if keeper.quit_requested() && keeper.running() == 0 {
            return Ok(());
        }
    }
}

/// Starts this very program again from a read-only mount that exists nowhere else. Returns when it is there already, or why not.
///
/// Why: a process that was forked but has not yet executed its program shows our executable as its own to the container it is
/// born into (CVE-2019-5736). Through this mount nobody can open it for writing, whatever his capabilities.
///
/// To be called first thing in `main`, before threads and descriptors: everything that is not close-on-exec is inherited.
pub fn protect_executable() -> io::Result<()> {
    let current = rustix::fs::open("/proc/self/exe", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    if rustix::fs::fstatvfs(&current)?.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Ok(());
    }
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let mount = rustix::mount::open_tree(&current, "", flags)?;
    let attr = MountAttr { set: attr::RDONLY | attr::NOSUID | attr::NODEV, ..MountAttr::default() };
    sys::mount_setattr(&mount, false, attr)?;
    let c = |text: OsString| CString::new(text.into_vec()).map_err(io::Error::from);
    let args = std::env::args_os().map(c).collect::<io::Result<Vec<_>>>()?;
    let env = std::env::vars_os().map(|(mut name, value)| {
        name.push("=");
        name.push(value);
        c(name)
    });
    Err(sys::execve_fd(&mount, &args, &env.collect::<io::Result<Vec<_>>>()?))
}
