//! The entries of a tar stream, to which the padding behind the last one may be missing.
//!
//! The docker CLI sends such streams: with a Dockerfile from outside the build's directory it closes its pipe before the
//! archive. Go's reader, and so dockerd, takes that for the end; a content that is cut short is an error for both.

use std::{
    cell::Cell,
    io::{self, Read},
    rc::Rc,
};

use tar::{Archive, Entry, EntryType};

/// What a tar stream is padded to, in bytes.
const BLOCK: u64 = 512;

/// Passes the entries to `each` one after the other, until it fails.
///
/// # Errors
/// Those of `each`; and of the stream when it is no tar or ends too early, made into the caller's by `invalid`.
pub fn for_each<R: Read, E>(
    archive: R,
    invalid: impl Fn(io::Error) -> E,
    mut each: impl FnMut(Entry<'_, Watched<R>>) -> Result<(), E>,
) -> Result<(), E> {
    let progress = Rc::new(Progress::default());
    let mut archive = Archive::new(Watched { inner: archive, progress: progress.clone() });
    // Where the last entry's content ends.
    let mut content_end = 0;
    for entry in archive.entries().map_err(&invalid)? {
        let entry = match entry {
            Ok(entry) => entry,
            Err(_) if progress.ended_in_padding(content_end) => return Ok(()),
            Err(error) => return Err(invalid(error)),
        };
        content_end = entry.raw_file_position().saturating_add(content_bytes(&entry).map_err(&invalid)?);
        each(entry)?;
    }
    Ok(())
}

/// As they are in the stream: a sparse file is larger than that.
fn content_bytes(entry: &Entry<'_, impl Read>) -> io::Result<u64> {
    match entry.header().entry_type() {
        EntryType::GNUSparse => entry.header().entry_size(),
        _ => Ok(entry.size()),
    }
}

/// How far a stream has been read.
#[derive(Default)]
struct Progress {
    bytes: Cell<u64>,
    ended: Cell<bool>,
}

impl Progress {
    fn ended_in_padding(&self, content_end: u64) -> bool {
        self.ended.get() && (content_end..content_end.next_multiple_of(BLOCK)).contains(&self.bytes.get())
    }
}

pub struct Watched<R> {
    inner: R,
    progress: Rc<Progress>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.read(into)?;
        self.progress.bytes.set(self.progress.bytes.get() + len as u64);
        self.progress.ended.set(len == 0 && !into.is_empty());
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names and contents of what comes out of an archive of `a` (700 bytes) and `b` (30 bytes) whose end is cut to `len` bytes.
    fn read(len: usize) -> io::Result<Vec<(String, usize)>> {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, content) in [("a", &[1; 700][..]), ("b", &[2; 30])] {
            let mut header = tar::Header::new_ustar();
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, name, content)?;
        }
        let bytes = tar.into_inner()?;
        let mut found = Vec::new();
        for_each(
            &bytes[..len],
            |error| error,
            |mut entry| {
                let mut content = Vec::new();
                entry.read_to_end(&mut content)?;
                found.push((entry.path()?.display().to_string(), content.len()));
                Ok(())
            },
        )?;
        Ok(found)
    }

    #[test]
    fn only_padding_may_be_missing() {
        let both = [("a".to_owned(), 700), ("b".to_owned(), 30)];
        let (first, second) = (512 + 1024, 512 + 512);
        for whole in [first + second + 1024, first + second, first + second - 1, first + 512 + 30] {
            assert_eq!(read(whole).unwrap(), both, "{whole} bytes");
        }
        for first_alone in [first, first - 1, 512 + 700] {
            assert_eq!(read(first_alone).unwrap(), both[..1], "{first_alone} bytes");
        }
        for cut in [512 + 699, 512 + 1, first + 511, first + 1, first + 512 + 29, first + 512] {
            read(cut).expect_err(&format!("{cut} bytes"));
        }
    }
}
