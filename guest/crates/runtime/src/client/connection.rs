//! One connection to a keeper, from its opening to its loss.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{broadcast, mpsc, watch};

use crate::packet::{self, Packet};
use crate::protocol::{End, Reply, unpack};
use crate::{Exited, RuntimeError, SpawnError};

/// How long a keeper that was just started may take to listen.
const KEEPER_START: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Connection {
    shared: Arc<Shared>,
    /// Ends the reading task when the connection is dropped.
    _alive: watch::Sender<()>,
}

#[derive(Debug)]
struct Shared {
    socket: AsyncFd<OwnedFd>,
    tables: Mutex<Tables>,
    exits: broadcast::Sender<Exited>,
    lost: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Tables {
    /// Who waits for the replies to a request.
    waiting: HashMap<u64, mpsc::UnboundedSender<Answer>>,
    /// Every process that is not released.
    processes: HashMap<String, watch::Sender<Option<Exited>>>,
    lost: bool,
    taken_over: bool,
}

#[derive(Debug)]
pub(super) struct Answer {
    pub reply: Reply,
    pub blobs: Vec<Vec<u8>>,
    pub fds: Vec<OwnedFd>,
}

impl Connection {
    pub fn open(path: &Path, exits: &broadcast::Sender<Exited>) -> Result<Self, RuntimeError> {
        let failed = |source: io::Error| RuntimeError::Connect { path: path.display().to_string(), source };
        let shared = Arc::new(Shared {
            socket: dial(path).and_then(crate::sys::async_fd).map_err(failed)?,
            tables: Mutex::default(),
            exits: exits.clone(),
            lost: watch::channel(false).0,
        });
        let (alive, dropped) = watch::channel(());
        tokio::spawn(read(shared.clone(), dropped));
        Ok(Self { shared, _alive: alive })
    }

