//! Any bytes as the files of a container's log, and as a slot of the journal: read to their end, never more than asked for,
//! and a log that goes on keeps what it had.
#![no_main]

use cubby_engine::{
    containers::model::LogConfig,
    logs::{Log, LogOptions, LogReader, Selection, Source, Splitter, journal::Journal},
};
use libfuzzer_sys::fuzz_target;

fn count(path: &std::path::Path, tail: Option<usize>) -> usize {
    let selection = Selection { stdout: true, stderr: true, tail, ..Selection::default() };
    let mut reader = LogReader::open(path, None, selection, true).expect("a file that is there");
    let mut all = 0;
    loop {
        match reader.batch().expect("a file that stays").len() {
            0 => return all,
            some => all += some,
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&cut, bytes)) = data.split_first() else { return };
    let dir = tempfile::tempdir_in("/dev/shm").expect("memory to write to");
    let path = dir.path().join("log");
    let (older, newer) = bytes.split_at(bytes.len() * usize::from(cut) / 256);
    std::fs::write(dir.path().join("log.1"), older).expect("written");
    std::fs::write(&path, newer).expect("written");
    let before = count(&path, None);
    for tail in [0, 1, 3, 1000] {
        let found = count(&path, Some(tail));
        assert!(found <= tail && found <= before, "{found} of the last {tail}");
    }
    let options = LogOptions::parse(&LogConfig::default()).expect("the defaults");
    let log = std::sync::Arc::new(Log::open(Some(&path), options, String::new()).expect("a log"));
    Splitter::new(log, Source::Stdout).feed(b"one more\n", None);
    let after = count(&path, None);
    assert!(after > before, "{before} and one more are {after}");

    let slots = dir.path().join("journal");
    std::fs::create_dir(&slots).expect("made");
    std::fs::write(slots.join("0"), bytes).expect("written");
    let journal = Journal::open(&slots).expect("a directory of ours");
    let id = String::from_utf8_lossy(&bytes[..bytes.len().min(64)]).trim_end_matches('\0').to_owned();
    let _ = journal.interrupted(&id);
    for source in [Source::Stdout, Source::Stderr] {
        if let Some(slot) = journal.recover(&id, source) {
            assert!(slot.rest().expect("its bytes").len() <= bytes.len());
        }
    }
});
