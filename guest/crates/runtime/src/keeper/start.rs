//! Starting a process: stdio, `clone3`, and listening to the child until it executes its program.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::pipe::PipeFlags;
use rustix::thread::LinkNameSpaceType;

use super::Keeper;
use super::process::{OurEnds, Process, Stage, Start};
use crate::child::{self, Birth};
use crate::plan::{Plan, TargetPlan};
use crate::protocol::{Failure, FailureKind, Progress, Reply, unpack};
use crate::sys::{self, Fork};
use crate::{NamespaceKind, Stdio};

/// What pipes should hold, so that a busy writer is not stopped by every hiccup of the reader. Memory is used only when filled.
const PIPE_BYTES: usize = 1024 * 1024;

/// The child's ends of its stdio.
struct TheirEnds {
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
}

impl Keeper {
    pub(super) fn spawn(&mut self, id: u64, plan: Plan, blobs: Vec<Vec<u8>>, fds: Vec<OwnedFd>) {
        let started = if self.quit {
            Err(Failure::new(FailureKind::Setup, "the keeper is ending"))
        } else if self.by_key.contains_key(&plan.key) {
            Err(Failure::new(FailureKind::Exists, plan.key.clone()))
        } else {
            self.give_birth(id, plan, blobs, fds)
        };
        if let Err(failure) = started {
            self.reply(&Reply::Failed { id, failure }, &[], Vec::new());
        }
    }

    fn give_birth(&mut self, id: u64, plan: Plan, blobs: Vec<Vec<u8>>, fds: Vec<OwnedFd>) -> Result<(), Failure> {
        let mut blobs = blobs.into_iter();
        let (meta, seccomp) = (blobs.next().unwrap_or_default(), blobs.next().unwrap_or_default());
        let step = |what: &'static str| move |err: io::Error| Failure::setup(what, err);
        let (ours, theirs) = stdio(plan.stdio).map_err(step("create pipes"))?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (sync, child_sync) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
            .map_err(|err| Failure::setup("create a socket pair", err))?;
        let cgroup = match plan.cgroup.as_ref().and_then(|cgroup| cgroup.v2.as_ref()) {
            None => None,
            Some(path) => {
                let open = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let fd = rustix::fs::open(path, open, Mode::empty());
                Some(fd.map_err(|err| Failure::setup(format!("open cgroup {}", path.display()), err))?)
            }
        };
        let (place, joined, create) = match &plan.target {
            TargetPlan::Container(container) => {
                let mut fds = fds.into_iter();
                let rootfs = fds.next().ok_or_else(|| invalid("no root filesystem"))?;
                let joined: Vec<OwnedFd> = fds.collect();
                if joined.len() != container.join.len() + container.detached {
                    return Err(invalid("namespaces, mounts and descriptors do not match"));
                }
                // The cgroup namespace is made by the child, once it is in its cgroups.
                (rootfs, joined, container.create & !NamespaceKind::Cgroup.flag())
            }
            TargetPlan::Exec { container } => (self.running_container(container)?, Vec::new(), 0),
        };
        let null = self.dev_null.as_raw_fd();
        let raw = |fd: &Option<OwnedFd>| fd.as_ref().map_or(null, AsRawFd::as_raw_fd);
        let birth = Birth {
            stdio: [raw(&theirs.stdin), raw(&theirs.stdout), raw(&theirs.stderr)],
            sync: child_sync.as_raw_fd(),
            place: place.as_raw_fd(),
            joined: joined.iter().map(AsRawFd::as_raw_fd).collect::<Vec<RawFd>>(),
            die_with_parent: self.die_with_keeper,
            open_files: self.open_files,
            command_line: self.command_line,
        };
        let fork = match born_in(&plan, &place, &joined) {
            None => sys::clone3(create, cgroup.as_ref().map(AsFd::as_fd)),
            Some(namespace) => self.clone_in_pid_namespace(namespace, create, cgroup.as_ref().map(AsFd::as_fd)),
        };
        match fork.map_err(|err| not_running(err, &plan))? {
            Fork::Child => child::run(&plan, &seccomp, &birth),
            Fork::Parent { pid, pidfd } => {
                drop((child_sync, theirs));
                self.watch(id, plan.key, meta, pid, pidfd, ours, sync)
            }
        }
    }

    fn running_container(&self, key: &str) -> Result<OwnedFd, Failure> {
        let gone = || Failure::new(FailureKind::NotRunning, key);
        let token = self.by_key.get(key).ok_or_else(gone)?;
        let process = self.processes.get(token).ok_or_else(gone)?;
        if !matches!(process.stage, Stage::Running) {
            return Err(gone());
        }
        process.pidfd.try_clone().map_err(|err| Failure::setup("copy a pidfd", err))
    }

    /// Children are born in the pid namespace that we point at; we ourselves stay where we are.
    fn clone_in_pid_namespace(
        &self,
        namespace: BorrowedFd<'_>,
        create: u64,
        cgroup: Option<BorrowedFd<'_>>,
    ) -> io::Result<Fork> {
        let enter = |fd| rustix::thread::move_into_link_name_space(fd, Some(LinkNameSpaceType::ProcessID));
        enter(namespace)?;
        let fork = sys::clone3(create, cgroup);
        if matches!(fork, Ok(Fork::Child)) {
            return Ok(Fork::Child);
        }
        if let Err(err) = enter(self.own_pid_namespace.as_fd()) {
            // Every later child would be born in a stranger's namespace.
            tracing::error!(%err, "cannot return to the own pid namespace");
            std::process::abort();
        }
        fork
    }

