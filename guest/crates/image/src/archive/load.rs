//! Reading an image archive in one pass.

use std::{
    collections::HashMap,
    io::{self, BufReader, Read},
};

use super::{
    documents::{Documents, digest_in_path},
    resolve,
};
use crate::{
    config::ImageFile,
    digest::Digest,
    error::{Error, Result},
    layer::{Compression, Pin, Staged, Store, decoder},
    platform::Platform,
    reference::Reference,
    tarball::{BLOCK, Entry, Kind, TarReader},
};

/// All documents of an archive together are at most this many times the limit for one.
const DOCUMENTS: u64 = 16;
/// Progress is told each time this much of a layer was read.
const STEP: u64 = 512 << 10;
/// Links in an archive lead at most this far.
const LINKS: usize = 8;

/// What is already on disk, so that it need not be unpacked again.
pub trait Known: Sync {
    /// The diff id of the layer that came from the blob of this digest.
    fn diff_id(&self, blob: &Digest) -> Option<(Digest, u64)>;
}

/// Nothing is known.
impl Known for () {
    fn diff_id(&self, _: &Digest) -> Option<(Digest, u64)> {
        None
    }
}

/// How far a load is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// `id` is short and only for the eye; the layer's blob has `total` bytes.
    Layer { id: String, current: u64, total: u64 },
    /// The layer was here already.
    LayerExists { id: String },
}

/// Images of an archive, their layers committed and pinned.
pub struct Loaded {
    pub images: Vec<LoadedImage>,
    /// Keeps the layers until the images' records list them.
    pub pins: Vec<Pin>,
}

#[derive(Debug)]
pub struct LoadedImage {
    pub id: Digest,
    /// The config document, byte for byte.
    pub config: String,
    pub file: ImageFile,
    pub layers: Vec<LoadedLayer>,
    /// All with a tag.
    pub names: Vec<Reference>,
    /// Media type and bytes of its manifest, where the archive has one.
    pub manifest: Option<(String, String)>,
    /// False when it is for another machine than this.
    pub native: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedLayer {
    pub diff_id: Digest,
    pub files_bytes: u64,
    /// Digest, size and compression of the blob it came from.
    pub blob: Option<(Digest, u64, Compression)>,
}

/// Loads every image of the archive that `raw` gives; of multi-platform images the one for `platform`.
///
/// # Errors
/// Nothing is kept then. [`Error::is_bad_input`] tells whose fault it was.
pub fn load(
    raw: impl Read + Send,
    store: &Store,
    known: &dyn Known,
    platform: Option<&Platform>,
    progress: &(dyn Fn(Event) + Sync),
) -> Result<Loaded> {
    let mut pass = Pass {
        store,
        known,
        progress,
        documents: Documents::default(),
        document_bytes: 0,
        blobs: HashMap::new(),
        links: HashMap::new(),
    };
    let limits = *store.limits();
    let stream = BufReader::with_capacity(256 << 10, decoder(raw)?);
    let mut reader = TarReader::new(stream, (), limits, limits.archive_entries);
    while let Some(entry) = reader.next_entry()? {
        pass.entry(&entry, reader.payload())?;
    }
    let Pass { documents, blobs, links, .. } = pass;
    resolve::images(&documents, Blobs { blobs, links }, store, platform)
}

struct Pass<'a> {
    store: &'a Store,
    known: &'a dyn Known,
    progress: &'a (dyn Fn(Event) + Sync),
    documents: Documents,
    document_bytes: u64,
    blobs: HashMap<String, Blob>,
    links: HashMap<String, String>,
}

/// A layer's blob that passed.
pub enum Blob {
    Staged(Staged),
    /// It is on disk already.
    Present {
        pin: Pin,
        files_bytes: u64,
    },
    /// It is no layer, or a broken one: an error only for images that list it.
    Broken(Error),
}

