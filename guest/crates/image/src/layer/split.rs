//! The tar stream of an unpacked layer, byte for byte, without a second copy of its files.
//!
//! While a layer is unpacked, everything in its stream that is not a regular file's content (headers, padding, the end)
//! goes to `tar-split.zst` beside `diff`, with a note for each file's content. From that and `diff` the stream is made
//! again, with the same digest.
//!
//! ```text
//! record = 0 len:u32 bytes                    raw bytes of the stream
//!        | 1 path_len:u32 path file_len:u64   content of the file at path
//! ```
//! An entry that a later entry of the same layer replaces loses its place in `diff`; its content moves to `shadow`.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, BufReader, Read, Write},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};

use super::verify::has_length;
use crate::{
    digest::{Digest, HashingWriter},
    error::{Error, Result},
    tarball::Recorder,
};

const RAW: u8 = 0;
const FILE: u8 = 1;
/// Raw bytes are gathered up to here.
const GATHER: usize = 64 << 10;
/// No record is longer.
const RECORD_LIMIT: usize = 16 << 20;

pub(super) const FILE_NAME: &str = "tar-split.zst";
pub(super) const SHADOW: &str = "shadow";

/// Writes `tar-split.zst`.
pub struct Splitter {
    out: zstd::Encoder<'static, File>,
    raw: Vec<u8>,
}

impl Splitter {
    pub fn create(layer_dir: &Path) -> Result<Self> {
        let path = layer_dir.join(FILE_NAME);
        let file = File::create_new(&path).map_err(Error::disk("create", &path))?;
        let out = zstd::Encoder::new(file, 1).map_err(Error::disk("write", &path))?;
        Ok(Self { out, raw: Vec::with_capacity(GATHER) })
    }

    fn flush_raw(&mut self) -> io::Result<()> {
        if self.raw.is_empty() {
            return Ok(());
        }
        self.out.write_all(&[RAW])?;
        self.out.write_all(&(self.raw.len() as u32).to_le_bytes())?;
        self.out.write_all(&self.raw)?;
        self.raw.clear();
        Ok(())
    }

    pub fn finish(mut self) -> io::Result<()> {
        self.flush_raw()?;
        self.out.finish().map(drop)
    }
}

impl Recorder for Splitter {
    fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        for part in bytes.chunks(GATHER) {
            if self.raw.len() + part.len() > GATHER {
                self.flush_raw()?;
            }
            self.raw.extend_from_slice(part);
        }
        Ok(())
    }

    fn file(&mut self, path: &[u8], len: u64) -> io::Result<()> {
        self.flush_raw()?;
        self.out.write_all(&[FILE])?;
        self.out.write_all(&(path.len() as u32).to_le_bytes())?;
        self.out.write_all(path)?;
        self.out.write_all(&len.to_le_bytes())
    }
}

/// Where the `n`th replaced content of the file at `path` is kept.
pub(super) fn shadow_name(path: &[u8], n: u32) -> String {
    format!("{}-{n}", Digest::of(path).hex())
}

enum Record {
    Raw(Vec<u8>),
    File(Vec<u8>, u64),
}

/// Makes a layer's tar stream again.
pub struct Rebuilder {
    records: BufReader<zstd::Decoder<'static, BufReader<File>>>,
    root: OwnedFd,
    shadow: PathBuf,
    /// How often each path with replaced contents came by.
    seen: HashMap<Vec<u8>, u32>,
    has_shadow: bool,
}