    #[allow(clippy::too_many_arguments)]
    fn watch(
        &mut self,
        id: u64,
        key: String,
        meta: Vec<u8>,
        pid: i32,
        pidfd: OwnedFd,
        stdio: OurEnds,
        sync: OwnedFd,
    ) -> Result<(), Failure> {
        let token = self.next;
        self.next += 1;
        if let Err(err) = epoll::add(&self.epoll, &sync, EventData::new_u64(token), EventFlags::IN) {
            let _ = rustix::process::pidfd_send_signal(&pidfd, rustix::process::Signal::KILL);
            self.failed.insert(pid);
            return Err(Failure::setup("watch the child", err));
        }
        let stage = Stage::Starting(Start { id, engine: self.engines, sync, ready: false, failure: None });
        self.by_key.insert(key.clone(), token);
        self.by_pid.insert(pid, token);
        self.processes.insert(token, Process { key, meta, pid, pidfd, stdio, stage, released: false });
        Ok(())
    }

    /// Reads what a starting child says; on its end decides what became of it.
    pub(super) fn progress(&mut self, token: u64) {
        loop {
            let Some(process) = self.processes.get_mut(&token) else { return };
            let Stage::Starting(start) = &mut process.stage else { return };
            let message =
                crate::packet::receive(&start.sync).and_then(|(body, fds)| Ok((unpack::<Progress>(&body)?.0, fds)));
            match message {
                Ok((Progress::Pty, fds)) => {
                    process.stdio.pty = fds.into_iter().next();
                    if let Some(pty) = &process.stdio.pty {
                        let _ = rustix::io::ioctl_fionbio(pty, true);
                    }
                }
                Ok((Progress::Ready, _)) => start.ready = true,
                Ok((Progress::Failed(failure), _)) => start.failure = Some(failure),
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => break,
            }
        }
        let Some(process) = self.processes.get_mut(&token) else { return };
        let Stage::Starting(start) = &mut process.stage else { return };
        match (start.failure.take(), start.ready) {
            (Some(failure), _) => self.fail(token, failure),
            (None, true) => self.started(token),
            // It died before it could say why: being reaped will tell. No more events from a closed socket, though.
            (None, false) => drop(epoll::delete(&self.epoll, &start.sync)),
        }
    }

    pub(super) fn started(&mut self, token: u64) {
        let Some(process) = self.processes.get_mut(&token) else { return };
        let Stage::Starting(start) = &process.stage else { return };
        let (id, engine) = (start.id, start.engine);
        process.stage = Stage::Running;
        match process.descriptors() {
            Ok((fds, copies)) => {
                let pid = process.pid;
                self.answer_start(engine, &Reply::Spawned { id, pid, fds }, copies);
            }
            Err(err) => {
                let _ = rustix::process::pidfd_send_signal(&process.pidfd, rustix::process::Signal::KILL);
                process.released = true;
                let failure = Failure::setup("hand the process over", err);
                self.answer_start(engine, &Reply::Failed { id, failure }, Vec::new());
            }
        }
    }

    pub(super) fn fail(&mut self, token: u64, failure: Failure) {
        let Some(process) = self.processes.get(&token) else { return };
        let Stage::Starting(start) = &process.stage else { return };
        let (id, engine, pid) = (start.id, start.engine, process.pid);
        self.forget(token);
        self.failed.insert(pid);
        self.answer_start(engine, &Reply::Failed { id, failure }, Vec::new());
    }
}

/// Whose pid namespace the process is born in, if not one of its own or ours: a pidfd or a namespace descriptor.
fn born_in<'a>(plan: &Plan, place: &'a OwnedFd, joined: &'a [OwnedFd]) -> Option<BorrowedFd<'a>> {
    match &plan.target {
        TargetPlan::Exec { .. } => Some(place.as_fd()),
        TargetPlan::Container(container) => {
            let index = container.join.iter().position(|&kind| kind == NamespaceKind::Pid)?;
            Some(joined[index].as_fd())
        }
    }
}

/// A pid namespace whose first process has ended takes no new ones: ESRCH from setns, ENOMEM from clone.
fn not_running(err: io::Error, plan: &Plan) -> Failure {
    match (&plan.target, err.raw_os_error()) {
        (TargetPlan::Exec { container }, Some(libc::ESRCH | libc::ENOMEM)) => {
            Failure::new(FailureKind::NotRunning, container.clone())
        }
        _ => Failure::setup("clone", err),
    }
}

fn invalid(text: &str) -> Failure {
    Failure::new(FailureKind::Invalid, text)
}

fn stdio(wanted: Stdio) -> io::Result<(OurEnds, TheirEnds)> {
    let mut ours = OurEnds::default();
    let mut theirs = TheirEnds { stdin: None, stdout: None, stderr: None };
    if wanted.tty.is_some() {
        return Ok((ours, theirs));
    }
    if wanted.stdin {
        let (read, write) = pipe()?;
        rustix::io::ioctl_fionbio(&write, true)?;
        (ours.stdin, theirs.stdin) = (Some(write), Some(read));
    }
    let (read, write) = pipe()?;
    rustix::io::ioctl_fionbio(&read, true)?;
    (ours.stdout, theirs.stdout) = (Some(read), Some(write));
    let (read, write) = pipe()?;
    rustix::io::ioctl_fionbio(&read, true)?;
    (ours.stderr, theirs.stderr) = (Some(read), Some(write));
    Ok((ours, theirs))
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    // Best effort: fs.pipe-max-size or the user's budget may be smaller.
    let _ = rustix::pipe::fcntl_setpipe_size(&write, PIPE_BYTES);
    Ok((read, write))
}
