//! Images: records of what is on disk, their names, and the rules for changing either.
//!
//! [`cubby_image`] holds the bytes; here is the knowledge which image has which layers (`kind = "image"` in the state
//! database) and which name means which image (`kind = "image-name"`). A layer stays while a record lists it, hidden
//! records included; everything else under `DATA/layers` is refuse and goes when the engine opens.

pub mod changes;
mod commit;
mod distribution;
mod download;
mod find;
mod image;
mod index;
mod layers;
mod list;
mod load;
mod message;
mod names;
mod patience;
pub mod pieces;
mod pull;
mod push;
mod registries;
mod remove;
mod save;
mod search;
#[cfg(test)]
mod tests;
mod verify;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak},
    thread,
};

use cubby_image::{Digest, ImageFile, Limits, Reference, Store};

pub use commit::CommitOptions;
pub use distribution::Distribution;
pub use download::refusal;
pub use image::{BlobRecord, Image, ImageUse, ImageUsers, LayerRecord, ManifestRecord};
pub use layers::{ChangesOptions, Counts, LayerFacts, LayerView};
pub use list::{Listed, Pruned, Usage, created_at, timestamp, unix_seconds};
pub use load::LoadOptions;
pub use message::Message;
pub use names::new_name;
pub use pull::{PullOptions, Resolved, Say};
pub use push::Push;
pub(crate) use registries::extra_authorities;
pub use registries::{HostCertificates, Proxies, Registries, RegistryOptions};
pub use remove::{RemoveOptions, Removed};
pub use save::Save;
pub use search::SearchOptions;
pub use verify::{Verdict, VerifyOptions};

use crate::{
    error::{Error, Result},
    events::EventBus,
    state::State,
};
use image::{NameRecord, Record};
use index::Index;
use pull::Fetches;

const IMAGE: &str = "image";
const NAME: &str = "image-name";
const SETTINGS: &str = "settings";
const REGISTRIES: &str = "registries";

/// See the module's documentation.
pub struct Images {
    store: Store,
    state: Arc<State>,
    events: Arc<EventBus>,
    index: RwLock<Index>,
    users: OnceLock<Weak<dyn ImageUsers>>,
    registries: RwLock<Registries>,
    /// Certificates that users gave us.
    certificates: PathBuf,
    fetches: Fetches,
}

impl Images {
    /// Reads the records and removes what a crash left unfinished.
    pub fn open(data_root: &Path, state: Arc<State>, events: Arc<EventBus>) -> Result<Arc<Self>> {
        let failed = |source| Error::system("open the layers", source);
        let store = Store::open(data_root, Limits::default()).map_err(failed)?;
        let index = read_index(&store, &state)?;
        store.sweep(&index.layers()).map_err(failed)?;
        let certificates = data_root.join("certs.d");
        let stored = state.fetch(SETTINGS, REGISTRIES).map_err(|source| Error::system("read the settings", source))?;
        let registries = Registries {
            stored: stored.unwrap_or_default(),
            certificates: vec![certificates.clone()],
            authorities: registries::extra_authorities(data_root),
            ..Registries::default()
        };
        let images = Self {
            store,
            state,
            events,
            index: RwLock::new(index),
            users: OnceLock::new(),
            registries: RwLock::new(registries),
            certificates,
            fetches: Fetches::default(),
        };
        images.empty_trash();
        Ok(Arc::new(images))
    }

    /// Says who stands on images. To be called once, when the containers are known; images that were removed under
    /// containers which are gone now go for good.
    pub fn set_users(&self, users: Weak<dyn ImageUsers>) {
        if self.users.set(users).is_err() {
            tracing::warn!("the images' users were set twice");
        }
        self.release_hidden();
    }