impl Rebuilder {
    pub fn open(layer_dir: &Path) -> Result<Self> {
        let path = layer_dir.join(FILE_NAME);
        let file = File::open(&path).map_err(Error::disk("open", &path))?;
        let decoder = zstd::Decoder::new(file).map_err(Error::disk("read", &path))?;
        let diff = layer_dir.join("diff");
        let root = open(&diff, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let root = root.map_err(|errno| Error::disk("open", &diff)(errno.into()))?;
        let shadow = layer_dir.join(SHADOW);
        let has_shadow = shadow.exists();
        Ok(Self { records: BufReader::with_capacity(GATHER, decoder), root, shadow, seen: HashMap::new(), has_shadow })
    }

    /// Writes the stream; returns its length.
    pub fn write_to(mut self, mut out: impl Write) -> Result<u64> {
        let mut total = 0;
        while let Some(record) = self.record()? {
            match record {
                Record::Raw(bytes) => {
                    out.write_all(&bytes).map_err(Error::Write)?;
                    total += bytes.len() as u64;
                }
                Record::File(path, len) => {
                    self.copy_content(path, len, &mut out)?;
                    total += len;
                }
            }
        }
        Ok(total)
    }

    /// The stream's length, from the records alone.
    pub fn measure(mut self) -> Result<u64> {
        let mut total = 0;
        while let Some(record) = self.record()? {
            total += match record {
                Record::Raw(bytes) => bytes.len() as u64,
                Record::File(_, len) => len,
            };
        }
        Ok(total)
    }

    /// Looks for every file without reading it; the stream's length.
    pub fn check_shape(mut self) -> Result<u64> {
        let mut total = 0;
        while let Some(record) = self.record()? {
            total += match record {
                Record::Raw(bytes) => bytes.len() as u64,
                Record::File(_, 0) => 0,
                Record::File(path, len) => {
                    let shown = || String::from_utf8_lossy(&path).into_owned();
                    let file = self.content(&path).map_err(|source| Error::Entry { path: shown(), source })?;
                    has_length(&file, len)?;
                    len
                }
            };
        }
        Ok(total)
    }

    fn record(&mut self) -> Result<Option<Record>> {
        self.read_record().map_err(|source| Error::Disk { action: "read", path: FILE_NAME.into(), source })
    }

    fn read_record(&mut self) -> io::Result<Option<Record>> {
        let (mut tag, mut len) = ([0], [0; 4]);
        if self.records.read(&mut tag)? == 0 {
            return Ok(None);
        }
        self.records.read_exact(&mut len)?;
        let len = u32::from_le_bytes(len) as usize;
        if len > RECORD_LIMIT {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut bytes = vec![0; len];
        self.records.read_exact(&mut bytes)?;
        if tag == [RAW] {
            return Ok(Some(Record::Raw(bytes)));
        }
        let mut content_len = [0; 8];
        self.records.read_exact(&mut content_len)?;
        Ok(Some(Record::File(bytes, u64::from_le_bytes(content_len))))
    }

    fn copy_content(&mut self, path: Vec<u8>, len: u64, out: &mut impl Write) -> Result<()> {
        if len == 0 {
            return Ok(());
        }
        let file = self
            .content(&path)
            .map_err(Error::disk("open a layer's file", String::from_utf8_lossy(&path).into_owned()))?;
        let copied = io::copy(&mut file.take(len), out).map_err(Error::Write)?;
        if copied == len { Ok(()) } else { Err(Error::Archive("a layer's file is shorter than it was".into())) }
    }

    fn content(&mut self, path: &[u8]) -> io::Result<File> {
        if self.has_shadow {
            let n = self.seen.entry(path.to_vec()).or_default();
            let shadow = self.shadow.join(shadow_name(path, *n));
            *n += 1;
            match File::open(shadow) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => return result,
            }
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        Ok(openat2(&self.root, path, flags, Mode::empty(), resolve)?.into())
    }
}

/// Writes the tar stream of the layer in `layer_dir` and checks it against its diff id.
///
/// # Errors
/// Mismatch, after writing, when the layer's files are not what they were.
pub fn write_tar(layer_dir: &Path, diff_id: &Digest, out: impl Write) -> Result<u64> {
    let mut out = HashingWriter::new(out);
    let len = Rebuilder::open(layer_dir)?.write_to(&mut out)?;
    let (found, _) = out.finish();
    if found == *diff_id { Ok(len) } else { Err(Error::Mismatch { what: "layer", expected: *diff_id, found }) }
}

/// Keeps the contents of files that are about to be replaced.
pub(super) struct Shadows {
    dir: PathBuf,
    counts: HashMap<Vec<u8>, u32>,
}

impl Shadows {
    pub fn new(layer_dir: &Path) -> Self {
        Self { dir: layer_dir.join(SHADOW), counts: HashMap::new() }
    }

    /// Moves the file at `from`, known to the stream as `path`, away.
    pub fn keep(&mut self, from: &Path, path: &[u8]) -> io::Result<()> {
        if self.counts.is_empty() {
            fs::create_dir_all(&self.dir)?;
        }
        let n = self.counts.entry(path.to_vec()).or_default();
        fs::rename(from, self.dir.join(shadow_name(path, *n)))?;
        *n += 1;
        Ok(())
    }
}
