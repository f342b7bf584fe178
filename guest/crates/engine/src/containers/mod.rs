//! Containers: their records, their lives, and everything a client may ask of them.
//!
//! ```text
//!            start                exit, policy says no
//! created ──────────▶ running ───────────────────────────▶ exited ──start──▶ …
//!    │  ▲ start failed  │  ▲ │ pause/unpause ▲│               │
//!    │  └───────────────┘  │ └──▶ paused ─────┘               │
//!    │                     └── restarting ◀── exit, policy says again
//!    └──────────────── remove ──▶ removing ──▶ gone ◀─────────┘
//! ```
//!
//! Every change is made under the container's `transition` lock, written to the state database, and then visible; readers
//! see one immutable [`Record`] and never wait. A change that a crash interrupts is finished or undone by [`restore`].
//!
//! What one file cannot know: `create` (requests to records), `spec` (records to OCI), `start`/`monitor` (processes),
//! `streams` (their input and output), `restore` (after a crash).

mod archive;
mod attach;
mod changes;
mod container;
mod create;
mod directory;
mod disk;
mod export;
pub mod files;
mod files_owner;
mod health;
mod inspect;
mod kill;
mod links;
mod list;
mod logs;
pub mod model;
mod monitor;
pub(crate) mod mounts;
mod names;
mod neighbours;
mod netfiles;
mod oom;
mod outside;
mod pause;
mod port_check;
mod ports;
pub(crate) mod propagation;
mod prune;
mod remove;
mod rename;
mod resize;
mod restart;
mod restore;
mod sharing;
pub(crate) mod signals;
pub(crate) mod sources;
mod spec;
mod start;
mod stats;
mod stop;
pub mod streams;
mod table;
mod top;
mod update;
pub(crate) mod users;
mod validate;
mod wait;
mod windows;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak},
};

use cubby_runtime::{Runtime, cgroup::Cgroups};

pub use archive::{ArchiveRead, ArchiveWrite, PathStat};
pub use attach::{AttachOptions, Attached};
pub use changes::Change;
pub use container::Container;
pub use create::CreateOptions;
pub use directory::{DirectoryEntry, DirectoryListing};
pub use export::Export;
pub use kill::Signal;
pub use list::{ListOptions, Summary};
pub use logs::{LogsOptions, LogsStream};
pub use port_check::PortReport;
pub use prune::Pruned;
pub use remove::RemoveOptions;
pub use stats::StatsStream;
pub use stop::StopOptions;
pub use top::Top;
pub use wait::{Condition, Waited, Waiter};

use crate::{
    engine::Config,
    error::{Error, Result},
    events::{Event, EventBus},
    exec::Execs,
    host::Host,
    images::Images,
    logs::journal::Journal,
    networks::Networks,
    ports::Publisher,
    state::State,
    volumes::Volumes,
};
use model::Record;
use table::Table;

pub(crate) use resize::resize as resize_terminal;
pub(crate) use spec::{ProcessWish, Security, environment, override_environment, process as process_of};
pub(crate) use start::{CGROUP_PARENT, start_failure};

const KIND: &str = "container";

/// What the containers stand on.
pub struct Parts {
    pub config: Config,
    pub host: Host,
    pub state: Arc<State>,
    pub events: Arc<EventBus>,
    pub images: Arc<Images>,
    pub volumes: Arc<Volumes>,
    pub networks: Arc<Networks>,
    pub runtime: Runtime,
    pub cgroups: Cgroups,
    /// Opens published ports; without one they are refused.
    pub publisher: Option<Arc<dyn Publisher>>,
}

/// See the module's documentation.
pub struct Containers {
    pub(crate) parts: Parts,
    table: RwLock<Table>,
    pub(crate) execs: Execs,
    journal: Arc<Journal>,
    me: Weak<Self>,
    shutting_down: std::sync::atomic::AtomicBool,
    online: OnceLock<validate::Online>,
}

impl Containers {
    /// Reads the records, finishes or undoes what a crash left, takes back what still runs, and starts what its policy
    /// wants running.
    pub async fn open(parts: Parts) -> Result<Arc<Self>> {
        let journal = Journal::open(&parts.config.run_dir.join("journal"));
        let journal = journal.map_err(|source| Error::system("open the journal of containers' output", source))?;
        let containers = Arc::new_cyclic(|me| Self {
            parts,
            journal,
            table: RwLock::default(),
            execs: Execs::default(),
            me: me.clone(),
            shutting_down: false.into(),
            online: OnceLock::new(),
        });
        containers.parts.networks.set_users(containers.me.clone());
        containers.parts.volumes.set_users(containers.me.clone());
        containers.parts.images.set_users(containers.me.clone());
        restore::restore(&containers).await?;
        Ok(containers)
    }

