//! The data disk: a sparse raw file with the filesystem from the guest image's template.
//!
//! ```text
//!  no file ──▶ <path>.new: locked, filled, sized, synced ──rename──▶ <path>     a crash leaves only `.new`
//!  file    ──▶ locked ──▶ grown if it shall be larger (never shrunk)
//! ```
//!
//! On Windows it is a VHDX, which Hyper-V insists on, and the lock is on a file beside it: there a lock keeps the hypervisor out
//! as well.
//!
//! Invariant: whoever holds a [`LockedDisk`] is the only one to run a machine on that file on this host.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read};
#[cfg(not(windows))]
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::hypervisor::MachineError;
use crate::spec::{DataDisk, MachineSpec};
use crate::system;

/// Unit of sparseness when the template is unpacked.
#[cfg(not(windows))]
const BLOCK_BYTES: usize = 64 * 1024;
/// A template that unpacks to more than this is damaged: the guest image's is a few dozen mebibytes.
const MAX_TEMPLATE_BYTES: u64 = 16 << 30;

/// Why there is no data disk to run on.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    #[error("data disk {0} is in use by another machine")]
    InUse(PathBuf),
    #[error("no space for the data disk {path}: {free_mib} MiB free, {needed_mib} MiB more needed")]
    NoSpace { path: PathBuf, free_mib: u64, needed_mib: u64 },
    #[error("data disk {0} is not a regular file")]
    NotAFile(PathBuf),
    #[error("data-disk template {path} is damaged; build or install the guest image again")]
    Template { path: PathBuf, source: io::Error },
    #[error("could not {action} data disk {path}")]
    Io { action: &'static str, path: PathBuf, source: io::Error },
}

/// A data disk that is ours alone until this is dropped.
#[derive(Debug)]
pub struct LockedDisk {
    // Why not there: Hyper-V takes no disk that anybody has open for writing.
    #[cfg(not(windows))]
    file: File,
    path: PathBuf,
    _lock: Lock,
}

impl LockedDisk {
    /// The disk of a machine. Unpacking a template takes a while: not on the runtime's threads.
    pub async fn of_machine(spec: &MachineSpec) -> Result<LockedDisk, MachineError> {
        let (template, disk) = (spec.image.data_template.clone(), spec.data_disk.clone());
        let opened = tokio::task::spawn_blocking(move || LockedDisk::open_or_create(&template, &disk));
        match opened.await {
            Ok(result) => Ok(result?),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    /// Opens the disk, making it from `template` (zstd) if it is not there. Blocking.
    pub fn open_or_create(template: &Path, disk: &DataDisk) -> Result<LockedDisk, DiskError> {
        let opened = match LockedDisk::open(&disk.path)? {
            Some(opened) => opened,
            None => LockedDisk::create(template, disk)?,
        };
        opened.grow(disk.size_bytes)?;
        Ok(opened)
    }

    fn open(path: &Path) -> Result<Option<LockedDisk>, DiskError> {
        let failed = |source| DiskError::Io { action: "open", path: path.to_owned(), source };
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(err) => return Err(failed(err)),
        };
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(DiskError::NotAFile(path.to_owned()));
        }
        let lock = Lock::take(&file, path)?;
        Ok(Some(LockedDisk {
            #[cfg(not(windows))]
            file,
            path: path.to_owned(),
            _lock: lock,
        }))
    }

    fn create(template: &Path, disk: &DataDisk) -> Result<LockedDisk, DiskError> {
        let unfinished = with_suffix(&disk.path, ".new");
        let failed = |action| move |source| fail(action, &disk.path, source);
        let mut options = OpenOptions::new();
        options.create(true).read(true).write(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&unfinished).map_err(failed("create"))?;
        let lock = Lock::take(&file, &disk.path)?;
        // Another process may have finished between our look and our lock.
        if disk.path.exists() {
            drop(lock);
            if let Some(opened) = LockedDisk::open(&disk.path)? {
                return Ok(opened);
            }
            return Err(DiskError::InUse(disk.path.clone()));
        }
        file.set_len(0).map_err(failed("create"))?;
        let filled = fill(&file, template, disk).and_then(|()| {
            std::fs::rename(&unfinished, &disk.path).map_err(failed("create"))?;
            sync_parent(&disk.path).map_err(failed("create"))
        });
        if let Err(err) = filled {
            let _ = std::fs::remove_file(&unfinished);
            return Err(err);
        }
        Ok(LockedDisk {
            #[cfg(not(windows))]
            file,
            path: disk.path.clone(),
            _lock: lock,
        })
    }

    #[cfg(windows)]
    fn grow(&self, size_bytes: u64) -> Result<(), DiskError> {
        crate::vhdx::grow(&self.path, size_bytes).map_err(|source| fail("grow", &self.path, source))
    }

