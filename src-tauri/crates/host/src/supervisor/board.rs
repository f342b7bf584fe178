//! The published state: everything the supervisor's task says to the outside goes through here.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use crate::access::Access;
use crate::schema::{MachinePhase, MachineState, Problem, Stage, StageName, StageStatus};

pub(super) const STAGES: [StageName; 6] =
    [StageName::Prepare, StageName::Power, StageName::Init, StageName::Disk, StageName::Engine, StageName::Ready];

pub(super) struct Board {
    state: watch::Sender<MachineState>,
    access: watch::Sender<Access>,
    asked_at: Instant,
}

impl Board {
    pub fn new(state: watch::Sender<MachineState>, access: watch::Sender<Access>) -> Self {
        Self { state, access, asked_at: Instant::now() }
    }

    fn since_asked_ms(&self) -> u64 {
        self.asked_at.elapsed().as_millis() as u64
    }

    pub fn off(&self) {
        self.access.send_replace(Access::Off);
        self.state.send_modify(|state| {
            state.phase = MachinePhase::Off;
            state.problem = None;
            state.running_since_unix_ms = None;
        });
    }

    /// A start begins: the first stage runs.
    pub fn starting(&mut self) {
        self.asked_at = Instant::now();
        self.access.send_replace(Access::Starting);
        self.state.send_modify(|state| {
            state.phase = MachinePhase::Starting;
            state.problem = None;
            state.running_since_unix_ms = None;
            state.stages = STAGES
                .map(|stage| Stage { stage, status: StageStatus::Waiting, started_ms: None, took_ms: None })
                .to_vec();
            begin(&mut state.stages[0], 0);
        });
    }

    /// `reached` is done, and with it all before; the one after it runs.
    pub fn reached(&self, reached: StageName) {
        let now = self.since_asked_ms();
        self.state.send_modify(|state| {
            for stage in state.stages.iter_mut().filter(|stage| stage.stage <= reached) {
                if stage.status != StageStatus::Done {
                    let started = *stage.started_ms.get_or_insert(now);
                    stage.status = StageStatus::Done;
                    stage.took_ms = Some(now.saturating_sub(started));
                }
            }
            if let Some(next) = state.stages.iter_mut().find(|stage| stage.status == StageStatus::Waiting) {
                begin(next, now);
            }
        });
    }

    /// Back to `stage`: it and what follows it has to be reached again.
    pub fn again(&self, stage: StageName) {
        let now = self.since_asked_ms();
        self.access.send_replace(Access::Starting);
        self.state.send_modify(|state| {
            state.phase = MachinePhase::Starting;
            for later in state.stages.iter_mut().filter(|later| later.stage >= stage) {
                *later = Stage { stage: later.stage, status: StageStatus::Waiting, started_ms: None, took_ms: None };
            }
            if let Some(first) = state.stages.iter_mut().find(|at| at.stage == stage) {
                begin(first, now);
            }
        });
    }

    pub fn phase(&self) -> MachinePhase {
        self.state.borrow().phase
    }

    pub fn data_disk(&self) -> String {
        self.state.borrow().data_disk.clone()
    }

    pub fn start_took_ms(&self) -> Option<u64> {
        self.state.borrow().start_took_ms
    }

    /// The stage that runs now.
    pub fn current(&self) -> StageName {
        let state = self.state.borrow();
        let running = state.stages.iter().find(|stage| stage.status == StageStatus::Running);
        running.map_or(StageName::Ready, |stage| stage.stage)
    }

    pub fn guest(&self, version: String, kernel: String) {
        self.state.send_modify(|state| {
            state.guest_version = Some(version);
            state.kernel = Some(kernel);
        });
    }

    pub fn accelerator(&self, accelerator: String) {
        self.state.send_modify(|state| state.accelerator = Some(accelerator));
    }

    pub fn running(&self, access: Access) {
        self.reached(StageName::Ready);
        let took = self.since_asked_ms();
        let unix_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        self.state.send_modify(|state| {
            state.phase = MachinePhase::Running;
            state.problem = None;
            // An engine that came back is no new start.
            if state.running_since_unix_ms.is_none() {
                state.running_since_unix_ms = Some(unix_ms);
                state.start_took_ms = Some(took);
            }
        });
        // Last, so that whoever was waiting finds the state it expects.
        self.access.send_replace(access);
    }

    pub fn sleeping(&self, sleeping: bool) {
        self.state.send_if_modified(|state| std::mem::replace(&mut state.sleeping, sleeping) != sleeping);
    }

    pub fn notice(&self, notice: Option<String>) {
        self.state.send_modify(|state| state.notice = notice);
    }

    pub fn stopping(&self) {
        self.access.send_replace(Access::Off);
        self.state.send_modify(|state| {
            state.phase = MachinePhase::Stopping;
            state.sleeping = false;
        });
    }

    /// `again`: a restart follows by itself, so those who wait may go on waiting.
    pub fn failed(&self, problem: Problem, again: bool) {
        let access =
            if again { Access::Starting } else { Access::Failed(format!("{}: {}", problem.title, problem.detail)) };
        self.access.send_replace(access);
        let now = self.since_asked_ms();
        self.state.send_modify(|state| {
            state.phase = MachinePhase::Failed;
            state.sleeping = false;
            state.running_since_unix_ms = None;
            for stage in state.stages.iter_mut().filter(|stage| stage.status == StageStatus::Running) {
                stage.status = StageStatus::Failed;
                stage.took_ms = Some(now.saturating_sub(stage.started_ms.unwrap_or(now)));
            }
            state.problem = Some(problem);
        });
    }
}

fn begin(stage: &mut Stage, now: u64) {
    stage.status = StageStatus::Running;
    stage.started_ms = Some(now);
}
