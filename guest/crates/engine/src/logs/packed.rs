//! Rotated files, packed (`compress`): `log.1.gz` in the place of `log.1`.
//!
//! Packing takes its time on a thread of its own, while the log goes on and may rotate again. What it packs has a name that
//! changes with every rotation, so only the last step, under the log's lock, looks what the name is by then.

use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, Seek, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use flate2::{Compression, bufread::GzDecoder, write::GzEncoder};
use rustix::fs::{CWD, Mode, OFlags, openat};

use super::writer::rotated;

/// No file that we pack is longer: bounds what a spoiled one can cost a reader.
const MAX_BYTES: u64 = 1 << 30;
/// Ends the names of files that are being packed.
const UNFINISHED: &str = ".packing";

/// A file of a log, as it lies there.
pub enum Part {
    Plain(File),
    Packed(File, PathBuf),
}

impl Part {
    /// Opens the file of an age, packed or not.
    pub fn open(path: &Path, age: u64) -> io::Result<Self> {
        match File::open(rotated(path, age)) {
            Err(error) if age > 0 && error.kind() == io::ErrorKind::NotFound => {
                Ok(Self::Packed(File::open(packed(path, age))?, path.to_owned()))
            }
            opened => opened.map(Self::Plain),
        }
    }

    /// The lines as a file: of a packed one they are in a file without a name, gone with the descriptor.
    pub fn plain(self) -> io::Result<File> {
        let (file, path) = match self {
            Self::Plain(file) => return Ok(file),
            Self::Packed(file, path) => (file, path),
        };
        let dir = path.parent().unwrap_or(Path::new("."));
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let mut plain = File::from(openat(CWD, dir, flags, Mode::RUSR | Mode::WUSR)?);
        let mut lines = io::Read::take(GzDecoder::new(BufReader::new(file)), MAX_BYTES);
        match io::copy(&mut lines, &mut plain) {
            // What a power cut left of it is better than nothing.
            Err(error) if !matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput) => {
                return Err(error);
            }
            _ => {}
        }
        plain.rewind()?;
        Ok(plain)
    }
}

/// `log.1.gz`.
pub fn packed(path: &Path, age: u64) -> PathBuf {
    let mut name = rotated(path, age).into_os_string();
    name.push(".gz");
    name.into()
}

/// Packs an open file into one beside the log that has no age yet. Blocking.
pub fn pack(path: &Path, file: &File) -> io::Result<PathBuf> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}{UNFINISHED}", file.metadata()?.ino()));
    let unfinished = PathBuf::from(name);
    let written = || -> io::Result<()> {
        let mut file = file;
        file.rewind()?;
        let mut out = GzEncoder::new(BufWriter::new(File::create(&unfinished)?), Compression::fast());
        io::copy(&mut BufReader::new(file), &mut out)?;
        out.finish()?.flush()
    };
    written().inspect_err(|_| drop(fs::remove_file(&unfinished)))?;
    Ok(unfinished)
}

/// Puts what [`pack`] has made in the place of the plain file, whatever its age is by now. No rotation may happen meanwhile.
pub fn put(path: &Path, plain: &File, unfinished: &Path, max_files: u32) -> io::Result<()> {
    let ours = plain.metadata()?;
    let is_ours = |age: &u64| {
        fs::metadata(rotated(path, *age)).is_ok_and(|found| (found.dev(), found.ino()) == (ours.dev(), ours.ino()))
    };
    match (1..u64::from(max_files)).find(is_ours) {
        // Rotated away before we were done.
        None => fs::remove_file(unfinished),
        Some(age) => {
            fs::rename(unfinished, packed(path, age))?;
            fs::remove_file(rotated(path, age))
        }
    }
}

/// What an earlier engine was packing: the plain files are still there.
pub fn sweep(path: &Path) {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else { return };
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let found = entry.file_name();
        let ours = |found: &str| found.starts_with(name) && found.ends_with(UNFINISHED);
        if found.to_str().is_some_and(ours)
            && let Err(error) = fs::remove_file(entry.path())
        {
            tracing::warn!(path = %entry.path().display(), err = %error, "an unfinished packed log stays");
        }
    }
}
