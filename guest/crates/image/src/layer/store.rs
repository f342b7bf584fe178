//! The layers on disk.
//!
//! ```text
//! DATA/layers/<diff id>/diff            the layer's tree, as overlayfs stacks it; never written again
//!                      /tar-split.zst   the rest of its tar stream, see `split`
//!             empty/                    the lower directory of images without layers
//!             .staging/<n>/…            being unpacked; refuse after a crash
//!             .trash/<n>/…              being deleted; refuse after a crash
//! ```
//! Why by diff id and not by chain id: a tree does not depend on what lies below it, and so equal layers are stored
//! once in whatever images they are.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    io::{BufWriter, Read, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    apply, split,
    stream::{Compression, Sums, through},
    verify::Strays,
};
use crate::{
    digest::{Digest, HashingWriter},
    error::{Error, Result},
    limits::Limits,
};

const STAGING: &str = ".staging";
const TRASH: &str = ".trash";
const EMPTY: &str = "empty";

/// Layers on disk. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    dir: PathBuf,
    limits: Limits,
    /// Makes names in staging and trash unique.
    counter: AtomicU64,
    /// Layers that must stay although no record lists them yet.
    pins: Mutex<HashMap<Digest, usize>>,
}

impl Store {
    /// Opens the layers under `data_root` and removes what was unfinished.
    pub fn open(data_root: &Path, limits: Limits) -> Result<Self> {
        let dir = data_root.join("layers");
        for refuse in [STAGING, TRASH] {
            let path = dir.join(refuse);
            if path.exists() {
                fs::remove_dir_all(&path).map_err(Error::disk("remove", &path))?;
            }
        }
        for needed in [STAGING, TRASH, EMPTY] {
            let path = dir.join(needed);
            fs::create_dir_all(&path).map_err(Error::disk("create", &path))?;
        }
        // Why: layers hold set-id programs of images; nobody but the engine has business here.
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).map_err(Error::disk("protect", &dir))?;
        let empty = dir.join(EMPTY);
        fs::set_permissions(&empty, fs::Permissions::from_mode(0o755)).map_err(Error::disk("protect", &empty))?;
        let shared = Shared { dir, limits, counter: AtomicU64::new(0), pins: Mutex::default() };
        Ok(Self { shared: Arc::new(shared) })
    }

    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// A layer's own directory.
    pub fn layer_dir(&self, diff_id: &Digest) -> PathBuf {
        self.shared.dir.join(diff_id.hex())
    }

    /// The tree that overlayfs stacks.
    pub fn diff_dir(&self, diff_id: &Digest) -> PathBuf {
        self.layer_dir(diff_id).join("diff")
    }

    /// A directory with nothing in it.
    pub fn empty_dir(&self) -> PathBuf {
        self.shared.dir.join(EMPTY)
    }

    /// Unpacks a layer's blob, compressed or not, to a place of its own. Nothing is kept unless it is committed.
    pub fn unpack(&self, blob: impl Read + Send) -> Result<Staged> {
        self.unpack_expected(blob, None)
    }

    /// [`Store::unpack`] of a blob that should have this digest; the caller compares [`Staged::blob`].
    pub fn unpack_expected(&self, blob: impl Read + Send, expected: Option<&Digest>) -> Result<Staged> {
        let dir = self.fresh(STAGING);
        let diff = dir.join("diff");
        fs::create_dir_all(&diff).map_err(Error::disk("create", &diff))?;
        fs::set_permissions(&diff, fs::Permissions::from_mode(0o755)).map_err(Error::disk("protect", &diff))?;
        let guard = StagingDir(dir);
        let limits = &self.shared.limits;
        let (files_bytes, sums) = through(blob, expected, limits, |chunks| apply::unpack(chunks, &guard.0, limits))?;
        Ok(Staged { dir: guard, sums, files_bytes })
    }

    /// Keeps a layer from being removed; None when it is not there.
    pub fn pin(&self, diff_id: &Digest) -> Option<Pin> {
        let mut pins = self.pins();
        if !self.layer_dir(diff_id).is_dir() {
            return None;
        }
        *pins.entry(*diff_id).or_default() += 1;
        Some(Pin { store: self.clone(), diff_id: *diff_id })
    }

    /// Makes staged layers permanent; see [`Store::place`].
    pub fn commit(&self, staged: Vec<Staged>) -> Result<Vec<Pin>> {
        let pinned = staged.into_iter().map(|layer| self.place(layer)).collect::<Result<_>>()?;
        self.sync()?;
        Ok(pinned)
    }

    /// Puts a staged layer where it belongs. It is safe from a power cut after [`Store::sync`], which therefore comes
    /// before any record lists it.
    pub fn place(&self, layer: Staged) -> Result<Pin> {
        let diff_id = layer.sums.diff_id;
        let place = self.layer_dir(&diff_id);
        let mut pins = self.pins();
        // Why: another load may have brought the same layer meanwhile; then ours is dropped.
        if !place.is_dir() {
            fs::rename(&layer.dir.0, &place).map_err(Error::disk("rename to", &place))?;
        }
        *pins.entry(diff_id).or_default() += 1;
        Ok(Pin { store: self.clone(), diff_id })
    }

    /// Waits until everything that was placed is on the disk.
    pub fn sync(&self) -> Result<()> {
        let layers = File::open(&self.shared.dir).map_err(Error::disk("open", &self.shared.dir))?;
        rustix::fs::syncfs(&layers).map_err(|errno| Error::disk("sync", &self.shared.dir)(errno.into()))
    }

    /// Takes layers out of sight at once, except pinned ones; [`Store::empty_trash`] frees their space.
    pub fn remove(&self, diff_ids: impl IntoIterator<Item = Digest>) -> Result<()> {
        let pins = self.pins();
        for diff_id in diff_ids {
            let place = self.layer_dir(&diff_id);
            if pins.contains_key(&diff_id) || !place.exists() {
                continue;
            }
            fs::rename(&place, self.fresh(TRASH)).map_err(Error::disk("remove", &place))?;
        }
        Ok(())
    }

    /// Takes every layer out of sight that is neither in `keep` nor pinned, and foreign files too.
    pub fn sweep(&self, keep: &HashSet<Digest>) -> Result<()> {
        let pins = self.pins();
        let dir = &self.shared.dir;
        for item in fs::read_dir(dir).map_err(Error::disk("list", dir))? {
            let item = item.map_err(Error::disk("list", dir))?;
            let name = item.file_name();
            let name = name.to_str().unwrap_or_default();
            let wanted = Digest::from_hex(name).is_ok_and(|id| keep.contains(&id) || pins.contains_key(&id));
            if wanted || [STAGING, TRASH, EMPTY].contains(&name) {
                continue;
            }
            tracing::info!(layer = name, "no image has this layer; it is removed");
            fs::rename(item.path(), self.fresh(TRASH)).map_err(Error::disk("remove", item.path()))?;
        }
        Ok(())
    }

    /// What stands beside the layers in `keep` and the pinned ones.
    pub fn strays(&self, keep: &HashSet<Digest>) -> Result<Strays> {
        let pins = self.pins();
        let mut strays = Strays::default();
        for name in self.names(&self.shared.dir)? {
            let wanted = Digest::from_hex(&name).is_ok_and(|id| keep.contains(&id) || pins.contains_key(&id));
            if !wanted && ![STAGING, TRASH, EMPTY].contains(&name.as_str()) {
                strays.unknown.push(name);
            }
        }
        strays.unfinished = self.names(&self.shared.dir.join(STAGING))?.len();
        strays.trash = self.names(&self.shared.dir.join(TRASH))?.len();
        Ok(strays)
    }

    fn names(&self, dir: &Path) -> Result<Vec<String>> {
        let failed = || Error::disk("list", dir);
        let items = fs::read_dir(dir).map_err(failed())?;
        items.map(|item| Ok(item.map_err(failed())?.file_name().to_string_lossy().into_owned())).collect()
    }

    /// Deletes what was removed. Takes as long as it takes.
    pub fn empty_trash(&self) {
        let trash = self.shared.dir.join(TRASH);
        let items = fs::read_dir(&trash).into_iter().flatten().flatten();
        for item in items {
            if let Err(error) = fs::remove_dir_all(item.path())
                && error.kind() != std::io::ErrorKind::NotFound
            {
                tracing::warn!(err = %error, path = %item.path().display(), "could not delete a removed layer");
            }
        }
    }

    fn fresh(&self, kind: &str) -> PathBuf {
        self.shared.dir.join(kind).join(self.shared.counter.fetch_add(1, Ordering::Relaxed).to_string())
    }

    fn pins(&self) -> MutexGuard<'_, HashMap<Digest, usize>> {
        self.shared.pins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The layer's tar stream, gzipped, in a file without a name; with its digest and length. What registries take.
    pub fn gzip(&self, diff_id: &Digest) -> Result<(File, Digest, u64)> {
        let staging = self.shared.dir.join(STAGING);
        let file = tempfile::tempfile_in(&staging).map_err(Error::disk("create a file in", &staging))?;
        let hashing = HashingWriter::new(BufWriter::with_capacity(128 << 10, file.try_clone().map_err(Error::Write)?));
        let mut encoder = flate2::write::GzEncoder::new(hashing, flate2::Compression::default());
        self.write_tar(diff_id, &mut encoder)?;
        let mut hashing = encoder.finish().map_err(Error::Write)?;
        hashing.flush().map_err(Error::Write)?;
        let (digest, size) = hashing.finish();
        Ok((file, digest, size))
    }

    /// Length of the layer's uncompressed tar stream.
    pub fn tar_bytes(&self, diff_id: &Digest) -> Result<u64> {
        split::Rebuilder::open(&self.layer_dir(diff_id))?.measure()
    }

    /// Writes the layer's uncompressed tar stream, checked against its diff id.
    pub fn write_tar(&self, diff_id: &Digest, out: impl Write) -> Result<u64> {
        split::write_tar(&self.layer_dir(diff_id), diff_id, out)
    }
}

