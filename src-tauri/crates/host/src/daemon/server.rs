//! The daemon itself.

use std::fs::{File, TryLockError};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cubby_wire::frame;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::protocol::{Figures, Reply, Request, Status};
use crate::access::Access;
use crate::control::Control;
use crate::dirs::{Dirs, DirsError};
use crate::local::{self, Stream};
use crate::proxy;
use crate::schema::MachinePhase;
use crate::socket::{Socket, SocketError};
use crate::supervisor::hardware::Hardware;
use crate::supervisor::{Config, Supervisor, blank_state};

/// Of a guest that looks through all its memory.
const GIVE_BACK_PATIENCE: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Clients at once; the app, a few commands.
const CLIENTS: usize = 256;

#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    #[error("the daemon of this profile runs already")]
    AlreadyRunning,
    #[error(transparent)]
    Dirs(#[from] DirsError),
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error("could not lock {0}")]
    Lock(PathBuf, #[source] io::Error),
    #[error("could not listen for signals")]
    Signals(#[source] io::Error),
}

/// Times and bounds, adjustable by tests.
#[derive(Clone, Debug)]
pub struct Options {
    pub supervisor: Config,
    pub proxy: proxy::Limits,
    /// With the machine off and nobody connected for this long, the daemon ends.
    pub idle_exit: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { supervisor: Config::default(), proxy: proxy::Limits::default(), idle_exit: Duration::from_secs(60) }
    }
}

/// Runs until asked to end (a client's `down`, SIGTERM, SIGINT) or idle; the machine is off when it returns.
pub async fn run(dirs: &Dirs, hardware: Arc<dyn Hardware>, options: Options) -> Result<(), DaemonError> {
    dirs.make()?;
    let _lock = lock(dirs)?;
    local::raise_descriptor_limit();
    let docker = Socket::bind(&dirs.docker_socket())?;
    let control = Socket::bind(&dirs.daemon_socket())?;
    let asked_to_end = local::asked_to_end().map_err(DaemonError::Signals)?;
    let (supervisor, task) = Supervisor::spawn(hardware, options.supervisor.clone(), blank_state(dirs));
    let (exit, mut exits) = mpsc::channel(1);
    let (clients, clients_seen) = watch::channel(0_usize);
    let server = Server { supervisor: supervisor.clone(), exit, clients };
    tracing::info!(profile = %dirs.profile, pid = std::process::id(), version = env!("CARGO_PKG_VERSION"), "daemon runs");

    let access = supervisor.access();
    tokio::select! {
        () = proxy::serve(&docker.listener, access, options.proxy) => {}
        () = server.serve(&control) => {}
        _ = exits.recv() => tracing::info!("a client asked for the end"),
        how = asked_to_end => tracing::info!("{how}"),
        () = idle(&supervisor, clients_seen, options.idle_exit) => tracing::info!("idle"),
    }
    supervisor.stop().await;
    drop((supervisor, server));
    let _ = task.await;
    tracing::info!("daemon ends");
    Ok(())
}

fn lock(dirs: &Dirs) -> Result<File, DaemonError> {
    let path = dirs.lock();
    let mut options = local::private_file();
    options.create(true).truncate(false).write(true);
    let file = options.open(&path).map_err(|err| DaemonError::Lock(path.clone(), err))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DaemonError::AlreadyRunning),
        Err(TryLockError::Error(err)) => Err(DaemonError::Lock(path, err)),
    }
}

/// Returns when the machine was off and nobody connected for `patience`.
async fn idle(supervisor: &Supervisor, mut clients: watch::Receiver<usize>, patience: Duration) {
    let mut state = supervisor.state();
    loop {
        // A failure is worth remembering longer: somebody will ask why.
        let patience = match state.borrow().phase {
            MachinePhase::Off => patience,
            MachinePhase::Failed => patience * 10,
            _ => Duration::MAX,
        };
        let in_use = *clients.borrow() > 0 || patience == Duration::MAX;
        let changed = async {
            tokio::select! {
                changed = state.changed() => changed.is_ok(),
                changed = clients.changed() => changed.is_ok(),
            }
        };
        if in_use {
            if !changed.await {
                return;
            }
        } else if tokio::time::timeout(patience, changed).await.is_err() {
            return;
        }
    }
}

/// Neither free nor a cache. Why not what the kernel calls available: that leaves its own reserves out as well.
fn used_bytes(guest: &cubby_wire::control::Figures) -> u64 {
    guest.memory_total_bytes.saturating_sub(guest.memory_free_bytes).saturating_sub(guest.memory_reclaimable_bytes)
}

fn unix_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64)
}

#[derive(Clone)]
struct Server {
    supervisor: Supervisor,
    exit: mpsc::Sender<()>,
    clients: watch::Sender<usize>,
}

