//! The child between `clone3` and `execve`: executes a plan. Single-threaded, so it may allocate.
//!
//! ```text
//! both:       signals, session, stdio, v1 cgroups
//! container:  join namespaces → mounts below the new root → devices → terminal → sysctls → pivot → read-only, masked
//! exec:       setns into the container → terminal
//! both:       limits → cwd → user → find the program → seccomp and capabilities → execve
//! ```
//!
//! It tells the keeper over a socket that closes at `execve`: [`Progress::Pty`], [`Progress::Ready`], [`Progress::Failed`].

mod cgroups;
mod cover;
mod devices;
mod init;
mod mounts;
mod namespaces;
mod program;
mod resolve;
mod terminal;
mod user;

use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::panic::AssertUnwindSafe;

use rustix::process::{Resource, Rlimit, Signal};

use crate::plan::{Plan, ProcessPlan, TargetPlan};
use crate::protocol::{Failure, FailureKind, Progress, pack};
use crate::sys::{self, CommandLine};

/// Result of a step of the set-up.
type Step<T = ()> = Result<T, Failure>;

/// The descriptors a child is born with (numbers in the keeper's table, of which the child has a copy).
#[derive(Debug)]
pub(crate) struct Birth {
    pub stdio: [RawFd; 3],
    pub sync: RawFd,
    /// Container: the rootfs mount. Exec: the container's pidfd.
    pub place: RawFd,
    /// Namespaces, then detached mounts.
    pub joined: Vec<RawFd>,
    /// Natively nothing outlives the keeper; in the guest the keeper is pid 1.
    pub die_with_parent: bool,
    /// The limit of open files that the keeper itself was started with; it may have raised its own.
    pub open_files: Rlimit,
    pub command_line: Option<CommandLine>,
}

/// The socket to the keeper.
struct Keeper {
    sync: OwnedFd,
}

impl Keeper {
    fn tell(&self, progress: &Progress, fds: Vec<OwnedFd>) -> io::Result<()> {
        pack(progress, &[], fds)?.send(&self.sync)
    }
}

/// Never returns: ends in `execve` or in `_exit` after reporting why not.
///
/// Nothing that the caller owns may be dropped afterwards: descriptors have been closed under it.
pub(crate) fn run(plan: &Plan, seccomp: &[u8], birth: &Birth) -> ! {
    let failure = std::panic::catch_unwind(AssertUnwindSafe(|| match arrange(birth) {
        Ok((keeper, place, joined)) => {
            let Err(failure) = start(plan, seccomp, birth, &keeper, place, joined);
            // If this fails too, the keeper learns from the exit.
            let _ = keeper.tell(&Progress::Failed(failure), Vec::new());
        }
        Err(_) => sys::exit(254),
    }));
    sys::exit(if failure.is_ok() { 255 } else { 254 })
}

fn arrange(birth: &Birth) -> io::Result<(Keeper, OwnedFd, Vec<OwnedFd>)> {
    let mut fds = birth.stdio.to_vec();
    fds.extend([birth.sync, birth.place]);
    fds.extend(&birth.joined);
    sys::arrange_fds(&fds)?;
    let joined = (5..fds.len() as RawFd).map(sys::adopt_fd).collect();
    Ok((Keeper { sync: sys::adopt_fd(3) }, sys::adopt_fd(4), joined))
}