    pub(crate) fn me(&self) -> Arc<Self> {
        // Why this holds: `&self` lives in the `Arc` that `open` made, and nothing takes it out of there.
        self.me.upgrade().expect("a method is called only through the Arc")
    }

    /// By id, name, or unambiguous beginning of an id.
    ///
    /// # Errors
    /// `No such container: …`.
    pub fn find(&self, name_or_id: &str) -> Result<Arc<Container>> {
        let found = self.table().find(name_or_id);
        match found {
            Err(error) if name_or_id.contains('/') => self.linked(name_or_id).ok_or(error),
            found => found,
        }
    }

    /// The whole id that a unique beginning stands for.
    fn by_id(&self, beginning: &str) -> Option<String> {
        Some(self.table().by_prefix(beginning).ok()?.id.clone())
    }

    /// An image was made of a container: tells whoever listens, with the comment, the image's id and its name.
    pub fn committed(&self, record: &Record, [comment, image, reference]: [&str; 3]) {
        let attributes = [("comment", comment), ("imageID", image), ("imageRef", reference)];
        self.event(record, "commit", &attributes.map(|(name, value)| (name, value.to_owned())));
    }

    /// Every container as of now, newest first.
    pub fn records(&self) -> Vec<Arc<Record>> {
        let mut all: Vec<_> = self.table().all().map(|container| container.record()).collect();
        all.retain(|record| record.complete);
        all.sort_by_key(|record| std::cmp::Reverse(record.created));
        all
    }

    fn table(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn table_mut(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// `DATA/containers/<id>`
    fn directory(&self, id: &str) -> PathBuf {
        self.parts.config.data_root.join("containers").join(id)
    }

    /// Changes a record, in the state database first.
    ///
    /// # Errors
    /// The state database's; nothing has changed then.
    pub(crate) fn change(&self, container: &Container, change: impl FnOnce(&mut Record)) -> Result<Arc<Record>> {
        let _writer = container.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut record = Record::clone(&container.record());
        change(&mut record);
        self.save(&record)?;
        let record = Arc::new(record);
        container.replace(record.clone());
        Ok(record)
    }

    /// [`Containers::change`] for what has happened already: memory follows reality even if the disk does not.
    pub(crate) fn note(&self, container: &Container, change: impl FnOnce(&mut Record)) -> Arc<Record> {
        let _writer = container.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut record = Record::clone(&container.record());
        change(&mut record);
        if let Err(error) = self.save(&record) {
            tracing::error!(container_id = record.id, err = %error, "container state could not be written");
        }
        let record = Arc::new(record);
        container.replace(record.clone());
        record
    }

    pub(crate) fn save(&self, record: &Record) -> Result<()> {
        let saved = self.parts.state.put(KIND, &record.id, record);
        saved.map_err(|source| Error::system(format!("write the state of container {}", record.id), source))
    }

    /// Publishes an event about a container.
    pub(crate) fn event(&self, record: &Record, action: impl Into<String>, extra: &[(&str, String)]) {
        let mut attributes: HashMap<String, String> = record.event_attributes();
        attributes.extend(extra.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        self.parts.events.publish(Event::now("container", action, record.id.clone(), attributes));
    }

    /// A clean stop of the engine: every container stopped, the keeper ended (natively; pid 1 goes on).
    pub async fn close(&self, timeout_s: Option<u32>) {
        self.stop_all(timeout_s).await;
        if !self.parts.config.in_guest
            && let Err(error) = self.parts.runtime.quit().await
        {
            tracing::warn!(err = %error, "the keeper could not be told to end");
        }
        self.parts.cgroups.forget(start::CGROUP_PARENT);
    }

    fn is_shutting_down(&self) -> bool {
        self.shutting_down.load(std::sync::atomic::Ordering::Acquire)
    }
}

/// 64 hexadecimal digits that are not all decimal in their short form: a short id must not look like a number.
pub(crate) fn random_id() -> Result<String> {
    loop {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|error| Error::internal(format!("no random numbers: {error}")))?;
        let id = hex::encode(bytes);
        if id[..12].bytes().any(|byte| !byte.is_ascii_digit()) {
            return Ok(id);
        }
    }
}
