//! The host as a user interface sees it: one [`Backend`] over the daemon (the machine) and the engine (everything else).
//!
//! ```text
//!  daemon.sock ──states──▶ machine.rs ─┐
//!                                      ├─▶ World (one lock, revisions) ──▶ events(), snapshot
//!  docker.sock ──model───▶ engine.rs  ─┘
//!  call, open_* ──────────▶ commands.rs ──▶ daemon, engine
//! ```
//!
//! An [`App`] is a client like any other: dropping it touches neither the machine nor a container.

mod bin;
mod commands;
mod disk;
mod downloads;
mod engine;
mod engines;
mod figures;
mod images;
mod jobs;
mod machine;
mod networks;
mod news;
mod pulse;
mod reach;
mod registries;
mod transfer;
mod upkeep;
mod volumes;
mod whole;
mod world;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::{Arc, Mutex};

use bollard::Docker;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;

use crate::daemon::{Client, ClientError};
use crate::dirs::{Dirs, DirsError};
use crate::engine::endpoint::Endpoint;
use crate::engine::errors::app_error;
use crate::engine::{files, logs, stats, terminal};
use crate::schema::{
    AppError, Backend, Change, Command, Looking, MachinePhase, MachineState, OpenLogs, OpenTerminal, Reply, Stream,
    Terminal,
};
use crate::supervisor::blank_state;
use world::World;

#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error(transparent)]
    Dirs(#[from] DirsError),
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// The profile's host. Its tasks end when it is dropped.
pub struct App {
    inner: Arc<Inner>,
    _tasks: JoinSet<()>,
}

struct Inner {
    dirs: Dirs,
    world: World,
    /// Of the engine in use.
    phase: watch::Receiver<MachinePhase>,
    phase_sender: watch::Sender<MachinePhase>,
    /// An engine that is in use instead of the own machine's.
    other: watch::Sender<Option<Endpoint>>,
    /// The own machine, whichever is in use.
    own: Mutex<MachineState>,
    pulse: pulse::Pulse,
    jobs: jobs::Jobs,
    news: news::Desk,
    uploads: files::content::Uploads,
}

impl App {
    /// The host of `CUBBY_PROFILE` (or `default`); starts its daemon when it does not run. The machine is left as it is.
    pub async fn connect() -> Result<Self, ConnectError> {
        let profile = std::env::var("CUBBY_PROFILE").ok().filter(|name| !name.is_empty());
        let dirs = Dirs::of_process(profile.as_deref().unwrap_or("default"))?;
        let inner = Inner::new(dirs);
        inner.load_engines();
        // Somebody who uses another engine need not have a machine.
        let own_machine = inner.other.borrow().is_none();
        let client = match own_machine {
            true => Some(Client::connect_or_spawn(&inner.dirs).await?),
            false => Client::connect(&inner.dirs).await.unwrap_or(None),
        };
        Ok(Self::with(client, inner))
    }

    #[cfg(test)]
    fn with_daemon(client: Client, dirs: Dirs) -> Self {
        Self::with(Some(client), Inner::new(dirs))
    }

    fn with(client: Option<Client>, inner: Arc<Inner>) -> Self {
        inner.forget_uploads();
        let mut tasks = JoinSet::new();
        tasks.spawn(machine::follow(inner.clone(), client));
        tasks.spawn(engine::follow(inner.clone()));
        tasks.spawn(engines::follow(inner.clone()));
        tasks.spawn(news::watch(inner.clone()));
        tasks.spawn(disk::watch(inner.clone()));
        tasks.spawn(bin::keep(inner.clone()));
        Self { inner, _tasks: tasks }
    }
}

impl Inner {
    fn new(dirs: Dirs) -> Arc<Self> {
        let (phase_sender, phase) = watch::channel(MachinePhase::Off);
        Arc::new(Self {
            world: World::new(blank_state(&dirs)),
            own: Mutex::new(blank_state(&dirs)),
            dirs,
            phase,
            phase_sender,
            other: watch::channel(None).0,
            pulse: pulse::Pulse::new(),
            jobs: jobs::Jobs::default(),
            news: news::Desk::default(),
            uploads: files::content::Uploads::default(),
        })
    }

    fn docker(&self) -> Result<Docker, AppError> {
        self.endpoint().client().map_err(|err| app_error("The engine cannot be reached", err))
    }

    /// A conversation with the daemon, which is started when it is gone.
    async fn daemon(&self) -> Result<Client, AppError> {
        let connected = Client::connect_or_spawn(&self.dirs).await;
        connected.map_err(|err| {
            AppError::failed("Cubby's background process cannot be reached", crate::hardware::chain(&err))
        })
    }

    /// The engine, unless there is no point in asking it. While the machine starts, requests wait in the proxy.
    fn engine(&self) -> Result<Docker, AppError> {
        match *self.phase.borrow() {
            MachinePhase::Running | MachinePhase::Starting => self.docker(),
            MachinePhase::Off | MachinePhase::Stopping | MachinePhase::Failed => Err(AppError::machine_off()),
        }
    }
}

impl Inner {
    /// A stream of the engine's, for as long as the engine answers.
    async fn held(&self, opened: impl Future<Output = Result<Stream, AppError>>) -> Result<Stream, AppError> {
        let way = self.endpoint();
        Ok(self.until_lost(&way, self.pulse.or_lost(&way.address(), opened).await?))
    }

    /// What ends by itself needs nobody in between.
    fn until_lost(&self, way: &Endpoint, stream: Stream) -> Stream {
        if way.ends_by_itself() { stream } else { self.pulse.until_lost(way.address(), stream) }
    }
}

impl Backend for App {
    async fn call(&self, command: Command) -> Result<Reply, AppError> {
        let way = self.inner.endpoint().address();
        self.inner.pulse.or_lost(&way, commands::call(&self.inner, command)).await
    }

    fn events(&self) -> broadcast::Receiver<Change> {
        self.inner.world.changes()
    }

    fn looking(&self) -> Looking {
        self.inner.pulse.looking()
    }

    async fn open_logs(&self, open: OpenLogs) -> Result<Stream, AppError> {
        let docker = self.inner.engine()?;
        self.inner.held(logs::open(&docker, open)).await
    }

    async fn open_terminal(&self, open: OpenTerminal) -> Result<Terminal, AppError> {
        let docker = self.inner.engine()?;
        let way = self.inner.endpoint();
        let opened = terminal::open(&docker, way.clone(), open);
        let Terminal { output, input } = self.inner.pulse.or_lost(&way.address(), opened).await?;
        Ok(Terminal { output: self.inner.until_lost(&way, output), input })
    }

    async fn open_figures(&self) -> Result<Stream, AppError> {
        figures::open(self.inner.clone()).await
    }

    async fn open_stats(&self, container: String) -> Result<Stream, AppError> {
        let docker = self.inner.engine()?;
        self.inner.held(stats::open(&docker, &container)).await
    }

    async fn open_processes(&self, container: String) -> Result<Stream, AppError> {
        let docker = self.inner.engine()?;
        self.inner.held(stats::open_processes(&docker, &container)).await
    }
}
