//! Reading tar streams: ustar, PAX, GNU long names, sparse files.
//!
//! ```text
//! stream = entry* zero-block zero-block padding?
//! entry  = (meta)* header payload padding-to-512      meta: PAX 'x', GNU 'L' and 'K', global PAX 'g' (ignored)
//! ```
//! One pass, no seeking, no buffering of payloads. A [`Recorder`] sees every byte of the stream in order, so that the
//! stream can be made again, byte for byte, from the record and the files it was unpacked to.
//! Sources: POSIX.1-2017 pax; GNU tar manual, "Tar Internals"; Go's archive/tar for what real archives contain.

mod entry;
mod header;
mod pax;
mod reader;
mod sparse;

pub use entry::{Entry, Kind, display};
pub use reader::{Payload, TarReader};

use std::io;

/// Told everything that a [`TarReader`] passes, in the stream's order.
pub trait Recorder {
    /// Bytes that are kept nowhere else.
    fn raw(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// `len` payload bytes that went to the file at `path`.
    fn file(&mut self, path: &[u8], len: u64) -> io::Result<()>;
}

/// Keeps nothing.
impl Recorder for () {
    fn raw(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn file(&mut self, _: &[u8], _: u64) -> io::Result<()> {
        Ok(())
    }
}

/// Where the pieces of a sparse file belong: (offset, length).
pub type SparseMap = Vec<(u64, u64)>;

/// Size of a tar block.
pub const BLOCK: usize = 512;

/// Bytes from the end of `len` payload bytes to the next block.
pub fn padding(len: u64) -> u64 {
    len.next_multiple_of(BLOCK as u64) - len
}
