//! The engine in use: Cubby's own machine, or any other Docker API. Chosen here, remembered in `engines.json`.
//!
//! ```text
//!  own machine:  the daemon's states are what the UI sees                       (machine.rs)
//!  another one:  a state made here: starting ──answers──▶ running ──silent──▶ failed ──┐
//!                                      ▲──────────────── after a pause ────────────────┘
//! ```
//!
//! The own machine goes on as it was, whichever is in use. An engine that is in use is watched by a connection that is held
//! open, not by asking again and again; what [`super::pulse`] does about networks that swallow an end is the exception.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::watch;

use super::Inner;
use super::pulse::Watched;
use crate::engine::endpoint::Endpoint;
use crate::engine::line::Line;
use crate::schema::{AppError, EngineCommand, EngineEntry, Engines, MachinePhase, MachineState, Problem, Reply};
use crate::supervisor::blank_state;

const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const LOGIN_WITHIN: Duration = Duration::from_secs(20);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Chooses an engine for this process, without remembering it: an address.
const VARIABLE: &str = "CUBBY_ENGINE";

impl Inner {
    fn engines_file(&self) -> PathBuf {
        self.dirs.state.join("engines.json")
    }

    /// What was chosen last time, or by the environment. Nothing there is no reason to bother anybody.
    pub(super) fn load_engines(&self) {
        let text = std::fs::read(self.engines_file()).unwrap_or_default();
        let mut engines: Engines = serde_json::from_slice(&text).unwrap_or_default();
        if let Some(address) = std::env::var(VARIABLE).ok().filter(|address| !address.is_empty()) {
            engines.others.retain(|entry| entry.name != VARIABLE);
            engines.others.push(EngineEntry { name: VARIABLE.to_owned(), address, tls: None });
            engines.chosen = Some(VARIABLE.to_owned());
        }
        self.use_engine(engines);
    }

    fn use_engine(&self, engines: Engines) {
        let chosen = engines.chosen.as_ref().and_then(|name| engines.others.iter().find(|entry| entry.name == *name));
        let endpoint = chosen.and_then(|entry| self.endpoint_of(entry).ok());
        self.world.set_engines(engines);
        // One that leads to the same place stays: connections go through it.
        let changed = self.other.send_if_modified(|other| {
            let differs = *other != endpoint;
            if differs {
                *other = endpoint;
            }
            differs
        });
        if changed && self.other.borrow().is_none() {
            self.show_machine();
        }
    }

    fn endpoint_of(&self, entry: &EngineEntry) -> Result<Endpoint, AppError> {
        self.dirs.make().map_err(|err| AppError::failed("The engine cannot be reached", err.to_string()))?;
        Endpoint::of(entry, &self.dirs.runtime)
    }

    /// Where requests go.
    pub(super) fn endpoint(&self) -> Endpoint {
        self.other.borrow().clone().unwrap_or_else(|| Endpoint::Unix(self.dirs.docker_socket()))
    }

    /// The daemon told what the machine is doing.
    pub(super) fn machine_is(&self, machine: MachineState) {
        *self.own.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = machine;
        if self.other.borrow().is_none() {
            self.show_machine();
        }
    }

    fn show_machine(&self) {
        let machine = self.own.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        self.show(machine);
    }

    fn show(&self, machine: MachineState) {
        let now = machine.phase;
        self.world.set_machine(machine);
        self.phase_sender.send_if_modified(|phase| std::mem::replace(phase, now) != now);
    }

    fn save_engines(&self, engines: &Engines) -> Result<(), AppError> {
        let failed = |err: std::io::Error| AppError::failed("The list of engines could not be kept", err.to_string());
        self.dirs.make().map_err(|err| AppError::failed("The list of engines could not be kept", err.to_string()))?;
        std::fs::write(self.engines_file(), serde_json::to_vec_pretty(engines).unwrap_or_default()).map_err(failed)
    }
}

pub(super) async fn call(inner: &Inner, command: EngineCommand) -> Result<Reply, AppError> {
    let mut engines = inner.world.engines();
    match command {
        EngineCommand::Find => {
            let known: Vec<_> = engines.others.iter().map(|entry| entry.address.clone()).collect();
            let found = found().into_iter().filter(|entry| !known.contains(&entry.address)).collect();
            return Ok(Reply::Engines { engines: Engines { others: found, chosen: engines.chosen } });
        }
        EngineCommand::Add { entry } => {
            if entry.name.trim().is_empty() {
                return Err(AppError::failed("The engine needs a name", "any short text will do"));
            }
            answers(&inner.endpoint_of(&entry)?)
                .await
                .map_err(|detail| AppError::failed(format!("{} does not answer", entry.address), detail))?;
            engines.others.retain(|known| known.name != entry.name);
            engines.others.push(entry);
        }
        EngineCommand::Remove { name } => {
            engines.others.retain(|known| known.name != name);
            engines.chosen = engines.chosen.filter(|chosen| *chosen != name);
        }
        EngineCommand::Choose { name } => {
            if name.as_ref().is_some_and(|name| !engines.others.iter().any(|known| known.name == *name)) {
                return Err(AppError::not_found("no such engine is on the list"));
            }
            engines.chosen = name;
        }
    }
    inner.save_engines(&engines)?;
    inner.use_engine(engines.clone());
    Ok(Reply::Engines { engines })
}

