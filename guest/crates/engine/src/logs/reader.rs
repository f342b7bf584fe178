//! Reading a log: the last lines, a span of time, and what comes.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use tokio::sync::{mpsc, watch};

use super::{
    line::{self, Entry, Source},
    packed::Part,
    writer::{Log, Position},
};

/// Entries of one batch: bounds what a reader holds in memory.
const BATCH_ENTRIES: usize = 256;
const BATCH_BYTES: usize = 256 * 1024;
/// No line of ours is longer (16 KiB of text, each byte six at most, attributes); a longer one is not ours.
const LINE_BYTES: u64 = 1 << 20;
/// More rotated files than any option allows.
const MAX_AGE: u64 = 1000;

/// Which entries are wanted.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    pub stdout: bool,
    pub stderr: bool,
    pub since: Option<SystemTime>,
    pub until: Option<SystemTime>,
    /// The last so many, of both streams together, as dockerd counts them.
    pub tail: Option<usize>,
}

impl Selection {
    fn is_timed(&self) -> bool {
        self.since.is_some() || self.until.is_some()
    }
}

/// A position in the files of one log. Blocking.
pub struct LogReader {
    path: PathBuf,
    live: Option<Arc<Log>>,
    /// Files still to read, oldest first.
    files: VecDeque<BufReader<File>>,
    generation: u64,
    last_look: bool,
    /// Bytes of the newest file that are still to be read; without, all that comes.
    left: Option<u64>,
    selection: Selection,
    done: bool,
}

impl LogReader {
    /// Opens the log at its place: the beginning, or the last lines. `live` is the log that is being written, if any.
    /// Unless it `grows` for its reader, the log ends where it ends now: a container may print faster than we read.
    /// Source: moby daemon/logger/loggerutils/logfile.go, `readLogsLocked`.
    pub fn open(path: &Path, live: Option<Arc<Log>>, selection: Selection, grows: bool) -> io::Result<Self> {
        let look = || open_all(path).and_then(|files| Ok((files, length(path)?)));
        let ((files, len), generation) = match &live {
            Some(log) => log.steady(|generation| look().map(|found| (found, generation)))?,
            None => (look()?, 0),
        };
        let mut files = match selection.tail {
            Some(lines) => seek_to_tail(files, lines, len)?,
            None => files.into_iter().map(Part::plain).collect::<io::Result<_>>()?,
        };
        let newest = files.back_mut().map(File::stream_position).transpose()?.unwrap_or_default();
        let (left, live) = if grows { (None, live) } else { (Some(len.saturating_sub(newest)), None) };
        let files = files.into_iter().map(BufReader::new).collect();
        Ok(Self { path: path.to_owned(), live, files, generation, last_look: false, left, selection, done: false })
    }

    /// The next wanted entries. Empty: nothing more is there now.
    pub fn batch(&mut self) -> io::Result<Vec<Entry>> {
        let (mut entries, mut bytes) = (Vec::new(), 0);
        while !self.done && entries.len() < BATCH_ENTRIES && bytes < BATCH_BYTES {
            let Some(line) = self.line()? else { break };
            let Some(entry) = line::decode(&line) else { continue };
            let at = self.selection.is_timed().then(|| entry.at()).flatten();
            if self.selection.until.is_some_and(|until| at.is_none_or(|at| at > until)) {
                self.done = true;
                break;
            }
            let wanted = match entry.source {
                Source::Stdout => self.selection.stdout,
                Source::Stderr => self.selection.stderr,
            };
            if wanted && self.selection.since.is_none_or(|since| at.is_some_and(|at| at >= since)) {
                bytes += entry.text.len();
                entries.push(entry);
            }
        }
        Ok(entries)
    }

