//! The guest's console as a log of bounded size: `console.log`, then `.1` (older) up to `.3`, a mebibyte each.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Size at which a file is rotated away.
pub const FILE_BYTES: u64 = 1 << 20;
/// Files kept, the newest included.
pub const FILES: u32 = 4;

/// Appends, and rotates when a file is full. Blocking: runs on a thread of its own.
#[derive(Debug)]
pub struct RotatingLog {
    path: PathBuf,
    file: File,
    bytes: u64,
    file_bytes: u64,
}

impl RotatingLog {
    /// Goes on where an earlier run stopped.
    pub fn open(path: &Path) -> io::Result<RotatingLog> {
        RotatingLog::with_size(path, FILE_BYTES)
    }

    /// [`RotatingLog::open`] with files of another size; for tests.
    pub fn with_size(path: &Path, file_bytes: u64) -> io::Result<RotatingLog> {
        let file = append(path)?;
        let bytes = file.metadata()?.len();
        Ok(RotatingLog { path: path.to_owned(), file, bytes, file_bytes })
    }

    /// Copies `from` until it ends. A log that cannot be written loses text but never holds up the guest.
    pub fn drain(mut self, mut from: impl Read) {
        let mut buffer = [0; 8192];
        loop {
            match from.read(&mut buffer) {
                Ok(0) => return,
                Ok(n) => {
                    if let Err(err) = self.write(&buffer[..n]) {
                        tracing::debug!(%err, path = %self.path.display(), "console text lost");
                    }
                }
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    fn write(&mut self, mut text: &[u8]) -> io::Result<()> {
        while !text.is_empty() {
            if self.bytes >= self.file_bytes {
                self.rotate()?;
            }
            let room = usize::try_from(self.file_bytes - self.bytes).unwrap_or(usize::MAX);
            let (now, later) = text.split_at(room.min(text.len()));
            self.file.write_all(now)?;
            self.bytes += now.len() as u64;
            text = later;
        }
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        for age in (1..FILES).rev() {
            match std::fs::rename(aged(&self.path, age - 1), aged(&self.path, age)) {
                Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
                _ => {}
            }
        }
        self.file = append(&self.path)?;
        self.bytes = self.file.metadata()?.len();
        Ok(())
    }
}

/// The guest's text as a terminal may see it: no escape sequences, by which a hostile guest could retitle, repaint or worse.
pub fn printable(text: &[u8]) -> String {
    String::from_utf8_lossy(text).chars().filter(|c| matches!(c, '\n' | '\t') || !c.is_control()).collect()
}

fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn aged(path: &Path, age: u32) -> PathBuf {
    if age == 0 {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{age}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_sees_no_escape_sequence() {
        assert_eq!(printable(b"a\x1b[2J\x07b\r\n\xc2\x9bc\td\xff"), "a[2Jb\nc\td\u{fffd}");
    }

    fn read(path: &Path, age: u32) -> Option<String> {
        std::fs::read_to_string(aged(path, age)).ok()
    }

    #[test]
    fn full_files_move_on_and_the_oldest_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("console.log");
        let text = b"aaaabbbbccccddddeeeeff";
        RotatingLog::with_size(&path, 4).unwrap().drain(&text[..]);
        assert_eq!(read(&path, 0).as_deref(), Some("ff"));
        assert_eq!(read(&path, 1).as_deref(), Some("eeee"));
        assert_eq!(read(&path, 3).as_deref(), Some("cccc"));
        assert_eq!(read(&path, 4), None);
    }

    #[test]
    fn a_later_run_appends() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("console.log");
        RotatingLog::open(&path).unwrap().drain(&b"one\n"[..]);
        RotatingLog::open(&path).unwrap().drain(&b"two\n"[..]);
        assert_eq!(read(&path, 0).as_deref(), Some("one\ntwo\n"));
    }

    #[test]
    fn a_log_that_cannot_rotate_still_lets_its_writer_finish() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("console.log");
        for age in [2, 3] {
            std::fs::create_dir_all(aged(&path, age).join("in-the-way")).unwrap();
        }
        RotatingLog::with_size(&path, 4).unwrap().drain(&b"aaaabbbb"[..]);
        assert_eq!(read(&path, 0).as_deref(), Some("aaaa"));
    }
}
