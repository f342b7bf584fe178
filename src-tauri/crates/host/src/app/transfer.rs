//! Files that a browser sends in parts, and where saved files go.

use std::io::Write;
use std::path::{Path, PathBuf};

use base64::Engine as _;

use super::Inner;
use crate::saving;
use crate::schema::{AppError, FileSource, FileTarget};

/// Of one part, decoded.
const MAX_PART_BYTES: usize = 1 << 20;

impl Inner {
    fn uploads(&self) -> PathBuf {
        self.dirs.state.join("uploads")
    }

    fn upload(&self, ticket: &str) -> Result<PathBuf, AppError> {
        let sane = ticket.len() == 32 && ticket.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !sane {
            return Err(AppError::failed("The file could not be taken", "its ticket is not one"));
        }
        Ok(self.uploads().join(ticket))
    }

    /// Appends to the file behind `ticket`.
    pub(super) async fn take_part(&self, ticket: &str, part: &str) -> Result<(), AppError> {
        const TITLE: &str = "The file could not be taken";
        let path = self.upload(ticket)?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(part);
        let bytes = bytes.map_err(|err| AppError::failed(TITLE, err.to_string()))?;
        if bytes.len() > MAX_PART_BYTES {
            return Err(AppError::failed(TITLE, "a part is too large"));
        }
        let written = tokio::task::spawn_blocking(move || append(&path, &bytes)).await;
        written.map_err(std::io::Error::other).flatten().map_err(|err| AppError::failed(TITLE, err.to_string()))
    }

    /// The file to read, and whether it is ours to remove afterwards.
    pub(super) fn source(&self, from: &FileSource) -> Result<(PathBuf, bool), AppError> {
        match from {
            FileSource::Path { path } => Ok((PathBuf::from(path), false)),
            FileSource::Upload { ticket } => Ok((self.upload(ticket)?, true)),
        }
    }

    /// Leftovers of an app that was killed.
    pub(super) fn forget_uploads(&self) {
        let _ = std::fs::remove_dir_all(self.uploads());
    }
}

fn append(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::OpenOptions::new().create(true).append(true).open(path)?.write_all(bytes)
}

/// The path to write to: as chosen, or a name in the downloads that nothing has yet.
pub(super) fn target(dirs: &crate::dirs::Dirs, to: &FileTarget) -> Result<PathBuf, AppError> {
    match to {
        FileTarget::Path { path } => Ok(PathBuf::from(path)),
        FileTarget::Downloads { name } => {
            let directory = super::downloads::directory(dirs);
            std::fs::create_dir_all(&directory)
                .map_err(|err| saving::failed("There is no folder for downloads", &directory, &err))?;
            let name: String =
                name.chars().map(|c| if c.is_control() || "/\\:*?\"<>|".contains(c) { '-' } else { c }).collect();
            Ok(free_name(&directory, name.trim_start_matches('.')))
        }
    }
}

fn free_name(directory: &Path, name: &str) -> PathBuf {
    let (stem, extension) =
        name.split_once('.').map_or((name, String::new()), |(stem, rest)| (stem, format!(".{rest}")));
    (0..1000)
        .map(|n| if n == 0 { directory.join(name) } else { directory.join(format!("{stem} ({n}){extension}")) })
        .find(|path| !path.exists())
        .unwrap_or_else(|| directory.join(name))
}
