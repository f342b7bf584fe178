//! What the user interface shows, with revisions: changes are numbered, sent and applied under one lock, so that a snapshot
//! and the changes after it always fit together.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;

use crate::engine::follow::Sink;
use crate::schema::{Change, Container, Engines, Event, Image, Job, MachineState, Network, News, Snapshot, Volume};

/// Changes that a slow client may be behind before it has to take a snapshot.
const BACKLOG: usize = 4096;

pub(super) struct World {
    state: Mutex<State>,
    changes: broadcast::Sender<Change>,
}

struct State {
    revision: u64,
    machine: MachineState,
    containers: BTreeMap<String, Container>,
    images: Vec<Image>,
    volumes: Vec<Volume>,
    networks: Vec<Network>,
    jobs: BTreeMap<u32, Job>,
    engines: Engines,
}

impl World {
    pub fn new(machine: MachineState) -> Self {
        let state = State {
            revision: 0,
            machine,
            containers: BTreeMap::new(),
            images: Vec::new(),
            volumes: Vec::new(),
            networks: Vec::new(),
            jobs: BTreeMap::new(),
            engines: Engines::default(),
        };
        Self { state: Mutex::new(state), changes: broadcast::channel(BACKLOG).0 }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    pub fn snapshot(&self) -> Snapshot {
        let state = self.state();
        Snapshot {
            revision: state.revision,
            machine: state.machine.clone(),
            containers: newest_first(state.containers.values().cloned().collect()),
            images: state.images.clone(),
            volumes: state.volumes.clone(),
            networks: state.networks.clone(),
            jobs: state.jobs.values().cloned().collect(),
            engines: state.engines.clone(),
            app_version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    #[cfg(test)]
    pub fn machine(&self) -> MachineState {
        self.state().machine.clone()
    }

    pub fn set_machine(&self, machine: MachineState) {
        let mut state = self.state();
        if state.machine != machine {
            state.machine = machine.clone();
            self.tell(&mut state, Event::Machine { machine });
        }
    }

    /// The engine went away: nothing is known any more.
    pub fn forget_engine(&self) {
        let mut state = self.state();
        if !state.containers.is_empty() {
            state.containers.clear();
            self.tell(&mut state, Event::Containers { containers: Vec::new() });
        }
        if !state.images.is_empty() {
            state.images.clear();
            self.tell(&mut state, Event::Images { images: Vec::new() });
        }
        if !state.volumes.is_empty() {
            state.volumes.clear();
            self.tell(&mut state, Event::Volumes { volumes: Vec::new() });
        }
        if !state.networks.is_empty() {
            state.networks.clear();
            self.tell(&mut state, Event::Networks { networks: Vec::new() });
        }
    }

    pub fn set_job(&self, job: Job) {
        let mut state = self.state();
        state.jobs.insert(job.id, job.clone());
        self.tell(&mut state, Event::Job { job });
    }

    pub fn drop_job(&self, id: u32) {
        let mut state = self.state();
        if state.jobs.remove(&id).is_some() {
            self.tell(&mut state, Event::JobRemoved { id });
        }
    }

    pub fn engines(&self) -> Engines {
        self.state().engines.clone()
    }

    pub fn set_engines(&self, engines: Engines) {
        let mut state = self.state();
        if state.engines != engines {
            state.engines = engines.clone();
            self.tell(&mut state, Event::Engines { engines });
        }
    }

    pub fn news(&self, news: News) {
        let mut state = self.state();
        self.tell(&mut state, Event::News { news });
    }

    fn tell(&self, state: &mut State, event: Event) {
        state.revision += 1;
        // Nobody listening is fine.
        let _ = self.changes.send(Change { revision: state.revision, event });
    }
}

fn newest_first(mut containers: Vec<Container>) -> Vec<Container> {
    containers.sort_by(|a, b| b.created_unix_ms.cmp(&a.created_unix_ms).then_with(|| a.name.cmp(&b.name)));
    containers
}

impl Sink for World {
    fn containers(&self, mut all: Vec<Container>) {
        all.retain(|row| !row.name.starts_with(super::volumes::WINDOW_PREFIX));
        let mut state = self.state();
        state.containers = all.iter().map(|row| (row.id.clone(), row.clone())).collect();
        self.tell(&mut state, Event::Containers { containers: newest_first(all) });
    }

    fn container(&self, row: Container) {
        if row.name.starts_with(super::volumes::WINDOW_PREFIX) {
            return;
        }
        let mut state = self.state();
        if state.containers.get(&row.id) != Some(&row) {
            state.containers.insert(row.id.clone(), row.clone());
            self.tell(&mut state, Event::Container { container: row });
        }
    }

    fn container_removed(&self, id: &str) {
        let mut state = self.state();
        if state.containers.remove(id).is_some() {
            self.tell(&mut state, Event::ContainerRemoved { id: id.to_owned() });
        }
    }

    /// Here as below: that there is nothing is said also when nothing was known, for the UI keeps what it knew of an engine
    /// that went away.
    fn images(&self, all: Vec<Image>) {
        let mut state = self.state();
        if all.is_empty() || state.images != all {
            state.images = all.clone();
            self.tell(&mut state, Event::Images { images: all });
        }
    }

    fn volumes(&self, all: Vec<Volume>) {
        let mut state = self.state();
        if all.is_empty() || state.volumes != all {
            state.volumes = all.clone();
            self.tell(&mut state, Event::Volumes { volumes: all });
        }
    }

    fn networks(&self, all: Vec<Network>) {
        let mut state = self.state();
        if all.is_empty() || state.networks != all {
            state.networks = all.clone();
            self.tell(&mut state, Event::Networks { networks: all });
        }
    }

    fn users_of_images(&self) -> HashMap<String, Vec<String>> {
        let mut users: HashMap<String, Vec<String>> = HashMap::new();
        for row in self.state().containers.values() {
            users.entry(row.image_id.clone()).or_default().push(row.id.clone());
        }
        users
    }

    fn booted_unix_ms(&self) -> Option<u64> {
        let state = self.state();
        Some(state.machine.running_since_unix_ms?.saturating_sub(state.machine.start_took_ms?))
    }
}
