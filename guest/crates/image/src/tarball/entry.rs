//! One entry of a tar stream, its metadata put together from all its headers.

use super::SparseMap;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    File,
    /// Another name for an entry that came before.
    HardLink,
    Symlink,
    CharDevice,
    BlockDevice,
    Directory,
    Fifo,
}

/// Names are bytes as the archive has them: hostile until cleaned by whoever uses them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub kind: Kind,
    pub path: Vec<u8>,
    /// Target of a link.
    pub link: Vec<u8>,
    /// Permission bits with set-id and sticky bits.
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    pub mtime_s: i64,
    pub mtime_ns: u32,
    /// Payload bytes in the stream.
    pub payload_bytes: u64,
    /// Size of the file: larger than the payload when sparse.
    pub size_bytes: u64,
    pub device: (u64, u64),
    /// `SCHILY.xattr.*`, prefix removed.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where the payload's pieces belong: (offset, length), ascending. None: the file is whole.
    pub sparse: Option<SparseMap>,
}

impl Entry {
    /// For messages.
    pub fn display_path(&self) -> String {
        display(&self.path)
    }
}

/// A hostile name, made printable and short.
pub fn display(path: &[u8]) -> String {
    const SHOWN: usize = 200;
    let text = String::from_utf8_lossy(&path[..path.len().min(SHOWN)]).into_owned();
    if path.len() > SHOWN { text + "…" } else { text }
}
