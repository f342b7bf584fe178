//! The keeper: parent of every container process, holder of their stdio. See ARCHITECTURE.md, "The keeper".
//!
//! ```text
//!             Spawn              EOF after Ready            reaped              Release
//!   (nothing) ─────▶ starting ─────────────────▶ running ──────────▶ ended ─────────────▶ (nothing)
//!                       │ Failed, or reaped before Ready
//!                       └──▶ SpawnFailed; the pid is awaited and forgotten
//! ```
//!
//! It never blocks: a start that hangs (a dead network mount, say) holds up nobody else. If the engine vanishes, everything
//! stays as it is and is told to the next one (`Adopt`).

mod link;
mod native;
mod process;
mod start;

use std::collections::{HashMap, HashSet};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::{DumpableBehavior, Resource, Rlimit, Signal};

pub use native::{protect_executable, run};

use crate::ExitStatus;
use crate::protocol::{End, Failure, FailureKind, Reply, Request, Verb, unpack};
use crate::sys::{self, CommandLine};
use link::Link;
use process::{Process, Stage};

const LISTENER: u64 = 0;
const ENGINE: u64 = 1;
/// Tokens of processes start here.
const FIRST_PROCESS: u64 = 2;

/// Single-threaded; driven by its owner's poll loop (pid 1) or by [`run`] natively.
///
/// The owner polls [`Keeper::as_fd`] for readability, calls [`Keeper::step`] when it is, and hands every reaped child to
/// [`Keeper::reaped`]. SIGCHLD and `waitpid(-1)` stay the owner's. The process must never have a second thread.
#[derive(Debug)]
pub struct Keeper {
    epoll: OwnedFd,
    listener: OwnedFd,
    socket: PathBuf,
    engine: Option<Link>,
    processes: HashMap<u64, Process>,
    by_key: HashMap<String, u64>,
    by_pid: HashMap<i32, u64>,
    /// Children that failed to start and are still to be reaped.
    failed: HashSet<i32>,
    next: u64,
    /// Counts engine connections: a start that another engine asked for is not answered to this one.
    engines: u64,
    /// An Adopt that waits for starts of an earlier engine to end one way or the other.
    adopting: Option<u64>,
    quit: bool,
    /// Natively everything dies with the keeper.
    die_with_keeper: bool,
    /// What containers get unless their spec says otherwise: the limit at [`Keeper::bind`].
    open_files: Rlimit,
    command_line: Option<CommandLine>,
    own_pid_namespace: OwnedFd,
    dev_null: OwnedFd,
}

impl Keeper {
    /// Listens on `socket` (replacing a stale one), mode 0600.
    pub fn bind(socket: &Path) -> io::Result<Self> {
        // What we fork must not be looked into by those who share its pid namespace before it executes their program.
        rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
        let listener = listen(socket)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
        Ok(Self {
            epoll,
            listener,
            socket: socket.to_owned(),
            engine: None,
            processes: HashMap::new(),
            by_key: HashMap::new(),
            by_pid: HashMap::new(),
            failed: HashSet::new(),
            next: FIRST_PROCESS,
            engines: 0,
            adopting: None,
            quit: false,
            die_with_keeper: std::process::id() != 1,
            open_files: rustix::process::getrlimit(Resource::Nofile),
            command_line: CommandLine::find(),
            own_pid_namespace: std::fs::File::open("/proc/self/ns/pid")?.into(),
            dev_null: null.into(),
        })
    }

    /// Handles whatever is ready; never blocks.
    pub fn step(&mut self) -> io::Result<()> {
        let mut events = [MaybeUninit::uninit(); 64];
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        loop {
            let (ready, _) = match epoll::wait(&self.epoll, &mut events, Some(&now)) {
                Err(rustix::io::Errno::INTR) => continue,
                done => done?,
            };
            if ready.is_empty() {
                return Ok(());
            }
            for event in ready.iter() {
                let flags = event.flags;
                match event.data.u64() {
                    LISTENER => self.accept()?,
                    ENGINE => self.engine_ready(flags),
                    token => self.progress(token),
                }
            }
        }
    }

