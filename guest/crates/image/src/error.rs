//! What can go wrong between an archive and a root filesystem.

use std::{io, path::PathBuf};

use crate::{digest::Digest, reference::InvalidReference};

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operation on our own disk failed.
    #[error("{action} {}", path.display())]
    Disk {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Less than [`crate::Limits::reserve_bytes`] would be left.
    #[error("no space left on device: {free_mib} MiB are free; remove unused images or enlarge the disk")]
    DiskFull { free_mib: u64 },
    #[error("read the archive")]
    Read(#[source] io::Error),
    #[error("write the archive")]
    Write(#[source] io::Error),
    /// In dockerd's words, which have no archive in them.
    #[error("invalid manifest, {0}")]
    Manifest(String),
    /// The bytes are not what they claim to be.
    #[error("invalid archive: {0}")]
    Archive(String),
    /// The archive tried to reach out of its place.
    #[error("refused archive entry {path:?}: {reason}")]
    Hostile { path: String, reason: String },
    /// An entry could not be made on disk.
    #[error("unpack {path:?}")]
    Entry {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("archive is over the limit: {0}")]
    Limit(String),
    #[error("{what} does not match its digest: expected {expected}, got {found}")]
    Mismatch { what: &'static str, expected: Digest, found: Digest },
    #[error("{what} is not valid JSON")]
    Json {
        what: String,
        #[source]
        source: serde_json::Error,
    },
    #[error(transparent)]
    Reference(#[from] InvalidReference),
    /// None of an index's images fits.
    #[error("no image for platform {wanted} in the archive (it has: {found})")]
    Platform { wanted: String, found: String },
    #[error("unsupported {0}")]
    Unsupported(String),
}

impl Error {
    pub(crate) fn disk(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Disk { action, path: path.into(), source }
    }

    /// What a failed read from an archive means. The stream below may carry one of our own errors.
    pub(crate) fn read(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(ours) => ours,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Self::truncated(),
            // What the decompressors call broken data.
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => {
                Self::Archive(format!("corrupt compressed data ({error})"))
            }
            Err(error) => Self::Read(error),
        }
    }

    pub(crate) fn truncated() -> Self {
        Self::Archive("unexpected EOF".into())
    }

    /// True when the input is to blame, not this machine.
    pub fn is_bad_input(&self) -> bool {
        !matches!(self, Self::Disk { .. } | Self::DiskFull { .. } | Self::Write(_))
    }
}
