//! The daemon's log file: set aside once when it has grown.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use crate::local;

const MAX_BYTES: u64 = 4 << 20;

/// Opens the log for appending; one that is too large becomes `<name>.1`.
pub(super) fn open(path: &Path) -> io::Result<File> {
    if fs::metadata(path).is_ok_and(|meta| meta.len() > MAX_BYTES) {
        fs::rename(path, path.with_extension("log.1"))?;
    }
    local::private_file().create(true).append(true).open(path)
}
