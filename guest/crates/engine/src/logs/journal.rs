//! What a container has printed, on its way from the pipe to the log: the engine may be killed at any instruction, and no
//! byte is lost or logged twice.
//!
//! ```text
//! pipe ──splice──▶ slot ──▶ lines ──append──▶ log
//! ```
//!
//! A *slot* is a small file in the run directory. The kernel moves bytes from the pipe into it by itself, and the file's
//! length says how many: there is no moment at which they are in our memory only. The slot's head says whose bytes they
//! are, from where on they are not in the log yet, and, during an append, how long the log was before it:
//!
//! | killed | the next engine finds | and |
//! |---|---|---|
//! | before the append | bytes after `from` | logs them |
//! | in the append | `pending` | cuts the log back to it, then logs them |
//! | after it | `from` at the bytes' end | has nothing to do |
//!
//! The beginning of a line whose end has not come stays in its slot. A slot without bytes serves whoever comes next, so
//! that there are about as many as streams that are being read at one moment.

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    os::{fd::AsFd, unix::fs::FileExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::pipe::{SpliceFlags, splice};

use super::Source;

/// One read at most: the default capacity of a pipe.
pub const CHUNK: usize = 64 * 1024;
/// The head: a container's id, the source, `from`, `pending`; the bytes come after it.
const HEAD: u64 = 128;
const ID_BYTES: usize = 64;
const FROM_AT: u64 = 72;
const NOT_PENDING: u64 = u64::MAX;
/// A slot that has grown to this is emptied before it serves again.
const ROOM: u64 = 256 * 1024;
/// Slots that wait for work; more than there are threads is of no use.
const SPARE: usize = 16;

/// Every slot of an engine.
pub struct Journal {
    dir: PathBuf,
    next: AtomicU64,
    spare: Mutex<Vec<Slot>>,
    /// What an earlier engine has not logged.
    left: Mutex<HashMap<(String, Source), Slot>>,
}

/// A place for bytes of one stream.
#[derive(Debug)]
pub struct Slot {
    file: File,
    path: PathBuf,
    from: u64,
    end: u64,
    pending: u64,
}

impl Journal {
    /// Opens the directory `dir`; slots of an earlier engine are kept until [`Journal::recover`] or [`Journal::sweep`].
    pub fn open(dir: &Path) -> io::Result<Arc<Self>> {
        fs::create_dir_all(dir)?;
        let (mut left, mut next) = (HashMap::new(), 0);
        for entry in fs::read_dir(dir)?.flatten() {
            let number = entry.file_name().to_str().and_then(|name| name.parse::<u64>().ok());
            next = next.max(number.map_or(0, |number| number + 1));
            match Slot::read(&entry.path()) {
                Ok((owner, slot)) if !slot.is_empty() => drop(left.insert(owner, slot)),
                _ => fs::remove_file(entry.path())?,
            }
        }
        Ok(Arc::new(Self { dir: dir.to_owned(), next: next.into(), spare: Mutex::default(), left: Mutex::new(left) }))
    }

    /// A slot for bytes of `id`'s `source`, empty.
    pub fn take(&self, id: &str, source: Source) -> io::Result<Slot> {
        let mut slot = match lock(&self.spare).pop() {
            Some(slot) => slot,
            None => Slot::create(self.dir.join(self.next.fetch_add(1, Ordering::Relaxed).to_string()))?,
        };
        slot.from = slot.end;
        slot.claim(id, source)?;
        Ok(slot)
    }

    /// Takes an empty slot back.
    pub fn give(&self, mut slot: Slot) {
        let mut spare = lock(&self.spare);
        if spare.len() < SPARE && (slot.end < ROOM || slot.clear().is_ok()) {
            spare.push(slot);
        } else if let Err(error) = fs::remove_file(&slot.path) {
            tracing::warn!(path = %slot.path.display(), err = %error, "a journal's slot could not be removed");
        }
    }

    /// What an earlier engine read of a stream and did not log.
    pub fn recover(&self, id: &str, source: Source) -> Option<Slot> {
        lock(&self.left).remove(&(id.to_owned(), source))
    }

    /// How long the log of `id` was before an append that nobody finished.
    pub fn interrupted(&self, id: &str) -> Option<u64> {
        let left = lock(&self.left);
        let slots = [Source::Stdout, Source::Stderr].map(|source| left.get(&(id.to_owned(), source)));
        slots.into_iter().flatten().map(|slot| slot.pending).find(|pending| *pending != NOT_PENDING)
    }

    /// Forgets what belongs to no container that still runs.
    pub fn sweep(&self) {
        for ((id, _), slot) in lock(&self.left).drain() {
            tracing::info!(container_id = id, "output of a container that is no more is dropped");
            // Why ignored: the next engine tries again.
            let _ = fs::remove_file(&slot.path);
        }
    }
}

impl Slot {
    fn create(path: PathBuf) -> io::Result<Self> {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
        Ok(Self { file, path, from: HEAD, end: HEAD, pending: NOT_PENDING })
    }

    fn read(path: &Path) -> io::Result<((String, Source), Self)> {
        let file = File::options().read(true).write(true).open(path)?;
        let mut head = [0; HEAD as usize];
        file.read_exact_at(&mut head, 0)?;
        let number = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().expect("eight bytes"));
        let id = std::str::from_utf8(&head[..ID_BYTES]).map_err(io::Error::other)?.trim_end_matches('\0').to_owned();
        let source = if head[ID_BYTES] == 0 { Source::Stdout } else { Source::Stderr };
        let (from, pending) = (number(FROM_AT as usize), number(FROM_AT as usize + 8));
        let end = file.metadata()?.len();
        Ok(((id, source), Self { file, path: path.to_owned(), from: from.max(HEAD), end, pending }))
    }

    fn claim(&mut self, id: &str, source: Source) -> io::Result<()> {
        let mut head = [0; HEAD as usize];
        let id = id.as_bytes();
        if id.len() > ID_BYTES {
            return Err(io::Error::other("an id is longer than a slot's head has room for"));
        }
        head[..id.len()].copy_from_slice(id);
        head[ID_BYTES] = u8::from(source == Source::Stderr);
        self.pending = NOT_PENDING;
        head[FROM_AT as usize..][..16].copy_from_slice(&self.progress());
        self.file.write_all_at(&head, 0)
    }

    fn clear(&mut self) -> io::Result<()> {
        self.file.set_len(HEAD)?;
        (self.from, self.end) = (HEAD, HEAD);
        Ok(())
    }

    /// Everything is in the log.
    pub fn is_empty(&self) -> bool {
        self.from >= self.end
    }

    /// Moves what the pipe has into the slot and adds it to `buffer`. 0 is the stream's end.
    pub fn fill(&mut self, pipe: impl AsFd, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let start = self.end;
        let moved = splice(pipe, None, &self.file, Some(&mut self.end), CHUNK, SpliceFlags::NONBLOCK)?;
        self.end = start + moved as u64;
        self.copy(start, buffer)?;
        Ok(moved)
    }

    /// Adds what was read from something that is no pipe.
    pub fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.end)?;
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// What is not in the log.
    pub fn rest(&self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.copy(self.from, &mut rest)?;
        Ok(rest)
    }

    fn copy(&self, from: u64, buffer: &mut Vec<u8>) -> io::Result<()> {
        let start = buffer.len();
        buffer.resize(start + usize::try_from(self.end.saturating_sub(from)).unwrap_or(usize::MAX), 0);
        self.file.read_exact_at(&mut buffer[start..], from)
    }

    /// An append to the log begins, which is `len` bytes long.
    pub fn append_begins(&mut self, len: u64) -> io::Result<()> {
        self.pending = len;
        self.file.write_all_at(&self.progress(), FROM_AT)
    }

    /// It is done; the last `kept` bytes are the beginning of a line and not in the log.
    pub fn append_done(&mut self, kept: usize) -> io::Result<()> {
        (self.from, self.pending) = (self.end.saturating_sub(kept as u64), NOT_PENDING);
        self.file.write_all_at(&self.progress(), FROM_AT)
    }

    /// `from` and `pending`: they change in one write.
    fn progress(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.from.to_le_bytes());
        bytes[8..].copy_from_slice(&self.pending.to_le_bytes());
        bytes
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        containers::model::LogConfig,
        logs::{Log, LogOptions, Splitter},
    };

    fn printed(path: &Path) -> String {
        let text = fs::read_to_string(path).unwrap();
        let texts = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["log"].clone());
        texts.map(|text| text.as_str().unwrap().to_owned()).collect()
    }

    fn pipe_with(text: &str) -> std::os::fd::OwnedFd {
        let (read, write) = rustix::pipe::pipe().unwrap();
        rustix::io::write(write, text.as_bytes()).unwrap();
        read
    }

    struct Place {
        dir: tempfile::TempDir,
        journal: Arc<Journal>,
        log: Arc<Log>,
    }

    /// An engine's view after its start.
    fn engine(dir: tempfile::TempDir) -> Place {
        let journal = Journal::open(&dir.path().join("journal")).unwrap();
        let log =
            Log::open(Some(&dir.path().join("log")), LogOptions::parse(&LogConfig::default()).unwrap(), String::new())
                .unwrap();
        let log = Arc::new(log.with_journal(journal.clone(), "id".to_owned()).unwrap());
        Place { dir, journal, log }
    }

    #[test]
    fn bytes_that_were_not_logged_are_logged_by_the_next_engine() {
        let place = engine(tempfile::tempdir().unwrap());
        let mut slot = place.journal.take("id", Source::Stdout).unwrap();
        slot.fill(pipe_with("one\ntw"), &mut Vec::new()).unwrap();
        // Here the engine is killed.
        let place = engine(place.dir);
        let mut slot = place.journal.recover("id", Source::Stdout).unwrap();
        assert!(place.journal.recover("id", Source::Stderr).is_none());
        let mut splitter = Splitter::new(place.log.clone(), Source::Stdout);
        splitter.feed(&slot.rest().unwrap(), Some(&mut slot));
        assert_eq!(
            (printed(&place.dir.path().join("log")).as_str(), slot.rest().unwrap().as_slice()),
            ("one\n", &b"tw"[..])
        );
        // And again: the beginning of the line is still there.
        let place = engine(place.dir);
        let mut slot = place.journal.recover("id", Source::Stdout).unwrap();
        let mut splitter = Splitter::new(place.log.clone(), Source::Stdout);
        splitter.feed(&slot.rest().unwrap(), Some(&mut slot));
        let mut buffer = Vec::new();
        slot.fill(pipe_with("o\n"), &mut buffer).unwrap();
        splitter.feed(&buffer, Some(&mut slot));
        assert_eq!(printed(&place.dir.path().join("log")), "one\ntwo\n");
        assert!(slot.is_empty());
    }

    #[test]
    fn an_append_that_was_interrupted_is_done_once() {
        for torn in
            ["", "{\"log\":\"on", "{\"log\":\"one\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-01T00:00:00Z\"}\n"]
        {
            let place = engine(tempfile::tempdir().unwrap());
            place
                .log
                .append(b"{\"log\":\"zero\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-01T00:00:00Z\"}\n", None)
                .unwrap();
            let path = place.dir.path().join("log");
            let before = fs::metadata(&path).unwrap().len();
            let mut slot = place.journal.take("id", Source::Stdout).unwrap();
            slot.fill(pipe_with("one\n"), &mut Vec::new()).unwrap();
            slot.append_begins(before).unwrap();
            fs::write(&path, fs::read_to_string(&path).unwrap() + torn).unwrap();
            let place = engine(place.dir);
            let mut slot = place.journal.recover("id", Source::Stdout).unwrap();
            Splitter::new(place.log.clone(), Source::Stdout).feed(&slot.rest().unwrap(), Some(&mut slot));
            assert_eq!(printed(&path), "zero\none\n", "torn at {torn:?}");
        }
    }

    #[test]
    fn slots_serve_again_and_stay_small() {
        let place = engine(tempfile::tempdir().unwrap());
        let mut splitter = Splitter::new(place.log.clone(), Source::Stdout);
        for _ in 0..200 {
            let mut slot = place.journal.take("id", Source::Stdout).unwrap();
            let mut buffer = Vec::new();
            slot.fill(pipe_with(&"x\n".repeat(2000)), &mut buffer).unwrap();
            splitter.feed(&buffer, Some(&mut slot));
            place.journal.give(slot);
        }
        let files: Vec<_> = fs::read_dir(place.dir.path().join("journal")).unwrap().flatten().collect();
        assert_eq!(files.len(), 1);
        assert!(files[0].metadata().unwrap().len() <= ROOM + HEAD);
        let next = Journal::open(&place.dir.path().join("journal")).unwrap();
        assert!(next.recover("id", Source::Stdout).is_none(), "nothing was left");
    }
}