    /// What this start of the engine says about registries; `certificates` is another directory laid out as `certs.d`.
    ///
    /// # Errors
    /// Invalid for what cannot be meant.
    pub fn give_registries(&self, given: RegistryOptions, certificates: Option<PathBuf>) -> Result<()> {
        given.check()?;
        let mut registries = self.registries.write().unwrap_or_else(PoisonError::into_inner);
        registries.given = given;
        registries.certificates.extend(certificates);
        Ok(())
    }

    /// What users say about registries, kept; counts for requests from now on.
    ///
    /// # Errors
    /// Invalid for what cannot be meant.
    pub fn store_registries(&self, stored: RegistryOptions) -> Result<()> {
        stored.check()?;
        let mut registries = self.registries.write().unwrap_or_else(PoisonError::into_inner);
        self.state
            .put(SETTINGS, REGISTRIES, &stored)
            .map_err(|source| Error::system("record the settings for registries", source))?;
        registries.stored = stored;
        Ok(())
    }

    /// Keeps certificates for a registry. Blocks.
    pub fn store_certificates(&self, host: &str, files: &HostCertificates) -> Result<()> {
        registries::write_certificates(&self.certificates, host, files)
    }

    /// Forgets a registry's certificates. Blocks.
    pub fn remove_certificates(&self, host: &str) -> Result<()> {
        registries::remove_certificates(&self.certificates, host)
    }

    pub fn registries(&self) -> Registries {
        self.registries.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn using(&self, id: &Digest) -> Vec<ImageUse> {
        self.users.get().and_then(Weak::upgrade).map_or_else(Vec::new, |users| users.using(id))
    }

    /// Removes layers that no image lists and nobody is bringing: what failed pulls left for another attempt.
    fn sweep_orphans(&self) {
        // Why under the lock: a record that is being made must not miss its layers.
        let swept = self.store.sweep(&self.write().layers());
        if let Err(error) = swept {
            tracing::warn!(err = %error, "could not remove layers without an image");
        }
        self.empty_trash();
    }

    /// Frees the space of removed layers in the background: a large tree takes seconds.
    fn empty_trash(&self) {
        let store = self.store.clone();
        let spawned = thread::Builder::new().name("layer-reaper".into()).spawn(move || store.empty_trash());
        if let Err(error) = spawned {
            tracing::warn!(err = %error, "removed layers keep their space until the next start");
        }
    }

    /// The directories that overlayfs stacks for an image, topmost first; without one, an empty directory. A mount that
    /// nothing is written to wants two.
    pub(crate) fn lowers(&self, image: Option<&Image>, read_only: bool) -> Vec<PathBuf> {
        let empty = self.store.empty_dir();
        let mut lowers = image.map_or_else(|| vec![empty.clone()], |image| image.lower_dirs.to_vec());
        if read_only && !lowers.contains(&empty) {
            lowers.push(empty);
        }
        lowers
    }

    /// How many images there are in sight.
    pub fn count(&self) -> usize {
        self.read().visible().count()
    }

    fn read(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_index(store: &Store, state: &State) -> Result<Index> {
    let failed = |source| Error::system("read the images' records", source);
    let mut index = Index::new(store.clone());
    let (images, mut unreadable) = state.all::<Record>(IMAGE).map_err(failed)?;
    for (id, record) in images {
        match (id.parse::<Digest>(), ImageFile::parse(record.config.as_bytes())) {
            (Ok(id), Ok(file)) => index.put(id, Arc::new(file), Arc::new(record)),
            _ => tracing::error!(image = id, "image record is not readable; the image is ignored"),
        }
    }
    let (names, more) = state.all::<NameRecord>(NAME).map_err(failed)?;
    unreadable.extend(more);
    for (name, record) in names {
        match name.parse::<Reference>() {
            Ok(reference) if index.get(&record.image).is_some() => _ = index.name(reference, record.image),
            _ => tracing::error!(image = name, "image name points at nothing; it is ignored"),
        }
    }
    for error in unreadable {
        tracing::error!(err = %error, "image record is not readable");
    }
    Ok(index)
}
