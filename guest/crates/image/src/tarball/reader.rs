//! The reader: headers put together into entries, payloads handed on.

use std::io::{self, BufRead, Read};

use super::{
    BLOCK, Entry, Kind, Recorder,
    header::{Header, extended_sparse},
    padding,
    pax::Pax,
    sparse,
};
use crate::{
    error::{Error, Result},
    limits::Limits,
};

/// Reads a tar stream entry by entry. Payload that was not taken is skipped.
pub struct TarReader<R, S = ()> {
    source: R,
    recorder: S,
    limits: Limits,
    entries: u64,
    max_entries: u64,
    /// Payload of the current entry that was not read yet, and the padding behind it.
    pending: u64,
    padding: u64,
}

impl<R: BufRead, S: Recorder> TarReader<R, S> {
    pub fn new(source: R, recorder: S, limits: Limits, max_entries: u64) -> Self {
        Self { source, recorder, limits, entries: 0, max_entries, pending: 0, padding: 0 }
    }

    /// The recorder, after the last entry.
    pub fn into_recorder(self) -> S {
        self.recorder
    }

    /// The next entry, or none at the end of the archive; then the stream was read to its very end.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        self.skip_payload()?;
        let (mut pax, mut long_path, mut long_link) = (Pax::default(), None, None);
        let mut header_bytes = 0;
        loop {
            let Some(header) = self.header()? else { return Ok(None) };
            let kind = header.kind();
            if !matches!(kind, b'x' | b'g' | b'L' | b'K' | b'X') {
                return self.entry(&header, pax, long_path, long_link).map(Some);
            }
            let size = header.size().and_then(|size| u64::try_from(size).ok()).ok_or_else(|| invalid("header size"))?;
            header_bytes += size + BLOCK as u64;
            if header_bytes > self.limits.header_bytes {
                return Err(Error::Limit(format!(
                    "an entry's headers are larger than {} bytes",
                    self.limits.header_bytes
                )));
            }
            let bytes = self.meta(size)?;
            match kind {
                b'x' | b'X' => pax.read(&bytes).ok_or_else(|| invalid("malformed PAX header"))?,
                b'L' => long_path = Some(until_nul(bytes)),
                b'K' => long_link = Some(until_nul(bytes)),
                _ => {}
            }
        }
    }

    fn entry(
        &mut self,
        header: &Header,
        pax: Pax,
        long_path: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
    ) -> Result<Entry> {
        self.entries += 1;
        if self.entries > self.max_entries {
            return Err(Error::Limit(format!("more than {} entries", self.max_entries)));
        }
        let unsigned =
            |value: Option<i64>, what| value.and_then(|v| u64::try_from(v).ok()).ok_or_else(|| invalid(what));
        let path = pax.sparse.name.clone().or(pax.path).or(long_path).unwrap_or_else(|| header.path());
        let kind = kind(header.kind(), &path)?;
        let payload_bytes = match kind {
            Kind::File => pax.size.map_or_else(|| unsigned(header.size(), "size"), Ok)?,
            // Why: what stands in other entries' size field is not payload.
            _ => 0,
        };
        let (mtime_s, mtime_ns) = match pax.mtime {
            Some(time) => time,
            None => (header.mtime().ok_or_else(|| invalid("mtime"))?, 0),
        };
        let device = match kind {
            Kind::CharDevice | Kind::BlockDevice => header.device().ok_or_else(|| invalid("device number"))?,
            _ => (0, 0),
        };
        let mut entry = Entry {
            kind,
            path,
            link: pax.link.or(long_link).unwrap_or_else(|| header.link()),
            mode: (unsigned(header.mode(), "mode")? & 0o7777) as u32,
            uid: pax.uid.map_or_else(|| unsigned(header.uid(), "uid"), Ok)?,
            gid: pax.gid.map_or_else(|| unsigned(header.gid(), "gid"), Ok)?,
            mtime_s,
            mtime_ns,
            payload_bytes,
            size_bytes: payload_bytes,
            device: (unsigned(Some(device.0), "device number")?, unsigned(Some(device.1), "device number")?),
            xattrs: pax.xattrs,
            sparse: None,
        };
        if entry.path.contains(&0) || entry.link.contains(&0) {
            return Err(invalid("a name contains a NUL byte"));
        }
        (self.pending, self.padding) = (payload_bytes, padding(payload_bytes));
        if header.kind() == b'S' {
            self.old_sparse(header, &mut entry)?;
        } else if kind == Kind::File && (pax.sparse.in_payload || pax.sparse.map.is_some()) {
            self.pax_sparse(pax.sparse, &mut entry)?;
        }
        if entry.sparse.as_ref().is_some_and(|map| !sparse::is_sound(map, entry.payload_bytes, entry.size_bytes)) {
            return Err(invalid("malformed sparse map"));
        }
        Ok(entry)
    }

    fn old_sparse(&mut self, header: &Header, entry: &mut Entry) -> Result<()> {
        let malformed = || invalid("malformed sparse map");
        let (mut map, mut more, real) = header.gnu_sparse().ok_or_else(malformed)?;
        while more {
            let block = self.block()?.ok_or_else(Error::truncated)?;
            let (pieces, again) = extended_sparse(&block).ok_or_else(malformed)?;
            map.extend(pieces);
            more = again;
            if (map.len() * 24) as u64 > self.limits.header_bytes {
                return Err(Error::Limit("a sparse map is too long".into()));
            }
        }
        (entry.sparse, entry.size_bytes) = (Some(map), real);
        Ok(())
    }

    fn pax_sparse(&mut self, keys: sparse::SparseKeys, entry: &mut Entry) -> Result<()> {
        entry.size_bytes = keys.real_size.ok_or_else(|| invalid("sparse file without its size"))?;
        let map = if keys.in_payload {
            let limit = self.limits.header_bytes.min(entry.payload_bytes);
            let (map, taken) =
                sparse::payload_map(|| self.map_block(), limit)?.ok_or_else(|| invalid("malformed sparse map"))?;
            entry.payload_bytes -= taken;
            map
        } else {
            keys.map.unwrap_or_default()
        };
        entry.sparse = Some(map);
        Ok(())
    }

    fn map_block(&mut self) -> Result<Vec<u8>> {
        let mut block = vec![0; (BLOCK as u64).min(self.pending) as usize];
        self.payload().read_exact(&mut block).map_err(Error::read)?;
        Ok(block)
    }

    /// The current entry's payload; what is read through it is recorded as raw bytes.
    pub fn payload(&mut self) -> Payload<'_, R, S> {
        Payload { reader: self }
    }

    /// Passes the whole remaining payload to `sink`, which puts it into the file that is recorded as `path`.
    pub fn payload_to_file(&mut self, path: &[u8], mut sink: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.recorder.file(path, self.pending).map_err(Error::Write)?;
        while self.pending > 0 {
            let bytes = self.source.fill_buf().map_err(Error::read)?;
            let n = bytes.len().min(usize::try_from(self.pending).unwrap_or(usize::MAX));
            if n == 0 {
                return Err(Error::truncated());
            }
            sink(&bytes[..n])?;
            self.source.consume(n);
            self.pending -= n as u64;
        }
        Ok(())
    }

    /// Why the padding may be missing: some writers (umoci before 0.4.8) end with the last file's content. Go's reader,
    /// and so dockerd, takes that for an end.
    fn skip_payload(&mut self) -> Result<()> {
        if self.pass_raw(self.pending)? > 0 {
            return Err(Error::truncated());
        }
        self.pass_raw(self.padding)?;
        (self.pending, self.padding) = (0, 0);
        Ok(())
    }

    /// Passes on that many bytes; how many of them the stream did not have.
    fn pass_raw(&mut self, mut len: u64) -> Result<u64> {
        while len > 0 {
            let bytes = self.source.fill_buf().map_err(Error::read)?;
            let n = bytes.len().min(usize::try_from(len).unwrap_or(usize::MAX));
            if n == 0 {
                break;
            }
            self.recorder.raw(&bytes[..n]).map_err(Error::Write)?;
            self.source.consume(n);
            len -= n as u64;
        }
        Ok(len)
    }

    /// Payload of a header that describes the next entry. Its size was checked against the limit.
    fn meta(&mut self, size: u64) -> Result<Vec<u8>> {
        (self.pending, self.padding) = (size, padding(size));
        let mut bytes = Vec::new();
        self.payload().read_to_end(&mut bytes).map_err(Error::read)?;
        self.skip_payload()?;
        Ok(bytes)
    }

    /// The next header, or none at the end, everything behind the end mark passed on.
    fn header(&mut self) -> Result<Option<Header>> {
        let Some(block) = self.block()? else { return Ok(None) };
        if block.iter().any(|b| *b != 0) {
            return Header::new(block).map(Some).ok_or_else(|| invalid("not a tar header"));
        }
        match self.block()? {
            Some(block) if block.iter().any(|b| *b != 0) => Err(invalid("data behind the end mark")),
            _ => self.drain().map(|()| None),
        }
    }

    fn drain(&mut self) -> Result<()> {
        loop {
            let bytes = self.source.fill_buf().map_err(Error::read)?;
            if bytes.is_empty() {
                return Ok(());
            }
            let n = bytes.len();
            self.recorder.raw(bytes).map_err(Error::Write)?;
            self.source.consume(n);
        }
    }

    /// The next block, or none when the stream ends where a block would begin.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let (mut block, mut filled) = ([0; BLOCK], 0);
        while filled < BLOCK {
            match self.source.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(Error::truncated()),
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::read(error)),
            }
        }
        self.recorder.raw(&block).map_err(Error::Write)?;
        Ok(Some(block))
    }
}

/// Reads what is left of an entry's payload.
pub struct Payload<'a, R, S> {
    reader: &'a mut TarReader<R, S>,
}

impl<R: BufRead, S: Recorder> Read for Payload<'_, R, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.reader.pending).unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(0);
        }
        let n = self.reader.source.read(&mut buffer[..wanted])?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.reader.recorder.raw(&buffer[..n])?;
        self.reader.pending -= n as u64;
        Ok(n)
    }
}

fn kind(flag: u8, path: &[u8]) -> Result<Kind> {
    Ok(match flag {
        // Why: before ustar a directory was a file whose name ends in a slash.
        b'0' | 0 if path.ends_with(b"/") => Kind::Directory,
        b'0' | 0 | b'7' | b'S' => Kind::File,
        b'1' => Kind::HardLink,
        b'2' => Kind::Symlink,
        b'3' => Kind::CharDevice,
        b'4' => Kind::BlockDevice,
        b'5' => Kind::Directory,
        b'6' => Kind::Fifo,
        other => return Err(invalid(&format!("unhandled tar header type {other}"))),
    })
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}

fn invalid(what: &str) -> Error {
    Error::Archive(what.to_owned())
}