    /// A child was reaped: `wait_status` as `waitpid` gives it. Returns whether it was one of the keeper's.
    pub fn reaped(&mut self, pid: i32, wait_status: i32) -> bool {
        let Some(status) = ExitStatus::from_wait(wait_status) else {
            return self.by_pid.contains_key(&pid);
        };
        if self.failed.remove(&pid) {
            return true;
        }
        let Some(token) = self.by_pid.remove(&pid) else { return false };
        // It may have said something before it ended.
        self.progress(token);
        let Some(process) = self.processes.get_mut(&token) else {
            self.failed.remove(&pid);
            return true;
        };
        let end = End { status, at_ns: now_ns() };
        if let Stage::Starting(start) = &process.stage {
            if !start.ready {
                let text = format!("the process ended during its set-up ({status:?})");
                self.fail(token, Failure::new(FailureKind::Setup, text));
                self.failed.remove(&pid);
                return true;
            }
            self.started(token);
        }
        self.ended(token, end);
        true
    }

    /// Processes that have not ended.
    pub fn running(&self) -> usize {
        self.by_pid.len() + self.failed.len()
    }

    /// SIGKILLs everything kept (their ends arrive through [`Keeper::reaped`]).
    pub fn kill_all(&mut self) {
        for process in self.processes.values() {
            if !matches!(process.stage, Stage::Ended(_)) {
                // Fails only if it has just ended.
                let _ = rustix::process::pidfd_send_signal(&process.pidfd, Signal::KILL);
            }
        }
        for &pid in &self.failed {
            sys::kill(pid, libc::SIGKILL);
        }
    }

    /// A client has asked the keeper to end. Pid 1 may ignore it.
    pub fn quit_requested(&self) -> bool {
        self.quit
    }

