//! The pipeline in front of the unpacker: decompression and both digests, each on its own thread.

use std::{
    io::{self, BufRead, Read},
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use crate::{
    digest::{Digest, Hasher, HashingReader},
    error::{Error, Result},
    limits::Limits,
};

/// Why below 128 KiB: larger allocations are fresh pages from the kernel each time.
const CHUNK: usize = 120 << 10;
/// Chunks in flight to each reader: about a megabyte.
const QUEUE: usize = 8;
/// The longest magic number.
const MAGIC: usize = 4;

const BZIP2: &[u8] = b"BZh";
const XZ: &[u8] = b"\xfd7zX";
/// Memory for one dictionary: `xz -9`, its largest setting, wants 64 MiB, and a header may ask for 4 GiB.
const XZ_KIB: u32 = 300 << 10;

/// How a layer is compressed, told by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// # Errors
    /// Unsupported for formats that are known but not read here.
    pub fn detect(start: &[u8]) -> Result<Self> {
        match start {
            [0x1f, 0x8b, ..] => Ok(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Ok(Self::Zstd),
            // A skippable frame may come first. Source: RFC 8878 §3.1.2.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Self::Zstd),
            _ if start.starts_with(BZIP2) => Err(Error::Unsupported("compression bzip2: use gzip or zstd".into())),
            _ if start.starts_with(XZ) => Err(Error::Unsupported("compression xz: use gzip or zstd".into())),
            _ => Ok(Self::None),
        }
    }
}

/// What went through the pipeline.
#[derive(Clone, Copy, Debug)]
pub struct Sums {
    pub compression: Compression,
    pub blob: Digest,
    pub blob_bytes: u64,
    pub diff_id: Digest,
}

type Chunk = io::Result<Arc<Vec<u8>>>;

/// Reads `raw` to its end, gives `work` the uncompressed bytes, and both digests back. `work` must read to the end.
///
/// # Errors
/// A blob that cannot be decoded and is not the `expected` one is a mismatch: that is the truer reason.
pub fn through<R: Read + Send, T>(
    raw: R,
    expected: Option<&Digest>,
    limits: &Limits,
    work: impl FnOnce(Chunks) -> Result<T>,
) -> Result<(T, Sums)> {
    let (compression, raw) = sniff(HashingReader::new(raw))?;
    thread::scope(|scope| {
        let (to_work, chunks) = sync_channel(QUEUE);
        let (to_hash, hashed) = sync_channel::<Arc<Vec<u8>>>(QUEUE);
        let decode = scope.spawn(move || pump(raw, compression, limits.layer_bytes, &to_work, to_hash));
        let hash = (compression != Compression::None).then(|| scope.spawn(move || hash_chunks(&hashed)));
        let done = work(Chunks::new(chunks));
        let Pumped { blob, blob_bytes, whole } =
            decode.join().map_err(|_| Error::Archive("the decoder failed".into()))?;
        let diff_id = hash.map(thread::ScopedJoinHandle::join).transpose();
        let diff_id = diff_id.map_err(|_| Error::Archive("hashing failed".into()))?.unwrap_or(blob);
        let done = done.map_err(|error| match expected {
            Some(expected) if whole && matches!(error, Error::Archive(_)) && *expected != blob => {
                Error::Mismatch { what: "blob", expected: *expected, found: blob }
            }
            _ => error,
        })?;
        Ok((done, Sums { compression, blob, blob_bytes, diff_id }))
    })
}

/// Uncompressed bytes of `raw`, on the caller's thread; for streams whose digest does not matter. Reads what no layer of a
/// registry is, too: bzip2 and xz. Source: moby pkg/archive `DetectCompression`.
pub fn decoder<'a>(raw: impl Read + Send + 'a) -> Result<Box<dyn Read + Send + 'a>> {
    let (start, raw) = peek(raw)?;
    if start.starts_with(BZIP2) {
        return Ok(Box::new(bzip2::read::MultiBzDecoder::new(raw)));
    }
    if start.starts_with(XZ) {
        return Ok(Box::new(lzma_rust2::XzReader::new_mem_limit(raw, true, XZ_KIB)));
    }
    Ok(match Compression::detect(&start)? {
        Compression::None => Box::new(raw),
        compression => decompress(raw, compression).map_err(Error::read)?,
    })
}