    /// One whole line; a line that is still being written is left for later.
    fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let is_newest = self.files.len() == 1;
            let Some(file) = self.files.front_mut() else { return Ok(None) };
            let mut line = Vec::new();
            let left = self.left.as_mut().filter(|_| is_newest);
            let limit = left.as_ref().map_or(LINE_BYTES, |left| LINE_BYTES.min(**left));
            let count = file.by_ref().take(limit).read_until(b'\n', &mut line)?;
            if line.ends_with(b"\n") || count as u64 == LINE_BYTES {
                if let Some(left) = left {
                    *left -= count as u64;
                }
                return Ok(Some(line));
            }
            if count > 0 {
                file.seek_relative(-(count as i64))?;
            }
            if self.files.len() > 1 {
                self.files.pop_front();
            } else if !self.newer_file()? {
                return Ok(None);
            }
        }
    }

    /// Goes on to the file that took the place of the one at hand. False when there is none.
    ///
    /// Why twice: what was written between our last look and the rotation is only sure to be seen by one more look.
    fn newer_file(&mut self) -> io::Result<bool> {
        let Some(log) = &self.live else { return Ok(false) };
        let newer = log.steady(|generation| {
            let age = generation.checked_sub(self.generation + 1)?;
            Some(self.last_look.then(|| Part::open(&self.path, age)))
        });
        self.last_look = match newer {
            None => return Ok(false),
            Some(None) => true,
            Some(Some(file)) => {
                self.generation += 1;
                match file.and_then(Part::plain) {
                    Ok(file) => self.files = VecDeque::from([BufReader::new(file)]),
                    // Rotated away before we came to it.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
                false
            }
        };
        Ok(true)
    }

    /// True when `until` was passed.
    pub fn is_done(&self) -> bool {
        self.done
    }
}

/// Oldest first.
fn open_all(path: &Path) -> io::Result<VecDeque<Part>> {
    let mut files = VecDeque::new();
    for age in 0..MAX_AGE {
        match Part::open(path, age) {
            Ok(file) => files.push_front(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) => return Err(error),
        }
    }
    Ok(files)
}

/// Of the newest file.
fn length(path: &Path) -> io::Result<u64> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        found => Ok(found?.len()),
    }
}

/// Leaves out the files, and skips the part of the first one, that are before the last `lines` lines. A packed file that is
/// left out is not unpacked. `len`: of the newest file.
fn seek_to_tail(mut files: VecDeque<Part>, mut lines: usize, len: u64) -> io::Result<VecDeque<File>> {
    let mut wanted = VecDeque::new();
    while let Some(part) = files.pop_back() {
        let mut file = part.plain()?;
        let len = if wanted.is_empty() { len } else { file.metadata()?.len() };
        let (offset, found) = last_lines(&mut file, lines, len)?;
        file.seek(SeekFrom::Start(offset))?;
        wanted.push_front(file);
        lines -= found;
        if lines == 0 {
            break;
        }
    }
    Ok(wanted)
}

/// Where the last `wanted` lines of the first `len` bytes begin, and how many there are of them. Reads backwards.
fn last_lines(file: &mut File, wanted: usize, len: u64) -> io::Result<(u64, usize)> {
    const BLOCK: u64 = 64 * 1024;
    if wanted == 0 {
        return Ok((len, 0));
    }
    let (mut end, mut found, mut block) = (len, 0, vec![0; BLOCK as usize]);
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        let part = &mut block[..(end - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(part)?;
        for (offset, _) in part.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            let after = start + offset as u64 + 1;
            if after == len {
                continue;
            }
            found += 1;
            if found == wanted {
                return Ok((after, found));
            }
        }
        end = start;
    }
    Ok((0, if len > 0 { found + 1 } else { 0 }.min(wanted)))
}