    #[cfg(not(windows))]
    fn grow(&self, size_bytes: u64) -> Result<(), DiskError> {
        let failed = |source| fail("grow", &self.path, source);
        let now = self.file.metadata().map_err(failed)?.len();
        if now >= size_bytes {
            return Ok(());
        }
        self.file.set_len(size_bytes).and_then(|()| self.file.sync_all()).map_err(failed)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes that the file occupies, holes left out.
    pub fn allocated_bytes(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |metadata| system::allocated_bytes(&metadata))
    }
}

/// Held as long as the disk is in use. Where locks are advisory it is on the disk itself.
#[derive(Debug)]
pub struct Lock {
    _held: Option<File>,
}

impl Lock {
    /// Keeps machines away from a disk that nobody runs on; `None`: there is no such file. Blocking.
    pub fn of(path: &Path) -> Result<Option<Lock>, DiskError> {
        match File::open(path) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(DiskError::Io { action: "open", path: path.to_owned(), source }),
            Ok(file) => {
                let lock = Lock::take(&file, path)?;
                Ok(Some(Lock { _held: lock._held.or(Some(file)) }))
            }
        }
    }

    fn take(file: &File, path: &Path) -> Result<Lock, DiskError> {
        let failed = |source| DiskError::Io { action: "lock", path: path.to_owned(), source };
        let beside = match cfg!(windows) {
            false => None,
            true => {
                let mut options = OpenOptions::new();
                options.create(true).truncate(false).write(true);
                Some(options.open(with_suffix(path, ".lock")).map_err(failed)?)
            }
        };
        match beside.as_ref().unwrap_or(file).try_lock() {
            Ok(()) => Ok(Lock { _held: beside }),
            Err(TryLockError::WouldBlock) => Err(DiskError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

#[cfg(windows)]
fn fill(file: &File, template: &Path, disk: &DataDisk) -> Result<(), DiskError> {
    let damaged = |source| DiskError::Template { path: template.to_owned(), source };
    let failed = |source| fail("fill", &disk.path, source);
    let packed = File::open(template).map_err(damaged)?;
    let unpacked = zstd::Decoder::new(packed).map_err(damaged)?;
    let mut ids = [[0; 16]; 2];
    for id in &mut ids {
        getrandom::fill(id).map_err(|err| failed(io::Error::other(err)))?;
    }
    let size_bytes = disk.size_bytes.clamp(1 << 30, MAX_TEMPLATE_BYTES.max(disk.size_bytes));
    crate::vhdx::write(file, &mut unpacked.take(MAX_TEMPLATE_BYTES), size_bytes, ids.map(u128::from_be_bytes))
        .map_err(failed)
}

/// Unpacks the template without writing its holes.
#[cfg(not(windows))]
fn fill(mut file: &File, template: &Path, disk: &DataDisk) -> Result<(), DiskError> {
    let damaged = |source| DiskError::Template { path: template.to_owned(), source };
    let failed = |source| fail("fill", &disk.path, source);
    let packed = File::open(template).map_err(damaged)?;
    let mut unpacked = zstd::Decoder::new(packed).map_err(damaged)?;
    let mut block = vec![0; BLOCK_BYTES];
    let mut at = 0;
    loop {
        let len = read_block(&mut unpacked, &mut block).map_err(damaged)?;
        if len == 0 {
            break;
        }
        if block[..len].iter().any(|byte| *byte != 0) {
            file.seek(SeekFrom::Start(at)).and_then(|_| file.write_all(&block[..len])).map_err(failed)?;
        }
        at += len as u64;
        if at > MAX_TEMPLATE_BYTES {
            return Err(damaged(io::Error::other("unpacks to more than 16 GiB")));
        }
    }
    file.set_len(at.max(disk.size_bytes)).and_then(|()| file.sync_all()).map_err(failed)
}

/// Fills `block` as far as the stream goes.
pub(crate) fn read_block(from: &mut impl Read, block: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < block.len() {
        match from.read(&mut block[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
    Ok(filled)
}

/// What a failed write means to a person.
fn fail(action: &'static str, path: &Path, source: io::Error) -> DiskError {
    /// A fresh filesystem and what the first minutes write to it.
    const NEEDED_MIB: u64 = 256;
    if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        return DiskError::NoSpace { path: path.to_owned(), free_mib: free_mib(path), needed_mib: NEEDED_MIB };
    }
    DiskError::Io { action, path: path.to_owned(), source }
}

fn free_mib(path: &Path) -> u64 {
    system::free_bytes(path.parent().unwrap_or(Path::new("/"))).map_or(0, |bytes| bytes >> 20)
}

/// Makes a rename last through a power cut.
fn sync_parent(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()?;
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    const SIZE: u64 = 8 << 20;

    struct Case {
        dir: tempfile::TempDir,
    }

    impl Case {
        /// A template of 1 MiB: one block of text, a hole, one byte at the very end.
        fn new() -> Case {
            let case = Case { dir: tempfile::tempdir().unwrap() };
            let mut plain = vec![0; 1 << 20];
            plain[..5].copy_from_slice(b"hello");
            *plain.last_mut().unwrap() = 7;
            std::fs::write(case.template(), zstd::encode_all(&plain[..], 1).unwrap()).unwrap();
            case
        }

        fn template(&self) -> PathBuf {
            self.dir.path().join("template.zst")
        }

        fn disk(&self, size_bytes: u64) -> DataDisk {
            DataDisk { path: self.dir.path().join("data.raw"), size_bytes }
        }

        fn open(&self, size_bytes: u64) -> Result<LockedDisk, DiskError> {
            LockedDisk::open_or_create(&self.template(), &self.disk(size_bytes))
        }

        fn files(&self) -> Vec<String> {
            let mut names: Vec<_> = std::fs::read_dir(self.dir.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        }
    }

    #[test]
    fn a_new_disk_has_the_template_the_size_and_holes() {
        let case = Case::new();
        let disk = case.open(SIZE).unwrap();
        let content = std::fs::read(disk.path()).unwrap();
        assert_eq!(content.len() as u64, SIZE);
        assert_eq!(&content[..5], b"hello");
        assert_eq!(content[(1 << 20) - 1], 7);
        assert!(disk.allocated_bytes() <= 4 * BLOCK_BYTES as u64, "{} bytes allocated", disk.allocated_bytes());
        assert_eq!(case.files(), ["data.raw", "template.zst"]);
    }

    #[test]
    fn a_disk_grows_and_never_shrinks_and_keeps_its_content() {
        let case = Case::new();
        std::fs::write(case.disk(0).path, b"mine").unwrap();
        drop(case.open(SIZE).unwrap());
        let disk = case.open(1 << 20).unwrap();
        let content = std::fs::read(disk.path()).unwrap();
        assert_eq!((content.len() as u64, &content[..4]), (SIZE, &b"mine"[..]));
    }

    #[test]
    fn a_disk_has_one_machine_at_a_time() {
        let case = Case::new();
        let first = case.open(SIZE).unwrap();
        assert!(matches!(case.open(SIZE), Err(DiskError::InUse(_))));
        drop(first);
        case.open(SIZE).unwrap();
    }

    #[test]
    fn a_damaged_template_leaves_nothing_behind() {
        let case = Case::new();
        let whole = std::fs::read(case.template()).unwrap();
        std::fs::write(case.template(), &whole[..whole.len() / 2]).unwrap();
        assert!(matches!(case.open(SIZE), Err(DiskError::Template { .. })));
        assert_eq!(case.files(), ["template.zst"]);
    }

    #[test]
    fn what_a_crash_left_is_made_anew() {
        let case = Case::new();
        std::fs::write(case.dir.path().join("data.raw.new"), vec![1; 4096]).unwrap();
        let disk = case.open(SIZE).unwrap();
        assert_eq!(&std::fs::read(disk.path()).unwrap()[..6], b"hello\0");
    }

    #[test]
    fn a_full_disk_is_named_as_such() {
        let err = fail("fill", Path::new("/tmp/data.raw"), io::ErrorKind::StorageFull.into());
        assert!(matches!(err, DiskError::NoSpace { .. }));
        assert!(err.to_string().contains("MiB free"), "{err}");
    }

    #[test]
    fn a_directory_in_the_way_is_refused() {
        let case = Case::new();
        std::fs::create_dir(case.disk(0).path).unwrap();
        assert!(case.open(SIZE).is_err());
    }
}

#[cfg(test)]
#[cfg(windows)]
mod tests {
    use super::*;

    /// Growing it is the system's, whose functions only Hyper-V's hosts have.
    #[test]
    fn a_new_disk_is_a_vhdx_that_has_one_machine_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let template = dir.path().join("template.zst");
        std::fs::write(&template, zstd::encode_all(&[7; 5000][..], 1).unwrap()).unwrap();
        let disk = DataDisk { path: dir.path().join("data.vhdx"), size_bytes: 1 << 30 };
        assert!(Lock::of(&disk.path).unwrap().is_none());
        let first = LockedDisk::create(&template, &disk).unwrap();
        // By whoever the lock is not for, the disk can be read and written meanwhile: Hyper-V does.
        let content = std::fs::read(first.path()).unwrap();
        assert_eq!(&content[..8], b"vhdxfile");
        assert!(content.len() < 32 << 20 && content.windows(5000).any(|window| window == [7; 5000]));
        OpenOptions::new().read(true).write(true).open(&disk.path).unwrap();
        assert!(matches!(LockedDisk::open(&disk.path), Err(DiskError::InUse(_))));
        assert!(matches!(Lock::of(&disk.path), Err(DiskError::InUse(_))));
        drop(first);
        let kept = Lock::of(&disk.path).unwrap().unwrap();
        assert!(matches!(LockedDisk::open(&disk.path), Err(DiskError::InUse(_))));
        drop(kept);
        assert!(LockedDisk::open(&disk.path).unwrap().is_some());
        std::fs::write(&template, [1; 10]).unwrap();
        let other = DataDisk { path: dir.path().join("other.vhdx"), ..disk };
        assert!(LockedDisk::create(&template, &other).is_err());
        assert!(!other.path.exists() && !with_suffix(&other.path, ".new").exists());
    }
}