/// A reader with its first bytes put back.
type Sniffed<R> = io::Chain<io::Cursor<Vec<u8>>, R>;

fn sniff<R: Read>(raw: R) -> Result<(Compression, Sniffed<R>)> {
    let (start, raw) = peek(raw)?;
    Ok((Compression::detect(&start)?, raw))
}

fn peek<R: Read>(mut raw: R) -> Result<(Vec<u8>, Sniffed<R>)> {
    let mut start = Vec::with_capacity(MAGIC);
    (&mut raw).take(MAGIC as u64).read_to_end(&mut start).map_err(Error::read)?;
    Ok((start.clone(), io::Cursor::new(start).chain(raw)))
}

fn decompress<'a>(raw: impl Read + Send + 'a, compression: Compression) -> io::Result<Box<dyn Read + Send + 'a>> {
    let raw = io::BufReader::with_capacity(CHUNK, raw);
    Ok(match compression {
        Compression::None => Box::new(raw),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(raw)),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(raw)?),
    })
}

/// What was read of a blob.
struct Pumped {
    blob: Digest,
    blob_bytes: u64,
    /// To its end: then `blob` is its digest.
    whole: bool,
}

/// Decodes and sends chunks until the end, an error, or until nobody listens; then reads the rest of the blob, which
/// belongs to its digest.
fn pump<R: Read + Send>(
    mut raw: Sniffed<HashingReader<R>>,
    compression: Compression,
    limit: u64,
    to_work: &SyncSender<Chunk>,
    to_hash: SyncSender<Arc<Vec<u8>>>,
) -> Pumped {
    let to_hash = (compression != Compression::None).then_some(to_hash);
    let sent = match compression {
        Compression::None => pump_chunks(&mut raw, limit, to_work, None),
        compression => decompress(&mut raw, compression)
            .and_then(|mut decoded| pump_chunks(&mut decoded, limit, to_work, to_hash.as_ref())),
    };
    // Why not when it was abandoned: nobody waits for its digest. What cannot be decoded is read on for it.
    let drained = match sent {
        Ok(false) => Ok(0),
        _ => io::copy(&mut raw, &mut io::sink()),
    };
    let whole = drained.is_ok() && !matches!(sent, Ok(false));
    if let Err(error) = sent.and(drained) {
        let _ = to_work.send(Err(error));
    }
    let (blob, blob_bytes) = raw.into_inner().1.finish();
    Pumped { blob, blob_bytes, whole }
}

/// True when the stream was sent whole.
fn pump_chunks(
    source: &mut impl Read,
    limit: u64,
    to_work: &SyncSender<Chunk>,
    to_hash: Option<&SyncSender<Arc<Vec<u8>>>>,
) -> io::Result<bool> {
    let mut total = 0_u64;
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        // Why take: fills the chunk without growing it.
        source.take(CHUNK as u64).read_to_end(&mut chunk)?;
        if chunk.is_empty() {
            return Ok(true);
        }
        total += chunk.len() as u64;
        if total > limit {
            return Err(io::Error::other(Error::Limit(format!("a layer unpacks to more than {limit} bytes"))));
        }
        let chunk = Arc::new(chunk);
        if let Some(to_hash) = to_hash
            && to_hash.send(chunk.clone()).is_err()
        {
            return Ok(false);
        }
        if to_work.send(Ok(chunk)).is_err() {
            return Ok(false);
        }
    }
}

fn hash_chunks(chunks: &Receiver<Arc<Vec<u8>>>) -> Digest {
    let mut hasher = Hasher::new();
    for chunk in chunks {
        hasher.update(&chunk);
    }
    hasher.finish()
}

/// The uncompressed bytes, as they come from the decoder.
pub struct Chunks {
    source: Receiver<Chunk>,
    current: Arc<Vec<u8>>,
    position: usize,
}

