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

mod commands;
mod engine;
mod figures;
mod machine;
mod world;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use bollard::Docker;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;

use crate::daemon::{Client, ClientError};
use crate::dirs::{Dirs, DirsError};
use crate::engine::errors::app_error;
use crate::engine::{self as docker, logs, terminal};
use crate::schema::{
    AppError, Backend, Change, Command, MachinePhase, OpenLogs, OpenTerminal, Reply, Stream, Terminal,
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
    phase: watch::Receiver<MachinePhase>,
}

impl App {
    /// The host of `CUBBY_PROFILE` (or `default`); starts its daemon when it does not run. The machine is left as it is.
    pub async fn connect() -> Result<Self, ConnectError> {
        let profile = std::env::var("CUBBY_PROFILE").ok().filter(|name| !name.is_empty());
        let dirs = Dirs::of_process(profile.as_deref().unwrap_or("default"))?;
        Ok(Self::with_daemon(Client::connect_or_spawn(&dirs).await?, dirs))
    }

    fn with_daemon(client: Client, dirs: Dirs) -> Self {
        let (phase_sender, phase) = watch::channel(MachinePhase::Off);
        let inner = Arc::new(Inner { world: World::new(blank_state(&dirs)), dirs, phase });
        let mut tasks = JoinSet::new();
        tasks.spawn(machine::follow(inner.clone(), client, phase_sender));
        tasks.spawn(engine::follow(inner.clone()));
        Self { inner, _tasks: tasks }
    }
}

impl Inner {
    fn docker(&self) -> Result<Docker, AppError> {
        docker::client(&self.dirs).map_err(|err| app_error("The engine cannot be reached", err))
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

impl Backend for App {
    async fn call(&self, command: Command) -> Result<Reply, AppError> {
        commands::call(&self.inner, command).await
    }

    fn events(&self) -> broadcast::Receiver<Change> {
        self.inner.world.changes()
    }

    async fn open_logs(&self, open: OpenLogs) -> Result<Stream, AppError> {
        logs::open(&self.inner.engine()?, open).await
    }

    async fn open_terminal(&self, open: OpenTerminal) -> Result<Terminal, AppError> {
        terminal::open(&self.inner.engine()?, open).await
    }

    async fn open_figures(&self) -> Result<Stream, AppError> {
        figures::open(self.inner.clone()).await
    }
}
