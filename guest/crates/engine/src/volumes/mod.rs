//! Volumes: directories that outlive containers (`DATA/volumes/<name>/_data`), `kind = "volume"` in the state database.
//!
//! The `local` driver alone: plain directories, and with options (`type`, `device`, `o`) filesystems that are mounted while a
//! running container uses them. Creating writes the record first and removing erases it last, so that a directory without a
//! record is refuse of a crash: it goes when the engine opens. A volume's bytes are never touched while its record stands.

mod create;
mod mounting;
mod query;
mod record;
mod remove;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
};

use crate::{
    engine::Config,
    error::{Error, Result},
    events::{Event, EventBus},
    state::State,
};
use record::VolumeRecord;

const VOLUME: &str = "volume";
/// Why the odd name: dockerd's, which backup scripts know.
const DATA: &str = "_data";

/// The containers part, seen from the volumes part.
pub trait VolumeUsers: Send + Sync + 'static {
    /// Ids of all containers, stopped ones included, whose mounts name the volume.
    fn volume_users(&self, volume: &str) -> Vec<String>;
}

/// See the module's documentation.
pub struct Volumes {
    dir: PathBuf,
    state: Arc<State>,
    events: Arc<EventBus>,
    users: OnceLock<Weak<dyn VolumeUsers>>,
    table: Mutex<BTreeMap<String, Live>>,
    /// Held while filesystems of volumes are mounted or unmounted, which may wait for a server.
    mounting: Mutex<()>,
}

/// A volume and who has it mounted now.
struct Live {
    record: VolumeRecord,
    /// A container's id for each of its mounts.
    mounted_by: Vec<String>,
    /// Is being removed: nobody may mount it any more.
    doomed: bool,
}

impl Volumes {
    /// Reads the records and removes what a crash left unfinished.
    pub fn open(config: &Config, state: Arc<State>, events: Arc<EventBus>) -> Result<Arc<Self>> {
        let dir = config.data_root.join("volumes");
        fs::create_dir_all(&dir).map_err(|source| Error::system(format!("create {}", dir.display()), source))?;
        let (records, unreadable) =
            state.all::<VolumeRecord>(VOLUME).map_err(|source| Error::system("read volumes", source))?;
        // Why: while a record cannot be read its directory has no owner to speak for it, and nothing may be cleaned up.
        let complete = unreadable.is_empty();
        for error in unreadable {
            tracing::error!(err = %error, "volume is left out");
        }
        let table = records.into_iter().map(|(name, record)| (name, Live::new(record))).collect();
        let volumes =
            Self { dir, state, events, users: OnceLock::new(), table: Mutex::new(table), mounting: Mutex::new(()) };
        if complete {
            volumes.sweep();
        }
        Ok(Arc::new(volumes))
    }

    /// Tells who the containers are. Once, before the first request.
    pub fn set_users(&self, users: Weak<dyn VolumeUsers>) {
        // Why: a second call can only come from a second start of the same engine object, with the same users.
        let _ = self.users.set(users);
    }

    fn users_of(&self, volume: &str) -> Vec<String> {
        let users = self.users.get().and_then(Weak::upgrade);
        users.map(|users| users.volume_users(volume)).unwrap_or_default()
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<String, Live>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a volume's bytes are.
    fn data(&self, name: &str) -> PathBuf {
        self.dir.join(name).join(DATA)
    }

    /// Removes directories that no record owns.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let known = name.to_str().is_some_and(|name| self.table().contains_key(name));
            if !known && let Err(error) = discard(&entry.path()) {
                tracing::warn!(path = %entry.path().display(), err = %error, "directory of no volume could not be removed");
            }
        }
    }

    fn publish(&self, action: &str, name: &str, container_id: Option<&str>) {
        let mut attributes = std::collections::HashMap::from([("driver".to_owned(), "local".to_owned())]);
        if let Some(id) = container_id {
            attributes.insert("container".to_owned(), id.to_owned());
        }
        self.events.publish(Event::now("volume", action, name, attributes));
    }

    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let volumes = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&volumes)).await;
        done.unwrap_or_else(|error| Err(Error::system("work on volumes", error)))
    }
}

impl Live {
    fn new(record: VolumeRecord) -> Self {
        Self { record, mounted_by: Vec::new(), doomed: false }
    }
}

fn no_such(name: &str) -> Error {
    Error::not_found(format!("get {name}: no such volume"))
}

/// Removes a volume's directory, unmounting what lies on its data first: never through a mount into what is behind it.
fn discard(dir: &Path) -> io::Result<()> {
    mounting::unmount(&dir.join(DATA))?;
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
