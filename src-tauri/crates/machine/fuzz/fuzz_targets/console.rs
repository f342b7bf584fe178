//! A hostile guest's console: any bytes, in pieces of any size.
#![no_main]

use std::io::{self, Read};

use cubby_machine::console::{RotatingLog, printable};
use libfuzzer_sys::fuzz_target;

/// Small, so that inputs of the fuzzer's size go around several times.
const FILE_BYTES: u64 = 64;

/// Gives its bytes in pieces whose length is the next byte's value.
struct Pieces<'a>(&'a [u8]);

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some((len, rest)) = self.0.split_first() else { return Ok(0) };
        let len = usize::from(*len).max(1).min(rest.len()).min(into.len());
        into[..len].copy_from_slice(&rest[..len]);
        self.0 = &rest[len..];
        Ok(len)
    }
}

fuzz_target!(|bytes: &[u8]| {
    // With a buffer of the log's size: the pieces depend on it.
    let (mut all, mut pieces, mut buffer) = (Vec::new(), Pieces(bytes), [0; 8192]);
    while let Ok(n @ 1..) = pieces.read(&mut buffer) {
        all.extend(&buffer[..n]);
    }
    let shown = printable(&all);
    assert!(shown.chars().all(|c| c == '\n' || c == '\t' || !c.is_control()), "{shown:?}");

    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("console.log");
    RotatingLog::with_size(&path, FILE_BYTES).expect("a log").drain(Pieces(bytes));
    let mut kept = Vec::new();
    for age in (0..10).rev() {
        let name = if age == 0 { "console.log".to_owned() } else { format!("console.log.{age}") };
        let Ok(part) = std::fs::read(dir.path().join(name)) else { continue };
        assert!(part.len() as u64 <= FILE_BYTES);
        kept.extend(part);
    }
    assert!(all.ends_with(&kept), "the newest text, in order");
    assert!(kept.len() == all.len() || kept.len() as u64 >= 3 * FILE_BYTES, "no more is lost than must be");
});
