//! Writing a log: appending, rotating, telling readers.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use tokio::sync::watch;

use super::options::{Driver, LogOptions};

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
    file: Mutex<Option<File>>,
    position: watch::Sender<Position>,
}

impl Log {
    /// Opens the log for appending. A line that a crash tore is ended first.
    pub fn open(path: Option<&Path>, options: LogOptions, attributes: String) -> io::Result<Self> {
        let mut position = Position::default();
        let file = match path {
            Some(path) if options.driver != Driver::None => {
                let mut file = open(path)?;
                end_torn_line(&mut file)?;
                position.len = file.metadata()?.len();
                Some(file)
            }
            _ => None,
        };
        let path = path.map(Path::to_owned);
        Ok(Self { attributes, options, path, file: Mutex::new(file), position: watch::Sender::new(position) })
    }

    pub fn attributes(&self) -> &str {
        &self.attributes
    }

    /// Appends whole encoded lines. An error is the disk's; the container goes on without its log.
    pub fn append(&self, lines: &[u8]) -> io::Result<()> {
        let mut slot = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(file) = slot.as_mut() else { return Ok(()) };
        let mut position = *self.position.borrow();
        let limit = self.options.max_size_bytes.unwrap_or(u64::MAX);
        let full = position.len > 0 && position.len.saturating_add(lines.len() as u64) > limit;
        if let Some(path) = self.path.as_ref().filter(|_| full) {
            *file = rotate(path, self.options.max_files)?;
            position = Position { generation: position.generation + 1, len: 0, closed: false };
        }
        file.write_all(lines)?;
        position.len += lines.len() as u64;
        self.position.send_replace(position);
        Ok(())
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
    for age in (0..u64::from(max_files) - 1).rev() {
        match fs::rename(rotated(path, age), rotated(path, age + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
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