impl Chunks {
    fn new(source: Receiver<Chunk>) -> Self {
        Self { source, current: Arc::default(), position: 0 }
    }
}

impl BufRead for Chunks {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.position == self.current.len()
            && let Ok(next) = self.source.recv()
        {
            self.current = next?;
            self.position = 0;
        }
        Ok(&self.current[self.position..])
    }

    fn consume(&mut self, amount: usize) {
        self.position += amount;
    }
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let n = bytes.len().min(buffer.len());
        buffer[..n].copy_from_slice(&bytes[..n]);
        self.consume(n);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn all(mut chunks: Chunks) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        chunks.read_to_end(&mut bytes).map_err(Error::read)?;
        Ok(bytes)
    }

    #[test]
    fn archives_of_people_may_be_bzip2_and_xz_too() {
        let plain: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        let bzip2 = |bytes: &[u8]| {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        };
        let xz = |bytes: &[u8]| {
            let mut encoder = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).unwrap();
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        };
        // What `pbzip2`, `pixz` and `cat` make: several streams in one file.
        for encode in [&bzip2 as &dyn Fn(&[u8]) -> Vec<u8>, &xz] {
            let blob = [encode(&plain[..1000]), encode(&plain[1000..])].concat();
            let mut decoded = Vec::new();
            decoder(blob.as_slice()).unwrap().read_to_end(&mut decoded).unwrap();
            assert!(decoded == plain);
            assert!(decoder(&blob[..blob.len() / 2]).unwrap().read_to_end(&mut Vec::new()).is_err(), "cut short");
            assert!(through(blob.as_slice(), None, &Limits::default(), all).is_err(), "no layer is compressed so");
        }
    }

    #[test]
    fn every_compression_gives_the_same_bytes_and_both_digests() {
        let plain: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
        let two_members = [gzip(&plain[..1000]), gzip(&plain[1000..])].concat();
        let zstd = zstd::encode_all(plain.as_slice(), 1).unwrap();
        for (blob, kind) in
            [(plain.clone(), Compression::None), (two_members, Compression::Gzip), (zstd, Compression::Zstd)]
        {
            let (bytes, sums) = through(blob.as_slice(), None, &Limits::default(), all).unwrap();
            assert!(bytes == plain);
            assert_eq!(sums.compression, kind);
            assert_eq!((sums.blob, sums.blob_bytes), (Digest::of(&blob), blob.len() as u64));
            assert_eq!(sums.diff_id, Digest::of(&plain));
        }
    }

    #[test]
    fn truncated_corrupt_and_exploding_streams_are_errors() {
        let blob = gzip(&vec![0; 10_000_000]);
        let limits = Limits { layer_bytes: 1_000_000, ..Limits::default() };
        assert!(through(blob.as_slice(), None, &limits, all).is_err());
        assert!(through(&blob[..blob.len() - 4], None, &Limits::default(), all).is_err());
        let mut corrupt = gzip(b"some text that is long enough");
        corrupt[15] ^= 0xff;
        assert!(through(corrupt.as_slice(), None, &Limits::default(), all).is_err());
        let mut wrong = through(corrupt.as_slice(), Some(&Digest::of(&blob)), &Limits::default(), all);
        assert!(matches!(wrong, Err(Error::Mismatch { .. })));
        wrong = through(corrupt.as_slice(), Some(&Digest::of(&corrupt)), &Limits::default(), all);
        assert!(matches!(wrong, Err(Error::Archive(_))));
        assert!(matches!(through(b"\xfd7zXZ".as_slice(), None, &Limits::default(), all), Err(Error::Unsupported(_))));
    }

    #[test]
    fn a_reader_that_gives_up_stops_the_pipeline() {
        let endless = gzip(&vec![7; 50_000_000]);
        let given_up =
            through(endless.as_slice(), None, &Limits::default(), |_| Err::<(), _>(Error::Archive("enough".into())));
        assert!(given_up.is_err());
    }
}