fn start(
    plan: &Plan,
    seccomp: &[u8],
    birth: &Birth,
    keeper: &Keeper,
    place: OwnedFd,
    mut joined: Vec<OwnedFd>,
) -> Step<std::convert::Infallible> {
    sys::reset_signals();
    if birth.die_with_parent {
        die_with_parent()?;
    }
    rustix::process::setsid().map_err(|err| Failure::setup("setsid", err))?;
    rustix::process::umask(rustix::fs::Mode::empty());
    let process = &plan.process;
    if let Some(adjustment) = process.oom_score_adj {
        // The host's /proc still: it names us by our pid there.
        std::fs::write("/proc/self/oom_score_adj", adjustment.to_string())
            .map_err(|err| Failure::setup("write /proc/self/oom_score_adj", err))?;
    }
    if let Some(cgroup) = &plan.cgroup {
        cgroups::enter(cgroup)?;
    }
    let with_init = match &plan.target {
        TargetPlan::Container(container) => {
            let detached = joined.split_off(container.join.len());
            namespaces::join(&container.join, &joined)?;
            drop(joined);
            namespaces::create_late(container.create)?;
            mounts::build(plan, container, place, detached, keeper)?;
            container.init
        }
        TargetPlan::Exec { .. } => {
            namespaces::enter(place.as_fd())?;
            drop(place);
            if let Some(size) = plan.stdio.tty {
                terminal::in_running_container(size, process.uid, keeper)?;
            }
            false
        }
    };
    terminal::own_stdio(process.uid, process.gid);
    rustix::process::setrlimit(Resource::Nofile, birth.open_files)
        .map_err(|err| Failure::setup("restore the limit of open files", err))?;
    limits(process)?;
    become_program(process, seccomp, birth, keeper, with_init)
}

/// The last part: from root with everything to what the program may be.
fn become_program(
    process: &ProcessPlan,
    seccomp: &[u8],
    birth: &Birth,
    keeper: &Keeper,
    with_init: bool,
) -> Step<std::convert::Infallible> {
    // As root first, because a user may start in a directory that only root can reach; as the user second, because
    // root may not be able to enter it (NFS). Source: runc's behaviour.
    let arrived = program::enter_directory(&process.cwd);
    user::switch(process)?;
    if arrived.is_err() {
        program::enter_directory(&process.cwd)?;
    }
    program::check_directory()?;
    let path = program::find(process)?;
    let exec = program::Exec::new(path, process)?;
    if birth.die_with_parent {
        // Changing credentials has cleared it.
        die_with_parent()?;
    }
    user::confine(process, seccomp)?;
    if with_init {
        init::split(birth)?;
    }
    keeper.tell(&Progress::Ready, Vec::new()).map_err(|err| Failure::setup("talk to the keeper", err))?;
    Err(exec.run())
}

fn die_with_parent() -> Step {
    // If the keeper died before this call, the next message to it fails, and we exit.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|err| Failure::setup("prctl PDEATHSIG", err))
}

fn limits(process: &ProcessPlan) -> Step {
    for limit in &process.rlimits {
        let Some(resource) = resource(limit.resource) else {
            return Err(Failure::new(FailureKind::Invalid, format!("unknown rlimit {}", limit.resource)));
        };
        let value = |n: u64| (n != u64::MAX).then_some(n);
        let wanted = Rlimit { current: value(limit.soft), maximum: value(limit.hard) };
        rustix::process::setrlimit(resource, wanted)
            .map_err(|err| Failure::setup(format!("error setting rlimit type {}", limit.resource), err))?;
    }
    Ok(())
}

fn resource(number: u32) -> Option<Resource> {
    Some(match number {
        libc::RLIMIT_CPU => Resource::Cpu,
        libc::RLIMIT_FSIZE => Resource::Fsize,
        libc::RLIMIT_DATA => Resource::Data,
        libc::RLIMIT_STACK => Resource::Stack,
        libc::RLIMIT_CORE => Resource::Core,
        libc::RLIMIT_RSS => Resource::Rss,
        libc::RLIMIT_NPROC => Resource::Nproc,
        libc::RLIMIT_NOFILE => Resource::Nofile,
        libc::RLIMIT_MEMLOCK => Resource::Memlock,
        libc::RLIMIT_AS => Resource::As,
        libc::RLIMIT_LOCKS => Resource::Locks,
        libc::RLIMIT_SIGPENDING => Resource::Sigpending,
        libc::RLIMIT_MSGQUEUE => Resource::Msgqueue,
        libc::RLIMIT_NICE => Resource::Nice,
        libc::RLIMIT_RTPRIO => Resource::Rtprio,
        libc::RLIMIT_RTTIME => Resource::Rttime,
        _ => return None,
    })
}