/// A layer that stays as long as this lives.
pub struct Pin {
    store: Store,
    diff_id: Digest,
}

impl Pin {
    pub fn diff_id(&self) -> &Digest {
        &self.diff_id
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut pins = self.store.pins();
        if let Some(count) = pins.get_mut(&self.diff_id) {
            *count -= 1;
            if *count == 0 {
                pins.remove(&self.diff_id);
            }
        }
    }
}

/// A layer unpacked but not committed; gone when dropped.
pub struct Staged {
    dir: StagingDir,
    sums: Sums,
    /// Sum of the sizes of its files.
    pub files_bytes: u64,
}

impl Staged {
    pub fn diff_id(&self) -> &Digest {
        &self.sums.diff_id
    }

    /// Digest of the blob as it came.
    pub fn blob(&self) -> &Digest {
        &self.sums.blob
    }

    pub fn blob_bytes(&self) -> u64 {
        self.sums.blob_bytes
    }

    pub fn compression(&self) -> Compression {
        self.sums.compression
    }
}

struct StagingDir(PathBuf);

impl Drop for StagingDir {
    fn drop(&mut self) {
        match fs::remove_dir_all(&self.0) {
            // It was committed.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(err = %error, path = %self.0.display(), "could not remove an unfinished layer")
            }
            Ok(()) => {}
        }
    }
}
