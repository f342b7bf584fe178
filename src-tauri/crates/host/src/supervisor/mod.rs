//! The machine's supervisor: one task owns all changes of its state.
//!
//! ```text
//!          start                                     pid 1: Ready, and /_ping answers
//!   Off ─────────▶ Starting ─────────────────────────────────────────────▶ Running ◀─┐
//!    ▲             Prepare → Power → Init → Disk → Engine → Ready            │  │ │   │ engine is back
//!    │               │   each with a deadline                                │  │ └─▶ Starting (from Engine)
//!    │               │                                                       │  │     pid 1: EngineExited
//!    │               ├──▶ Failed{stage, reason, remedy} ◀── crashes too often│  │
//!    │               │          │ start                                      │  └─▶ Failed, then Starting by itself
//!    │      stop     ▼          ▼                            stop, restart   ▼      (crash; after a pause)
//!    └────────── Stopping ◀──────────────────────────────────────────────────┘
//!
//!   Running ──nobody used it for a while, no container runs──▶ Running, sleeping ──a connection, a byte, a wish──▶ Running
//! ```
//!
//! Happy path: [`Supervisor::start`] is a wish that is queued; the task prepares the hardware, listens for pid 1's boot
//! stream and for published ports, powers on, follows the stages, sets the clock, and opens [`Access`].
//! A start that fails ends as `Failed` with a [`Problem`](crate::schema::Problem) and tries nothing by itself. A machine
//! that ran and went away is started again, with pauses that grow, until it did so too often.
//!
//! Invariants: wishes are heard in every state, so nothing can get stuck (every wait has a deadline, the last resort is to
//! kill the hypervisor); whatever state is published was true; a machine never outlives its session in here.

mod activity;
mod balloon;
mod board;
mod boot;
mod clock;
pub mod hardware;
mod session;
mod sleep;
mod task;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use cubby_machine::Figures;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::access::Access;
use crate::forwarder;
use crate::schema::{MachinePhase, MachineState, StageName};
use board::Board;
use hardware::Hardware;

/// Times and bounds, adjustable by tests.
#[derive(Clone, Debug)]
pub struct Config {
    /// How long each stage of a start may take. Generous: without hardware acceleration a guest is ten times slower.
    pub prepare: Duration,
    pub power: Duration,
    pub stage: Duration,
    /// For one request of the control protocol.
    pub ask: Duration,
    /// What containers get to stop in, and the guest on top of it.
    pub stop_timeout: Duration,
    pub stop_grace: Duration,
    /// Pauses before the first, second, … automatic restart; when they are used up, the machine stays off.
    pub pauses: Vec<Duration>,
    /// Crashes longer ago than this are forgotten.
    pub forget_after: Duration,
    pub clock: clock::Config,
    /// When a machine that nobody uses falls asleep; `None`: never.
    pub sleep: Option<Sleep>,
    pub forwarder: forwarder::Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            prepare: Duration::from_secs(180),
            power: Duration::from_secs(30),
            stage: Duration::from_secs(90),
            ask: Duration::from_secs(5),
            stop_timeout: Duration::from_secs(10),
            stop_grace: Duration::from_secs(20),
            pauses: [500, 2_000, 8_000].map(Duration::from_millis).to_vec(),
            forget_after: Duration::from_secs(600),
            clock: clock::Config::default(),
            sleep: None,
            forwarder: forwarder::Limits::default(),
        }
    }
}

impl Config {
    fn deadline(&self, stage: StageName) -> Duration {
        match stage {
            StageName::Prepare => self.prepare,
            StageName::Power => self.power,
            StageName::Init | StageName::Disk | StageName::Engine | StageName::Ready => self.stage,
        }
    }
}

/// When a machine falls asleep: nothing went over its link for this long, and no container runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sleep {
    pub after: Duration,
    /// Even while containers run. They stand still then until somebody connects: good for a database nobody asks, bad for whatever
    /// works by itself.
    pub with_containers: bool,
}

impl Sleep {
    /// `CUBBY_SLEEP_AFTER_S` (default 600; 0: never) and `CUBBY_SLEEP_CONTAINERS` (`1`: even while containers run).
    pub fn of_process() -> Option<Self> {
        let text = |name| std::env::var(name).ok();
        Self::parse(text("CUBBY_SLEEP_AFTER_S").as_deref(), text("CUBBY_SLEEP_CONTAINERS").as_deref())
    }

    fn parse(after_s: Option<&str>, containers: Option<&str>) -> Option<Self> {
        const DEFAULT_S: u64 = 600;
        let after_s = after_s.and_then(|text| text.trim().parse().ok()).unwrap_or(DEFAULT_S);
        let after = Duration::from_secs(after_s);
        (after_s > 0).then_some(Self { after, with_containers: containers == Some("1") })
    }
}

/// What the machine costs its host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostFigures {
    pub figures: Figures,
    pub pid: Option<u32>,
}

enum Wish {
    Start(oneshot::Sender<()>),
    Restart(oneshot::Sender<()>),
    Stop(oneshot::Sender<()>),
    Figures(oneshot::Sender<HostFigures>),
}

/// A handle to the task; the machine is powered off when the last one is dropped.
#[derive(Clone)]
pub struct Supervisor {
    wishes: mpsc::Sender<Wish>,
    state: watch::Receiver<MachineState>,
    access: watch::Receiver<Access>,
}

impl Supervisor {
    /// Starts the task with a machine that is off. `blank` has the paths in it.
    pub fn spawn(hardware: Arc<dyn Hardware>, config: Config, blank: MachineState) -> (Self, JoinHandle<()>) {
        let (wishes, heard) = mpsc::channel(16);
        let (state_sender, state) = watch::channel(blank);
        let (access_sender, access) = watch::channel(Access::Off);
        let board = Board::new(state_sender, access_sender);
        let task = tokio::spawn(task::Task::new(hardware, config, board, heard).run());
        (Self { wishes, state, access }, task)
    }

    /// Returns when the start is under way, so that a state seen afterwards is the new one's; at once when it is already.
    pub async fn start(&self) {
        self.wish(Wish::Start).await;
    }

    /// Returns when the new start is under way.
    pub async fn restart(&self) {
        self.wish(Wish::Restart).await;
    }

    /// Returns when the machine is off.
    pub async fn stop(&self) {
        self.wish(Wish::Stop).await;
    }

    async fn wish(&self, wish: impl FnOnce(oneshot::Sender<()>) -> Wish) {
        let (done, told) = oneshot::channel();
        let _ = self.wishes.send(wish(done)).await;
        // Told by dropping.
        let _ = told.await;
    }

    /// All zero while there is no machine.
    pub async fn host_figures(&self) -> HostFigures {
        let (answer, figures) = oneshot::channel();
        let _ = self.wishes.send(Wish::Figures(answer)).await;
        figures.await.unwrap_or_default()
    }

    pub fn state(&self) -> watch::Receiver<MachineState> {
        self.state.clone()
    }

    pub fn access(&self) -> watch::Receiver<Access> {
        self.access.clone()
    }
}

/// A machine that was never started.
pub fn blank_state(dirs: &crate::dirs::Dirs) -> MachineState {
    MachineState {
        phase: MachinePhase::Off,
        sleeping: false,
        silent: false,
        notice: None,
        stages: Vec::new(),
        problem: None,
        accelerator: None,
        running_since_unix_ms: None,
        start_took_ms: None,
        guest_version: None,
        kernel: None,
        docker_host: dirs.docker_host(),
        console_log: dirs.console_log().display().to_string(),
        data_disk: dirs.data_disk().display().to_string(),
    }
}
