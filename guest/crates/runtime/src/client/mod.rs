//! The engine's asynchronous client of the keeper.
//!
//! One task reads the socket and hands every message to whoever waits for it; writers send whole datagrams and need no lock.
//!
//! Natively a keeper can be killed. Its processes die with it; whoever waits for one learns that its end is unknown; and the
//! next spawn starts another keeper.

mod connection;

use std::future::Future;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{broadcast, mpsc, oneshot};

use crate::plan::{Plan, Wanted, lower};
use crate::protocol::{Fds, Reply, Request, Verb, pack};
use crate::{Exited, Kept, RuntimeError, Spawn, SpawnError, Spawned, Target};
use connection::{Answer, Connection};

/// Exits that a slow receiver of [`Runtime::exits`] may be behind.
const EXITS_BACKLOG: usize = 4096;

/// A connection to the keeper. Clones share it; the last one dropped closes it, which ends nothing that runs.
#[derive(Debug, Clone)]
pub struct Runtime {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    current: Mutex<Arc<Connection>>,
    /// Held while another keeper is started.
    renewing: tokio::sync::Mutex<()>,
    socket: PathBuf,
    /// Starts keepers; `None` in the guest, where the keeper is pid 1.
    exe: Option<PathBuf>,
    /// Told to end: no other keeper may follow.
    ended: AtomicBool,
    next: AtomicU64,
    exits: broadcast::Sender<Exited>,
}

/// The replies to a request, and the connection they come over.
struct Asked {
    connection: Arc<Connection>,
    answers: mpsc::UnboundedReceiver<Answer>,
}

impl Asked {
    async fn answer(&mut self) -> Result<Answer, RuntimeError> {
        self.answers.recv().await.ok_or(RuntimeError::Lost)
    }
}

impl Runtime {
    /// Connects to a keeper that is already there (the guest: pid 1). Takes over from an earlier engine.
    pub async fn connect(socket: &Path) -> Result<Self, RuntimeError> {
        let exits = broadcast::channel(EXITS_BACKLOG).0;
        let connection = Connection::open(socket, &exits)?;
        Ok(Self::new(connection, socket, None, exits))
    }

    /// Connects, starting `exe keeper --socket SOCKET` detached when none answers (natively).
    pub async fn connect_or_spawn(socket: &Path, exe: &Path) -> Result<Self, RuntimeError> {
        let exits = broadcast::channel(EXITS_BACKLOG).0;
        let connection = Connection::open_or_start(socket, exe, &exits).await?;
        Ok(Self::new(connection, socket, Some(exe.to_owned()), exits))
    }