/// Sends everything the reader finds, and with `growth` what comes later, until the log is closed or `output` is.
/// Each step runs on a blocking thread; waiting costs none.
pub async fn follow(
    reader: LogReader,
    mut growth: Option<watch::Receiver<Position>>,
    output: mpsc::Sender<io::Result<Vec<Entry>>>,
) {
    let mut reader = reader;
    loop {
        let closed = growth.as_mut().is_none_or(|growth| growth.borrow_and_update().closed);
        let step = tokio::task::spawn_blocking(move || (reader.batch(), reader)).await;
        let Ok((batch, back)) = step else { return };
        reader = back;
        match batch {
            Err(error) => {
                // Why ignored: a client that has gone needs no error.
                let _ = output.send(Err(error)).await;
                return;
            }
            Ok(entries) if !entries.is_empty() => {
                if output.send(Ok(entries)).await.is_err() {
                    return;
                }
            }
            Ok(_) if closed || reader.is_done() => return,
            Ok(_) => {
                let Some(growth) = growth.as_mut() else { return };
                tokio::select! {
                    changed = growth.changed() => if changed.is_err() { growth.mark_unchanged(); return; },
                    () = output.closed() => return,
                    () = until(&reader.selection) => return,
                }
            }
        }
    }
}

/// Following ends when `until` has come.
async fn until(selection: &Selection) {
    match selection.until {
        None => std::future::pending().await,
        Some(until) => tokio::time::sleep(until.duration_since(SystemTime::now()).unwrap_or_default()).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        containers::model::LogConfig,
        logs::{LogOptions, Splitter, packed, writer::rotated},
    };

    fn log(path: &Path, options: &[(&str, &str)]) -> Arc<Log> {
        let config = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let options = LogOptions::parse(&LogConfig { driver: String::new(), config: Some(config) }).unwrap();
        Arc::new(Log::open(Some(path), options, String::new()).unwrap())
    }

    fn both() -> Selection {
        Selection { stdout: true, stderr: true, ..Selection::default() }
    }

    fn texts(reader: &mut LogReader) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let batch = reader.batch().unwrap();
            if batch.is_empty() {
                return all;
            }
            all.extend(batch.into_iter().map(|entry| entry.text.trim_end().to_owned()));
        }
    }

    #[test]
    fn tail_spans_rotated_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let log = log(&path, &[("max-size", "1k"), ("max-file", "3")]);
        let mut splitter = Splitter::new(log, Source::Stdout);
        for n in 0..30 {
            splitter.feed(format!("line {n}\n").as_bytes(), None);
        }
        assert!(rotated(&path, 1).exists() && !rotated(&path, 3).exists());
        for tail in [0, 1, 5, 12] {
            let mut reader = LogReader::open(&path, None, Selection { tail: Some(tail), ..both() }, false).unwrap();
            let expected: Vec<String> = (30 - tail..30).map(|n| format!("line {n}")).collect();
            assert_eq!(texts(&mut reader), expected, "tail {tail}");
        }
    }

    #[test]
    fn a_log_that_grows_faster_than_it_is_read_ends_where_it_ended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let log = log(&path, &[("max-size", "4k"), ("max-file", "9")]);
        let mut splitter = Splitter::new(log.clone(), Source::Stdout);
        let mut print = |range: std::ops::Range<usize>| {
            range.for_each(|n| splitter.feed(format!("{n}\n").as_bytes(), None));
        };
        print(0..100);
        let open = |tail| LogReader::open(&path, Some(log.clone()), Selection { tail, ..both() }, false).unwrap();
        let (mut all, mut last) = (open(None), open(Some(2)));
        // More than what a reader takes at once, and over rotations.
        print(100..500);
        assert_eq!(texts(&mut all), (0..100).map(|n| n.to_string()).collect::<Vec<_>>());
        assert_eq!(texts(&mut last), ["98", "99"]);
    }

    #[test]
    fn packed_files_are_read_like_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let log = log(&path, &[("max-size", "1k"), ("max-file", "4"), ("compress", "true")]);
        let mut splitter = Splitter::new(log.clone(), Source::Stdout);
        let is_packed = |age: u64| packed::packed(&path, age).exists() && !rotated(&path, age).exists();
        for n in 0..40 {
            splitter.feed(format!("line {n}\n").as_bytes(), None);
            // Until the one before it is packed, the next rotation waits: all ages are then packed at the end.
            while rotated(&path, 1).exists() {
                std::thread::yield_now();
            }
        }
        assert!((1..=3).all(is_packed) && !packed::packed(&path, 4).exists());
        for tail in [0, 1, 5, 12, 30] {
            let mut reader = LogReader::open(&path, None, Selection { tail: Some(tail), ..both() }, false).unwrap();
            let expected: Vec<String> = (40 - tail..40).map(|n| format!("line {n}")).collect();
            assert_eq!(texts(&mut reader), expected, "tail {tail}");
        }
        let all = texts(&mut LogReader::open(&path, None, both(), false).unwrap());
        assert!(all.len() > 30 && all.last().unwrap() == "line 39", "{all:?}");
        // A spoiled one costs what is in it, not the log.
        std::fs::write(packed::packed(&path, 2), b"\x1f\x8b spoiled").unwrap();
        assert!(texts(&mut LogReader::open(&path, None, both(), false).unwrap()).contains(&"line 39".to_owned()));
        std::fs::write(dir.path().join("log.7.packing"), b"half").unwrap();
        drop(self::log(&path, &[]));
        assert!(!dir.path().join("log.7.packing").exists());
    }

    #[test]
    fn streams_and_partial_lines_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let log = log(&path, &[]);
        let mut out = Splitter::new(log.clone(), Source::Stdout);
        let mut err = Splitter::new(log, Source::Stderr);
        out.feed(b"one\ntw", None);
        err.feed(b"bad\n", None);
        out.feed(b"o\nlast", None);
        out.finish(None);
        assert_eq!(texts(&mut LogReader::open(&path, None, both(), false).unwrap()), ["one", "bad", "two", "last"]);
        let only = Selection { stderr: true, ..Selection::default() };
        assert_eq!(texts(&mut LogReader::open(&path, None, only, false).unwrap()), ["bad"]);
    }

    #[test]
    fn a_long_line_is_whole_in_several_entries() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut splitter = Splitter::new(log(&path, &[]), Source::Stdout);
        let long = "x".repeat(100_000);
        for piece in long.as_bytes().chunks(7_000) {
            splitter.feed(piece, None);
        }
        splitter.feed(b"\nnext\n", None);
        let mut reader = LogReader::open(&path, None, both(), false).unwrap();
        let all: String = reader.batch().unwrap().into_iter().map(|entry| entry.text).collect();
        assert_eq!(all, format!("{long}\nnext\n"));
    }

    #[test]
    fn a_torn_line_costs_itself_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        Splitter::new(log(&path, &[]), Source::Stdout).feed(b"before\n", None);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend_from_slice(br#"{"log":"to"#);
        std::fs::write(&path, bytes).unwrap();
        Splitter::new(log(&path, &[]), Source::Stdout).feed(b"after\n", None);
        assert_eq!(texts(&mut LogReader::open(&path, None, both(), false).unwrap()), ["before", "after"]);
    }

    #[tokio::test]
    async fn a_follower_sees_everything_over_rotations_and_ends_with_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let log = log(&path, &[("max-size", "4k"), ("max-file", "4")]);
        let reader = LogReader::open(&path, Some(log.clone()), both(), true).unwrap();
        let (sender, mut receiver) = mpsc::channel(1);
        let follower = tokio::spawn(follow(reader, Some(log.watch()), sender));
        let mut splitter = Splitter::new(log.clone(), Source::Stdout);
        let mut seen = Vec::new();
        for n in 0..500 {
            splitter.feed(format!("{n}\n").as_bytes(), None);
            while seen.len() <= n {
                for entry in receiver.recv().await.unwrap().unwrap() {
                    seen.push(entry.text.trim_end().parse::<usize>().unwrap());
                }
            }
        }
        log.close();
        assert!(receiver.recv().await.is_none());
        follower.await.unwrap();
        assert_eq!(seen, (0..500).collect::<Vec<_>>());
    }
}
