//! The engine: its parts, opened in order and closed in order.
//!
//! Each part owns its objects and their rules; what needs several parts at once is a method here.

use std::{fs, path::PathBuf, sync::Arc};

use cubby_runtime::{Runtime, cgroup::Cgroups};

use crate::{
    containers::{Containers, Parts},
    error::{Error, Result},
    events::EventBus,
    host::Host,
    images::Images,
    networks::Networks,
    ports::Publisher,
    state::State,
    volumes::Volumes,
};

/// An empty cgroup of a container's that is this old is nobody's: a start fills its own within milliseconds.
const ABANDONED: std::time::Duration = std::time::Duration::from_secs(600);

/// What the engine is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Everything persistent.
    pub data_root: PathBuf,
    /// Everything volatile: gone on a clean stop.
    pub run_dir: PathBuf,
    /// The binary that serves as keeper and tiny init; usually this one.
    pub exe: PathBuf,
    /// True in the guest, where pid 1 is the keeper and the machine is ours alone.
    pub in_guest: bool,
}

/// See the module's documentation.
pub struct Engine {
    pub config: Config,
    pub state: Arc<State>,
    pub events: Arc<EventBus>,
    pub images: Arc<Images>,
    pub networks: Arc<Networks>,
    pub volumes: Arc<Volumes>,
    pub containers: Arc<Containers>,
    /// Stable identity of this engine (`ID` of `/info`).
    pub id: String,
    host: Host,
}

/// How many objects there are, for `/info`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub containers: usize,
    pub running: usize,
    pub paused: usize,
    pub stopped: usize,
    pub images: usize,
}

impl Engine {
    /// Opens the engine's state and takes back what a former engine left running.
    ///
    /// `publisher` opens published ports; without one they are refused.
    pub async fn open(config: Config, publisher: Option<Arc<dyn Publisher>>) -> Result<Arc<Self>> {
        for dir in [&config.data_root, &config.run_dir] {
            fs::create_dir_all(dir).map_err(|source| Error::system(format!("create {}", dir.display()), source))?;
        }
        let database = config.data_root.join("state.db");
        let state = Arc::new(State::open(&database).map_err(|source| Error::system("open state.db", source))?);
        let events = Arc::new(EventBus::default());
        let id = identity(&state)?;
        let images = Images::open(&config.data_root, state.clone(), events.clone())?;
        let networks = Networks::open(&config, &id, state.clone(), events.clone()).await?;
        let volumes = Volumes::open(&config, state.clone(), events.clone())?;
        let host = Host::read(config.in_guest);
        let containers = Containers::open(Parts {
            config: config.clone(),
            host: host.clone(),
            state: state.clone(),
            events: events.clone(),
            images: images.clone(),
            volumes: volumes.clone(),
            networks: networks.clone(),
            runtime: runtime(&config).await?,
            cgroups: cgroups(&config)?,
            publisher,
        })
        .await?;
        Self::sweep_builds(&config.data_root);
        let engine = Self { config, state, events, images, networks, volumes, containers, id, host };
        engine.sweep_build_steps();
        Ok(Arc::new(engine))
    }

    /// The machine the engine runs on.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// How many objects there are now.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts { images: self.images.count(), ..Counts::default() };
        for record in self.containers.records() {
            counts.containers += 1;
            match record.state.status() {
                "paused" => counts.paused += 1,
                "running" | "restarting" => counts.running += 1,
                _ => counts.stopped += 1,
            }
        }
        counts
    }

    /// Stops every container, as a shutdown of dockerd does. `timeout_s` bounds each one's own stop timeout.
    pub async fn shutdown(&self, timeout_s: Option<u32>) {
        tracing::info!(timeout_s, "engine shuts down");
        self.containers.close(timeout_s).await;
        self.networks.close().await;
    }
}

/// In the guest pid 1 is the keeper; natively one is started unless an earlier engine's still runs.
async fn runtime(config: &Config) -> Result<Runtime> {
    let socket = config.run_dir.join("keeper.sock");
    let connected = match config.in_guest {
        true => Runtime::connect(&socket).await,
        false => Runtime::connect_or_spawn(&socket, &config.exe).await,
    };
    connected.map_err(|source| Error::system("reach the keeper", source))
}

fn cgroups(config: &Config) -> Result<Cgroups> {
    let cgroups = Cgroups::detect().map_err(|source| Error::system("look at the control groups", source))?;
    // Why: the guest is ours and its kernel can restrict devices; a machine of somebody else's may not let us.
    if config.in_guest {
        return Ok(cgroups);
    }
    match cgroups.sweep(crate::containers::CGROUP_PARENT, ABANDONED) {
        0 => {}
        count => tracing::info!(count, "removed cgroups that killed engines left"),
    }
    Ok(cgroups.tolerating_free_devices())
}

fn identity(state: &State) -> Result<String> {
    let failed = |source| Error::system("read the engine's identity", source);
    if let Some(id) = state.fetch::<String>("engine", "id").map_err(failed)? {
        return Ok(id);
    }
    let id = uuid::Uuid::new_v4().to_string();
    state.put("engine", "id", &id).map_err(failed)?;
    Ok(id)
}