impl Server {
    async fn serve(&self, socket: &Socket) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = socket.listener.accept(), if connections.len() < CLIENTS => match accepted {
                    Ok((stream, _)) => {
                        let server = self.clone();
                        self.clients.send_modify(|clients| *clients += 1);
                        connections.spawn(async move {
                            server.converse(stream).await;
                            server.clients.send_modify(|clients| *clients -= 1);
                        });
                    }
                    Err(err) => {
                        tracing::warn!(%err, "could not accept a client");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
            }
        }
    }

    async fn converse(&self, mut stream: Stream) {
        loop {
            let request = match frame::read::<Request>(&mut stream).await {
                Ok(Some(request)) => request,
                Ok(None) => return,
                Err(err) => return tracing::warn!(%err, "a client sent no valid request"),
            };
            tracing::debug!(?request, "client");
            let reply = match request {
                Request::Subscribe => return self.push(stream).await,
                request => self.answer(request).await,
            };
            if frame::write(&mut stream, &reply).await.is_err() {
                return;
            }
            if matches!(request, Request::Down { exit: true }) && self.is_last().await {
                let _ = self.exit.try_send(());
            }
        }
    }

    /// Whether the present client is the only one. A command that has just ended may take a moment to be seen as gone.
    async fn is_last(&self) -> bool {
        let mut clients = self.clients.subscribe();
        let alone = clients.wait_for(|clients| *clients <= 1);
        tokio::time::timeout(Duration::from_secs(1), alone).await.is_ok()
    }

    async fn answer(&self, request: Request) -> Reply {
        match request {
            Request::Up => self.supervisor.start().await,
            Request::Restart => self.supervisor.restart().await,
            Request::Down { .. } => self.supervisor.stop().await,
            Request::Figures => return Reply::Figures { figures: Box::new(self.figures().await) },
            Request::GiveBack => return Reply::Figures { figures: Box::new(self.give_back().await) },
            Request::Status | Request::Subscribe => {
                let machine_pid = self.supervisor.host_figures().await.pid;
                let status = Status {
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                    pid: std::process::id(),
                    machine: self.supervisor.state().borrow().clone(),
                    machine_pid,
                };
                return Reply::Status { status: Box::new(status) };
            }
        }
        Reply::Done
    }

    /// Pushes the machine's state until the client hangs up.
    async fn push(&self, mut stream: Stream) {
        let mut state = self.supervisor.state();
        loop {
            let machine = Box::new(state.borrow_and_update().clone());
            if frame::write(&mut stream, &Reply::State { machine }).await.is_err() {
                return;
            }
            tokio::select! {
                changed = state.changed() => if changed.is_err() { return },
                // Nothing more is expected of the client but its end.
                _ = frame::read::<Request>(&mut stream) => return,
            }
        }
    }

    /// A guest that sleeps gave back all it can already; one that does not answer is no reason to fail: the figures say it.
    async fn give_back(&self) -> Figures {
        let link = match &*self.supervisor.access().borrow() {
            Access::Open(link) if !self.supervisor.state().borrow().sleeping => Some(link.clone()),
            _ => None,
        };
        let Some(link) = link else { return self.figures().await };
        let asked = async {
            let mut control = Control::connect(&link, GIVE_BACK_PATIENCE).await?;
            control.give_back().await?;
            control.trim_disk().await
        };
        if let Err(err) = asked.await {
            tracing::warn!(err = %crate::hardware::chain(&err), "the guest gave nothing back");
        }
        // The host sees it page by page: until it no longer falls.
        let deadline = tokio::time::Instant::now() + GIVE_BACK_PATIENCE;
        let mut figures = self.figures().await;
        loop {
            tokio::time::sleep(LOOK_AGAIN).await;
            let next = self.figures().await;
            let fell = next.host_resident_bytes < figures.host_resident_bytes
                || next.host_disk_bytes < figures.host_disk_bytes;
            figures = next;
            if !fell || tokio::time::Instant::now() > deadline {
                return figures;
            }
        }
    }

    async fn figures(&self) -> Figures {
        let host = self.supervisor.host_figures().await.figures;
        let link = match &*self.supervisor.access().borrow() {
            // Looking must not wake it.
            Access::Open(link) if !self.supervisor.state().borrow().sleeping => Some(link.clone()),
            _ => None,
        };
        let asked_unix_ns = unix_ns();
        let guest = match link {
            None => None,
            Some(link) => {
                let asked = async { Control::connect(&link, Duration::from_secs(5)).await?.figures().await };
                asked.await.inspect_err(|err| tracing::debug!(%err, "no figures from the guest")).ok()
            }
        };
        let guest = guest.unwrap_or_default();
        Figures {
            cpus: guest.cpus,
            uptime_ms: guest.uptime_ms,
            clock_off_ms: if guest.unix_ns == 0 { 0 } else { (guest.unix_ns - asked_unix_ns) / 1_000_000 },
            memory_total_bytes: guest.memory_total_bytes,
            memory_used_bytes: used_bytes(&guest),
            memory_reclaimable_bytes: guest.memory_reclaimable_bytes,
            memory_free_bytes: guest.memory_free_bytes,
            containers_running: guest.containers_running,
            engine_resident_bytes: guest.engine_resident_bytes,
            init_resident_bytes: guest.init_resident_bytes,
            disk_total_bytes: guest.disk_total_bytes,
            disk_used_bytes: guest.disk_total_bytes.saturating_sub(guest.disk_free_bytes),
            host_resident_bytes: host.resident_bytes,
            host_disk_bytes: host.disk_allocated_bytes,
            host_cpu_ms: host.cpu_time.as_millis() as u64,
        }
    }
}