    /// Opens one, starting `exe keeper --socket PATH` detached when nobody answers.
    pub async fn open_or_start(
        path: &Path,
        exe: &Path,
        exits: &broadcast::Sender<Exited>,
    ) -> Result<Self, RuntimeError> {
        match Self::open(path, exits) {
            Err(RuntimeError::Connect { source, .. }) if is_absent(&source) => {}
            done => return done,
        }
        let failed = |source: io::Error| RuntimeError::Start { exe: exe.display().to_string(), source };
        // It makes a session of its own at once, so that nothing of our terminal reaches it.
        let mut command = std::process::Command::new(exe);
        command
            .arg("keeper")
            .arg("--socket")
            .arg(path)
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        if let Some(limit) = crate::limits::open_files_at_birth() {
            crate::sys::limit_open_files(&mut command, limit);
        }
        let mut keeper = tokio::process::Command::from(command).spawn().map_err(failed)?;
        let patience = tokio::time::Instant::now() + KEEPER_START;
        loop {
            match Self::open(path, exits) {
                Err(RuntimeError::Connect { source, .. }) if is_absent(&source) => {}
                done => {
                    // Reaped if it ends while we live; init's when it outlives us.
                    tokio::spawn(async move { keeper.wait().await });
                    return done;
                }
            }
            if let Ok(Some(status)) = keeper.try_wait() {
                return Err(failed(io::Error::other(format!("it ended at once: {status}"))));
            }
            if tokio::time::Instant::now() > patience {
                return Err(failed(io::ErrorKind::TimedOut.into()));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub fn is_lost(&self) -> bool {
        self.shared.tables().lost
    }

    /// Lost to another engine: the keeper lives and is no longer ours.
    pub fn is_taken_over(&self) -> bool {
        self.shared.tables().taken_over
    }

    /// Becomes true when it is lost.
    pub fn loss(&self) -> watch::Receiver<bool> {
        self.shared.lost.subscribe()
    }

    /// Follows a process from before its start until [`Connection::untrack`].
    pub fn track(&self, key: &str) -> Result<(), SpawnError> {
        let mut tables = self.shared.tables();
        if tables.processes.contains_key(key) {
            return Err(SpawnError::Exists(key.to_owned()));
        }
        tables.processes.insert(key.to_owned(), watch::channel(None).0);
        Ok(())
    }

    pub fn untrack(&self, key: &str) {
        self.shared.tables().processes.remove(key);
    }

    pub fn end_of(&self, key: &str) -> Option<watch::Receiver<Option<Exited>>> {
        self.shared.tables().processes.get(key).map(watch::Sender::subscribe)
    }

    /// Sends a request; replies come out of the receiver, which ends when the connection is lost. `Lost`: the request has not
    /// reached anybody.
    pub async fn ask(&self, id: u64, packet: &Packet) -> Result<mpsc::UnboundedReceiver<Answer>, RuntimeError> {
        // Bounded by what the keeper keeps: one message per process (Adopt), otherwise one.
        let (sender, receiver) = mpsc::unbounded_channel();
        {
            let mut tables = self.shared.tables();
            if tables.lost {
                return Err(RuntimeError::Lost);
            }
            tables.waiting.insert(id, sender);
        }
        let sent = self.shared.socket.async_io(Interest::WRITABLE, |socket| packet.send(socket)).await;
        match sent {
            Ok(()) => Ok(receiver),
            Err(err) => {
                self.shared.tables().waiting.remove(&id);
                match err.kind() {
                    io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
                        // Why not lost at once: what the keeper said last, that another engine has taken over, may be
                        // unread yet, and the reading task knows the end when it gets there.
                        let _ = self.loss().wait_for(|lost| *lost).await;
                        Err(RuntimeError::Lost)
                    }
                    _ => Err(RuntimeError::Talk(err)),
                }
            }
        }
    }
}

impl Shared {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        // Nothing panics while holding it.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dispatch(&self, answer: Answer) {
        let (id, last) = match &answer.reply {
            Reply::Exited { key, end } => return self.ended(exited(key, *end)),
            Reply::TakenOver => {
                self.tables().taken_over = true;
                return;
            }
            Reply::Kept { id, key, exited: end, .. } => {
                let end = end.map(|end| exited(key, end));
                self.tables().processes.insert(key.clone(), watch::channel(end).0);
                (*id, false)
            }
            Reply::Spawned { id, .. } | Reply::Failed { id, .. } | Reply::Done { id } => (*id, true),
        };
        let mut tables = self.tables();
        let waiting = if last { tables.waiting.remove(&id) } else { tables.waiting.get(&id).cloned() };
        if let Some(waiting) = waiting {
            // Whoever asked may have lost interest; the descriptors close with the message.
            let _ = waiting.send(answer);
        }
    }

    fn ended(&self, exited: Exited) {
        if let Some(process) = self.tables().processes.get(&exited.key) {
            process.send_replace(Some(exited.clone()));
        }
        let _ = self.exits.send(exited);
    }

    fn lose(&self) {
        let mut tables = self.tables();
        tables.lost = true;
        tables.waiting.clear();
        // Ends known already stay known; whoever waits for another learns that it will not come.
        tables.processes.retain(|_, process| process.borrow().is_some());
        drop(tables);
        self.lost.send_replace(true);
    }
}

async fn read(shared: Arc<Shared>, mut dropped: watch::Receiver<()>) {
    loop {
        let message = tokio::select! {
            message = shared.socket.async_io(Interest::READABLE, |socket| packet::receive(socket)) => message,
            _ = dropped.changed() => return,
        };
        let answer = message.and_then(|(body, fds)| {
            let (reply, blobs) = unpack::<Reply>(&body)?;
            Ok(Answer { reply, blobs, fds })
        });
        match answer {
            Ok(answer) => shared.dispatch(answer),
            // One bad message is no reason to give every container up for dead.
            Err(err) if err.kind() == io::ErrorKind::InvalidData => {
                tracing::error!(%err, "malformed message from the keeper");
            }
            // It closed without reading what we had sent. The kernel tells this before what is still to be read, and once.
            // Source: linux net/unix/af_unix.c, unix_release_sock.
            Err(err) if err.kind() == io::ErrorKind::ConnectionReset => {}
            Err(err) => {
                if err.kind() != io::ErrorKind::UnexpectedEof {
                    tracing::error!(%err, "lost the keeper");
                }
                return shared.lose();
            }
        }
    }
}

fn dial(path: &Path) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

/// Nobody listens there.
fn is_absent(err: &io::Error) -> bool {
    matches!(err.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

pub(super) fn exited(key: &str, end: End) -> Exited {
    let at: SystemTime = UNIX_EPOCH + Duration::from_nanos(end.at_ns);
    Exited { key: key.to_owned(), status: end.status, at }
}