/// Sockets of other products, where they usually are.
fn found() -> Vec<EngineEntry> {
    let home = std::env::var("HOME").unwrap_or_default();
    let runtime = std::env::var("XDG_RUNTIME_DIR").unwrap_or_default();
    let places = [
        ("Docker", "/var/run/docker.sock".to_owned()),
        ("Docker Desktop", format!("{home}/.docker/run/docker.sock")),
        ("Docker Desktop", format!("{home}/.docker/desktop/docker.sock")),
        ("OrbStack", format!("{home}/.orbstack/run/docker.sock")),
        ("Colima", format!("{home}/.colima/default/docker.sock")),
        ("Rancher Desktop", format!("{home}/.rd/docker.sock")),
        ("Podman", format!("{runtime}/podman/podman.sock")),
        ("Docker (rootless)", format!("{runtime}/docker.sock")),
    ];
    let here = places.into_iter().filter(|(_, path)| path.starts_with('/') && std::path::Path::new(path).exists());
    here.map(|(name, path)| EngineEntry { name: name.to_owned(), address: format!("unix://{path}"), tls: None })
        .collect()
}

/// Its version.
async fn answers(endpoint: &Endpoint) -> Result<String, String> {
    let docker = endpoint.client().map_err(|err| crate::hardware::chain(&err))?;
    // A login takes longer than a connection.
    let patience = if matches!(endpoint, Endpoint::Ssh(_)) { LOGIN_WITHIN } else { ANSWER_WITHIN };
    let failed = match tokio::time::timeout(patience, docker.version()).await {
        Ok(Ok(version)) => return Ok(version.version.unwrap_or_default()),
        Ok(Err(err)) => crate::hardware::chain(&err),
        Err(_) => format!("no answer within {} s", patience.as_secs()),
    };
    // What ssh said is why; that the connection ended is only what came of it.
    match endpoint {
        Endpoint::Ssh(tunnel) => Err(tunnel.complaint().await.unwrap_or(failed)),
        Endpoint::Unix(_) | Endpoint::Tcp(..) => Err(failed),
    }
}

/// Keeps the state of the engine in use, while it is not the own machine's.
pub(super) async fn follow(inner: Arc<Inner>) {
    let mut other = inner.other.subscribe();
    loop {
        let endpoint = other.borrow_and_update().clone();
        let watching = async {
            match endpoint {
                Some(endpoint) => watch(&inner, &endpoint).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = watching => {}
            changed = other.changed() => if changed.is_err() { return },
        }
    }
}

async fn watch(inner: &Inner, endpoint: &Endpoint) {
    let blank = MachineState { docker_host: endpoint.address(), ..blank_state(&inner.dirs) };
    inner.show(MachineState { phase: MachinePhase::Starting, ..blank.clone() });
    let mut pause = FIRST_PAUSE;
    loop {
        match answers(endpoint).await {
            Ok(version) => {
                pause = FIRST_PAUSE;
                let since = Some(super::jobs::now_unix_ms());
                let running = MachineState {
                    phase: MachinePhase::Running,
                    guest_version: Some(version),
                    running_since_unix_ms: since,
                    ..blank.clone()
                };
                inner.show(running.clone());
                let silent = until_it_is_lost(inner, endpoint, &running).await;
                inner.show(MachineState { phase: MachinePhase::Starting, silent, ..blank.clone() });
            }
            Err(detail) => {
                // Terminals that were opened before another engine was chosen, and this one again.
                if !endpoint.ends_by_itself() {
                    inner.pulse.lose(&endpoint.address());
                }
                let title = format!("{} does not answer", endpoint.address());
                let problem = Some(Problem { title, detail, remedy: None });
                inner.show(MachineState { phase: MachinePhase::Failed, problem, ..blank.clone() });
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Its stream of events ends with it, or nothing is heard of it any more: whether that was said before.
async fn until_it_is_lost(inner: &Inner, endpoint: &Endpoint, running: &MachineState) -> bool {
    let Ok(docker) = endpoint.client() else { return false };
    let mut events = std::pin::pin!(docker.events(None::<bollard::query_parameters::EventsOptions>));
    let mut watched = Watched::new(Line::new(endpoint.clone()), endpoint.ends_by_itself());
    let silent = AtomicBool::new(false);
    let says = |now: bool| {
        if silent.swap(now, Ordering::Relaxed) != now {
            tracing::info!(
                address = endpoint.address(),
                "{}",
                if now { "an answer is late" } else { "it answers again" }
            );
            inner.show(MachineState { silent: now, ..running.clone() });
        }
    };
    let (heard, hears) = watch::channel(());
    let address = endpoint.address();
    let mut silence = std::pin::pin!(inner.pulse.silence(&address, &mut watched, hears, says));
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(_)) => heard.send_replace(()),
                _ => return silent.load(Ordering::Relaxed),
            },
            () = &mut silence, if endpoint.is_far() => return silent.load(Ordering::Relaxed),
        }
    }
}