    fn new(connection: Connection, socket: &Path, exe: Option<PathBuf>, exits: broadcast::Sender<Exited>) -> Self {
        let inner = Inner {
            current: Mutex::new(Arc::new(connection)),
            renewing: tokio::sync::Mutex::default(),
            socket: socket.to_owned(),
            exe,
            ended: AtomicBool::new(false),
            next: AtomicU64::new(1),
            exits,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Everything the keeper keeps. Call once, right after connecting, before spawning.
    pub async fn adopt(&self) -> Result<Vec<Kept>, RuntimeError> {
        let connection = self.live().await?;
        let mut asked = self.ask_over(connection, Verb::Adopt).await?;
        let mut all = Vec::new();
        loop {
            let answer = asked.answer().await?;
            match answer.reply {
                Reply::Kept { key, pid, fds, exited, .. } => {
                    let process = take_fds(pid, fds, answer.fds)?;
                    let exited = exited.map(|end| connection::exited(&key, end));
                    let meta = answer.blobs.into_iter().next().unwrap_or_default();
                    all.push(Kept { key, meta, process, exited });
                }
                _ => return Ok(all),
            }
        }
    }

    /// Starts a process; returns when it has called `execve`, or with the reason why it could not.
    ///
    /// When the future is dropped half-way the process, if it starts, is killed and forgotten.
    pub async fn spawn(&self, request: Spawn) -> Result<Spawned, SpawnError> {
        let (deliver, result) = oneshot::channel();
        let runtime = self.clone();
        // A task of its own, because the caller may lose interest but the keeper's answer comes.
        tokio::spawn(async move {
            let key = request.key.clone();
            if let Err(Ok(_)) = deliver.send(runtime.start(request).await) {
                let _ = runtime.forget(&key, true).await;
            }
        });
        result.await.unwrap_or(Err(RuntimeError::Lost.into()))
    }

    async fn start(&self, request: Spawn) -> Result<Spawned, SpawnError> {
        let Spawn { key, meta, spec, target, stdio, cgroup, seccomp } = request;
        let (wanted, mut fds, mounts) = match target {
            Target::Exec { container } => (Wanted::Exec { container }, Vec::new(), Vec::new()),
            Target::Container { rootfs, join, mounts, init } => {
                (Wanted::Container { join, mounts: mounts.len(), init }, vec![rootfs], mounts)
            }
        };
        let (plan, joined) = lower(&key, &spec, stdio, cgroup, wanted)?;
        fds.extend(joined.into_iter().map(|namespace| namespace.fd));
        fds.extend(mounts);
        let filter = seccomp.as_ref().map_or(&[][..], |program| &program.bytes);
        let mut asked = self.ask_to_spawn(&key, plan, &[&meta, filter], fds).await?;
        let started = match asked.answer().await {
            Ok(Answer { reply: Reply::Spawned { pid, fds: present, .. }, fds, .. }) => {
                take_fds(pid, present, fds).map_err(SpawnError::from)
            }
            Ok(Answer { reply: Reply::Failed { failure, .. }, .. }) => Err(failure.into()),
            Ok(other) => Err(RuntimeError::Protocol(format!("{:?}", other.reply)).into()),
            Err(err) => Err(err.into()),
        };
        match &started {
            Ok(_) => {}
            // It runs, but what came with the news cannot be used.
            Err(SpawnError::Runtime(RuntimeError::Protocol(_))) => drop(self.forget(&key, true).await),
            Err(_) => asked.connection.untrack(&key),
        }
        started
    }

    /// Twice, if the keeper turns out to be gone: what could not be sent has not happened.
    async fn ask_to_spawn(
        &self,
        key: &str,
        plan: Plan,
        blobs: &[&[u8]],
        fds: Vec<OwnedFd>,
    ) -> Result<Asked, SpawnError> {
        let id = self.next_id();
        let request = Request { id, verb: Verb::Spawn(Box::new(plan)) };
        let packet = pack(&request, blobs, fds).map_err(RuntimeError::Talk)?;
        let mut again = true;
        loop {
            let connection = self.live().await?;
            connection.track(key)?;
            match connection.ask(id, &packet).await {
                Ok(answers) => return Ok(Asked { connection, answers }),
                Err(RuntimeError::Lost) if again => again = false,
                Err(err) => {
                    connection.untrack(key);
                    return Err(err.into());
                }
            }
        }
    }

    /// Every exit from now on. A receiver that lags loses the oldest; [`Runtime::exited`] never loses one.
    pub fn exits(&self) -> broadcast::Receiver<Exited> {
        self.inner.exits.subscribe()
    }

    /// Waits for the end of one process, also when it has ended already (until it is released).
    /// `None`: no such key, or the keeper is lost.
    pub async fn exited(&self, key: &str) -> Option<Exited> {
        let mut end = self.current().end_of(key)?;
        let end = end.wait_for(Option::is_some).await.ok()?;
        end.clone()
    }

    /// Closes the keeper's copy of a process's standard input, so that closing ours means end of file.
    pub async fn close_stdin(&self, key: &str) -> Result<(), RuntimeError> {
        self.tell(Verb::CloseStdin { key: key.to_owned() }).await
    }

    /// Forgets an ended process (or a running one as soon as it ends) and closes the keeper's descriptors of it.
    pub async fn release(&self, key: &str) -> Result<(), RuntimeError> {
        self.forget(key, false).await
    }

    async fn forget(&self, key: &str, kill: bool) -> Result<(), RuntimeError> {
        self.current().untrack(key);
        self.tell(Verb::Release { key: key.to_owned(), kill }).await
    }

    /// Kills everything and ends the keeper (natively; pid 1 only kills).
    pub async fn quit(&self) -> Result<(), RuntimeError> {
        self.inner.ended.store(true, Ordering::Relaxed);
        self.tell(Verb::Quit).await
    }

    /// Resolves when the keeper's socket closes: natively the keeper and its processes are dead then (or another engine has
    /// taken over).
    pub fn lost(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut loss = self.current().loss();
        async move {
            // An error means that the reading task has gone: lost as well.
            let _ = loss.wait_for(|lost| *lost).await;
        }
    }

    fn current(&self) -> Arc<Connection> {
        // Nothing panics while holding it.
        self.inner.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The connection, or one to a new keeper.
    async fn live(&self) -> Result<Arc<Connection>, RuntimeError> {
        let connection = self.current();
        if !connection.is_lost() {
            return Ok(connection);
        }
        let _one_at_a_time = self.inner.renewing.lock().await;
        let connection = self.current();
        if !connection.is_lost() {
            return Ok(connection);
        }
        let over = self.inner.ended.load(Ordering::Relaxed) || connection.is_taken_over();
        let Some(exe) = self.inner.exe.as_ref().filter(|_| !over) else {
            return Err(RuntimeError::Lost);
        };
        let fresh = Connection::open_or_start(&self.inner.socket, exe, &self.inner.exits).await?;
        let fresh = Arc::new(fresh);
        *self.inner.current.lock().unwrap_or_else(PoisonError::into_inner) = fresh.clone();
        tracing::warn!("the keeper was lost, and every container with it; another one has been started");
        Ok(fresh)
    }

    fn next_id(&self) -> u64 {
        self.inner.next.fetch_add(1, Ordering::Relaxed)
    }

    async fn ask_over(&self, connection: Arc<Connection>, verb: Verb) -> Result<Asked, RuntimeError> {
        let id = self.next_id();
        let packet = pack(&Request { id, verb }, &[], Vec::new()).map_err(RuntimeError::Talk)?;
        let answers = connection.ask(id, &packet).await?;
        Ok(Asked { connection, answers })
    }

    /// Something that only matters to the keeper there is: never a reason to start another.
    async fn tell(&self, verb: Verb) -> Result<(), RuntimeError> {
        self.ask_over(self.current(), verb).await?.answer().await.map(drop)
    }
}

fn take_fds(pid: i32, present: Fds, fds: Vec<OwnedFd>) -> Result<Spawned, RuntimeError> {
    let mut fds = fds.into_iter();
    let mut take = |wanted: bool| -> Result<Option<OwnedFd>, RuntimeError> {
        if !wanted {
            return Ok(None);
        }
        fds.next().map(Some).ok_or_else(|| RuntimeError::Protocol("a descriptor is missing".into()))
    };
    let pidfd = take(true)?.ok_or_else(|| RuntimeError::Protocol("no pidfd".into()))?;
    Ok(Spawned {
        pid,
        pidfd,
        stdin: take(present.stdin)?,
        stdout: take(present.stdout)?,
        stderr: take(present.stderr)?,
        pty: take(present.pty)?,
    })
}

/// Sends a signal to a process by its descriptor. `NotFound`-like errors (ESRCH) mean that it has ended.
pub fn signal(pidfd: impl AsFd, signal: i32) -> io::Result<()> {
    crate::sys::pidfd_signal(pidfd.as_fd(), signal)
}
