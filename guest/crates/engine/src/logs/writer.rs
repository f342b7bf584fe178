//! Writing a log: appending, rotating, telling readers.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;

use super::{
    journal::{Journal, Slot},
    options::{Driver, LogOptions},
    packed,
};

/// How far a log has come. Readers wait for a change of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Counts rotations.
    pub generation: u64,
    pub len: u64,
    /// Nothing more will come.
    pub closed: bool,
}

/// The log of one running container. Writes are appends to a file of the page cache: short, and made from async code.
pub struct Log {
    attributes: String,
    options: LogOptions,
    path: Option<PathBuf>,
    file: Arc<Mutex<Option<File>>>,
    position: watch::Sender<Position>,
    journal: Option<(Arc<Journal>, String)>,
}

impl Log {
    /// Opens the log for appending. A line that a crash tore is ended first.
    pub fn open(path: Option<&Path>, options: LogOptions, attributes: String) -> io::Result<Self> {
        let mut position = Position::default();
        let file = match path {
            Some(path) if options.driver != Driver::None => {
                packed::sweep(path);
                let mut file = open(path)?;
                end_torn_line(&mut file)?;
                position.len = file.metadata()?.len();
                Some(file)
            }
            _ => None,
        };
        let path = path.map(Path::to_owned);
        Ok(Self {
            attributes,
            options,
            path,
            file: Arc::new(Mutex::new(file)),
            position: watch::Sender::new(position),
            journal: None,
        })
    }

    /// Output on its way here goes through `journal`, in the name of container `id`. An append of an earlier engine that
    /// was interrupted is undone: what it should have logged is in the journal.
    pub fn with_journal(mut self, journal: Arc<Journal>, id: String) -> io::Result<Self> {
        {
            let held = self.file.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(file) = held.as_ref() else {
                drop(held);
                return Ok(self);
            };
            if let Some(len) = journal.interrupted(&id)
                && len < file.metadata()?.len()
            {
                file.set_len(len)?;
                self.position.send_modify(|position| position.len = len);
            }
        }
        self.journal = Some((journal, id));
        Ok(self)
    }

    /// Where output is safe on its way here, and in whose name.
    pub fn journal(&self) -> Option<&(Arc<Journal>, String)> {
        self.journal.as_ref()
    }

    pub fn attributes(&self) -> &str {
        &self.attributes
    }

    /// Appends whole encoded lines. An error is the disk's; the container goes on without its log. `slot`: where the lines
    /// come from, and how many of its last bytes are in none of them.
    pub fn append(&self, lines: &[u8], slot: Option<(&mut Slot, usize)>) -> io::Result<()> {
        let mut held = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(file) = held.as_mut() else { return Ok(()) };
        let mut position = *self.position.borrow();
        let limit = self.options.max_size_bytes.unwrap_or(u64::MAX);
        let full = position.len > 0 && position.len.saturating_add(lines.len() as u64) > limit;
        if let Some(path) = self.path.as_ref().filter(|_| full) {
            let full = std::mem::replace(file, rotate(path, self.options.max_files)?);
            position = Position { generation: position.generation + 1, len: 0, closed: false };
            if self.options.compress && self.options.max_files > 1 {
                self.pack(path, full);
            }
        }
        let written = match slot {
            None => write(file, lines, position.len),
            Some((slot, kept)) => {
                // Why the log comes first: a journal that cannot be written costs something only if we are killed now.
                let begun = slot.append_begins(position.len);
                let written = write(file, lines, position.len);
                if let Err(error) = begun.and(slot.append_done(kept)) {
                    tracing::warn!(err = %error, "the journal of a container's output cannot be written");
                }
                written
            }
        };
        position.len += if written.is_ok() { lines.len() as u64 } else { 0 };
        self.position.send_replace(position);
        written
    }

    /// Packs the file that a rotation has put aside.
    fn pack(&self, path: &Path, full: File) {
        let (path, writer, max_files) = (path.to_owned(), self.file.clone(), self.options.max_files);
        std::thread::spawn(move || {
            let packed = packed::pack(&path, &full).and_then(|unfinished| {
                let _no_rotation = writer.lock().unwrap_or_else(PoisonError::into_inner);
                packed::put(&path, &full, &unfinished, max_files)
            });
            if let Err(error) = packed {
                tracing::warn!(path = %path.display(), err = %error, "a rotated log was not packed");
            }
        });
    }

    /// Ends the log: followers read what is there and end.
    pub fn close(&self) {
        self.file.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.position.send_modify(|position| position.closed = true);
    }

    /// For followers.
    pub fn watch(&self) -> watch::Receiver<Position> {
        self.position.subscribe()
    }

    /// Runs `work` while no rotation can happen, with the present generation.
    pub fn steady<T>(&self, work: impl FnOnce(u64) -> T) -> T {
        let _writer = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let generation = self.position.borrow().generation;
        work(generation)
    }
}

/// All of it or nothing: half an entry would spoil the next.
fn write(file: &mut File, lines: &[u8], len: u64) -> io::Result<()> {
    let written = file.write_all(lines);
    if written.is_err() {
        file.set_len(len)?;
    }
    written
}

/// `log`, `log.1`, `log.2`, …: the older the higher.
pub fn rotated(path: &Path, age: u64) -> PathBuf {
    if age == 0 {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{age}"));
    name.into()
}

fn rotate(path: &Path, max_files: u32) -> io::Result<File> {
    if max_files < 2 {
        // Why by name: a reader keeps the file it has open, and reads it to its end.
        fs::remove_file(path)?;
        return open(path);
    }
    let oldest = u64::from(max_files) - 1;
    let there = |done: io::Result<()>| match done {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    // Why by itself: what takes its place may be packed, or not.
    there(fs::remove_file(rotated(path, oldest)))?;
    there(fs::remove_file(packed::packed(path, oldest)))?;
    for age in (0..oldest).rev() {
        there(fs::rename(rotated(path, age), rotated(path, age + 1)))?;
        there(fs::rename(packed::packed(path, age), packed::packed(path, age + 1)))?;
    }
    open(path)
}

fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().read(true).append(true).create(true).mode(0o640).open(path)
}

fn end_torn_line(file: &mut File) -> io::Result<()> {
    if file.metadata()?.len() == 0 {
        return Ok(());
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    if last != *b"\n" { file.write_all(b"\n") } else { Ok(()) }
}