impl Pass<'_> {
    fn entry(&mut self, entry: &Entry, payload: impl Read + Send) -> Result<()> {
        let path = clean_text(&entry.path)?;
        match entry.kind {
            Kind::Directory => Ok(()),
            Kind::File => self.file(path, entry.payload_bytes, payload),
            Kind::Symlink => {
                let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
                let target = [parent.as_bytes(), b"/", &entry.link].concat();
                self.links.insert(path, clean_text(&target)?);
                Ok(())
            }
            Kind::HardLink => {
                self.links.insert(path, clean_text(&entry.link)?);
                Ok(())
            }
            Kind::CharDevice | Kind::BlockDevice | Kind::Fifo => {
                Err(Error::Hostile { path: entry.display_path(), reason: "an image archive holds no devices".into() })
            }
        }
    }

    fn file(&mut self, path: String, size: u64, mut payload: impl Read + Send) -> Result<()> {
        let named = digest_in_path(&path);
        if let Some(blob) = named.and_then(|digest| self.present(&digest)) {
            (self.progress)(Event::LayerExists { id: short_id(&path) });
            self.blobs.insert(path, blob);
            return Ok(());
        }
        let mut start = Vec::with_capacity(BLOCK);
        (&mut payload).take(BLOCK as u64).read_to_end(&mut start).map_err(Error::read)?;
        if is_document(&path, &start) {
            return self.document(path, size, io::Cursor::new(start).chain(payload));
        }
        if !looks_like_layer(&start) {
            self.blobs.insert(path, Blob::Broken(Error::Unsupported("layer: neither tar, gzip nor zstd".into())));
            return Ok(());
        }
        let whole = io::Cursor::new(start).chain(payload);
        let watched =
            Watched { inner: whole, progress: self.progress, id: short_id(&path), total: size, current: 0, told: 0 };
        let blob = match self.store.unpack(watched) {
            Ok(staged) => Blob::Staged(staged),
            Err(error @ (Error::Archive(_) | Error::Hostile { .. } | Error::Unsupported(_))) => Blob::Broken(error),
            Err(error) => return Err(error),
        };
        self.blobs.insert(path, blob);
        Ok(())
    }

    /// A layer that need not be read: what is on disk was verified when it came, and so the archive's bytes for it do
    /// not matter.
    fn present(&self, digest: &Digest) -> Option<Blob> {
        let (diff_id, files_bytes) = self.known.diff_id(digest)?;
        Some(Blob::Present { pin: self.store.pin(&diff_id)?, files_bytes })
    }

    fn document(&mut self, path: String, size: u64, mut payload: impl Read) -> Result<()> {
        let limit = self.store.limits().document_bytes;
        self.document_bytes += size;
        if size > limit || self.document_bytes > limit * DOCUMENTS {
            return Err(Error::Limit(format!("document {path} has {size} bytes")));
        }
        let mut bytes = Vec::new();
        payload.read_to_end(&mut bytes).map_err(Error::read)?;
        self.documents.insert(path, bytes);
        Ok(())
    }
}

/// Blobs by path, and links between paths.
pub struct Blobs {
    blobs: HashMap<String, Blob>,
    links: HashMap<String, String>,
}

impl Blobs {
    /// Where a path leads after links.
    pub fn follow<'a>(&'a self, path: &'a str) -> &'a str {
        let mut at = path;
        for _ in 0..LINKS {
            match self.links.get(at) {
                Some(next) => at = next,
                None => break,
            }
        }
        at
    }

    pub fn get(&self, path: &str) -> Option<&Blob> {
        self.blobs.get(self.follow(path))
    }

    /// Takes a broken blob's error out.
    pub fn error(&mut self, path: &str) -> Option<Error> {
        let path = self.follow(path).to_owned();
        match self.blobs.remove(&path) {
            Some(Blob::Broken(error)) => Some(error),
            _ => None,
        }
    }

    /// The staged layers and pins behind these paths.
    pub fn take(mut self, paths: &[String]) -> (Vec<Staged>, Vec<Pin>) {
        let (mut staged, mut pins) = (Vec::new(), Vec::new());
        for path in paths {
            let path = self.follow(path).to_owned();
            match self.blobs.remove(&path) {
                Some(Blob::Staged(layer)) => staged.push(layer),
                Some(Blob::Present { pin, .. }) => pins.push(pin),
                Some(Blob::Broken(_)) | None => {}
            }
        }
        (staged, pins)
    }
}

/// An archive's path as plain text without `.` and `..`.
pub fn clean_text(path: &[u8]) -> Result<String> {
    let hostile = |reason: &str| Error::Hostile { path: crate::tarball::display(path), reason: reason.into() };
    let text = std::str::from_utf8(path).map_err(|_| hostile("its name is not UTF-8"))?;
    let mut clean: Vec<&str> = Vec::new();
    for component in text.split('/') {
        match component {
            "" | "." => {}
            ".." => drop(clean.pop().ok_or_else(|| hostile("it leads out of the archive"))?),
            name => clean.push(name),
        }
    }
    Ok(clean.join("/"))
}

/// Documents are told by name, and among blobs by how JSON objects begin.
fn is_document(path: &str, start: &[u8]) -> bool {
    let by_name = matches!(path, "manifest.json" | "index.json" | "oci-layout" | "repositories");
    let is_json = start.iter().find(|b| !b.is_ascii_whitespace()).is_some_and(|b| matches!(b, b'{' | b'['));
    by_name || (is_json && !has_tar_magic(start))
}

fn has_tar_magic(start: &[u8]) -> bool {
    start.get(257..262) == Some(b"ustar")
}

fn looks_like_layer(start: &[u8]) -> bool {
    let compressed = Compression::detect(start).is_ok_and(|compression| compression != Compression::None);
    let empty_tar = start.len() == BLOCK && start.iter().all(|b| *b == 0);
    // Why: tars from before ustar have no magic; the unpacker tells by the checksum.
    compressed || empty_tar || has_tar_magic(start) || start.len() == BLOCK
}

/// Twelve characters that name a layer on screen.
fn short_id(path: &str) -> String {
    let hex = path.strip_prefix("blobs/sha256/").unwrap_or(path);
    hex.chars().take_while(|c| c.is_ascii_hexdigit()).take(12).collect()
}

/// A layer's blob that tells how far it was read.
struct Watched<'a, R> {
    inner: R,
    progress: &'a (dyn Fn(Event) + Sync),
    id: String,
    total: u64,
    current: u64,
    told: u64,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.current += n as u64;
        if self.current - self.told >= STEP || (self.current == self.total && self.told != self.total) {
            self.told = self.current;
            (self.progress)(Event::Layer { id: self.id.clone(), current: self.current, total: self.total });
        }
        Ok(n)
    }
}