    fn accept(&mut self) -> io::Result<()> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = match rustix::net::accept_with(&self.listener, flags) {
            Ok(socket) => socket,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::CONNABORTED) => return Ok(()),
            Err(err) => return Err(err.into()),
        };
        let peer = rustix::net::sockopt::socket_peercred(&socket)?;
        if peer.uid != rustix::process::geteuid() {
            tracing::warn!(uid = peer.uid.as_raw(), "refused a connection of another user");
            return Ok(());
        }
        // A new engine takes over; the old one, if it still lives, sees its socket close.
        self.reply(&Reply::TakenOver, &[], Vec::new());
        self.engine = None;
        epoll::add(&self.epoll, &socket, EventData::new_u64(ENGINE), EventFlags::IN)?;
        self.engine = Some(Link::new(socket));
        self.engines += 1;
        self.adopting = None;
        Ok(())
    }

    fn engine_ready(&mut self, flags: EventFlags) {
        if flags.contains(EventFlags::OUT) {
            self.flush();
        }
        // A bounded turn, so that a chatty engine does not starve starting children.
        for _ in 0..64 {
            let Some(link) = &self.engine else { return };
            match crate::packet::receive(link) {
                Ok((body, fds)) => match unpack::<Request>(&body) {
                    Ok((request, blobs)) => self.handle(request, blobs, fds),
                    Err(err) => tracing::warn!(%err, "malformed request"),
                },
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => return,
                Err(err) => {
                    if err.kind() != io::ErrorKind::UnexpectedEof {
                        tracing::warn!(%err, "lost the engine");
                    }
                    self.engine = None;
                    sys::trim_heap();
                    return;
                }
            }
        }
    }

    fn handle(&mut self, request: Request, blobs: Vec<Vec<u8>>, fds: Vec<OwnedFd>) {
        let id = request.id;
        match request.verb {
            Verb::Spawn(plan) => self.spawn(id, *plan, blobs, fds),
            Verb::Adopt => {
                self.adopting = Some(id);
                self.answer_adopt();
            }
            Verb::Release { key, kill } => {
                if let Some(&token) = self.by_key.get(&key) {
                    self.release(token, kill);
                }
                self.reply(&Reply::Done { id }, &[], Vec::new());
            }
            Verb::CloseStdin { key } => {
                let process = self.by_key.get(&key).and_then(|token| self.processes.get_mut(token));
                if let Some(process) = process {
                    process.stdio.stdin = None;
                }
                self.reply(&Reply::Done { id }, &[], Vec::new());
            }
            Verb::Quit => {
                self.quit = true;
                self.kill_all();
                self.reply(&Reply::Done { id }, &[], Vec::new());
            }
        }
    }

    /// Tells an adopting engine everything, once nothing is half-started for somebody else.
    fn answer_adopt(&mut self) {
        let Some(id) = self.adopting else { return };
        let foreign =
            |process: &Process| matches!(&process.stage, Stage::Starting(start) if start.engine != self.engines);
        if self.processes.values().any(foreign) {
            return;
        }
        self.adopting = None;
        let tokens: Vec<u64> = self.processes.keys().copied().collect();
        for token in tokens {
            let Some(process) = self.processes.get(&token) else { continue };
            if let Some((reply, fds)) = process.kept(id) {
                let meta = process.meta.clone();
                self.reply(&reply, &[&meta], fds);
            }
        }
        self.reply(&Reply::Done { id }, &[], Vec::new());
    }

    /// Answers a start, if the engine that asked is still there.
    fn answer_start(&mut self, engine: u64, reply: &Reply, fds: Vec<OwnedFd>) {
        if engine == self.engines {
            self.reply(reply, &[], fds);
        }
        self.answer_adopt();
    }

    /// Queues a message to the engine, if there is one.
    fn reply(&mut self, reply: &Reply, blobs: &[&[u8]], fds: Vec<OwnedFd>) {
        let Some(link) = &mut self.engine else { return };
        if let Err(err) = link.push(reply, blobs, fds) {
            tracing::warn!(%err, "gave the engine up: it does not listen");
            self.engine = None;
            return;
        }
        self.flush();
    }

    fn flush(&mut self) {
        let Some(link) = &mut self.engine else { return };
        let wanted = match link.flush() {
            Ok(true) => EventFlags::IN,
            Ok(false) => EventFlags::IN | EventFlags::OUT,
            // It has gone: reading tells, and cleans up.
            Err(_) => EventFlags::IN,
        };
        let _ = epoll::modify(&self.epoll, &*link, EventData::new_u64(ENGINE), wanted);
    }

    fn release(&mut self, token: u64, kill: bool) {
        let Some(process) = self.processes.get_mut(&token) else { return };
        if matches!(process.stage, Stage::Ended(_)) {
            self.forget(token);
        } else {
            process.released = true;
            if kill {
                let _ = rustix::process::pidfd_send_signal(&process.pidfd, Signal::KILL);
            }
        }
    }

    fn forget(&mut self, token: u64) {
        if let Some(process) = self.processes.remove(&token) {
            self.by_key.remove(&process.key);
            self.by_pid.remove(&process.pid);
        }
        if self.processes.is_empty() {
            sys::trim_heap();
        }
    }

    fn ended(&mut self, token: u64, end: End) {
        let Some(process) = self.processes.get_mut(&token) else { return };
        process.stage = Stage::Ended(end);
        let key = process.key.clone();
        if process.released {
            self.forget(token);
        }
        self.reply(&Reply::Exited { key, end }, &[], Vec::new());
    }
}

impl AsFd for Keeper {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.socket);
    }
}

fn listen(path: &Path) -> io::Result<OwnedFd> {
    match std::fs::remove_file(path) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
        _ => {}
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    let old = rustix::process::umask(Mode::from_raw_mode(0o177));
    let bound = rustix::net::bind(&socket, &SocketAddrUnix::new(path)?);
    rustix::process::umask(old);
    bound?;
    rustix::net::listen(&socket, 4)?;
    Ok(socket)
}

fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
