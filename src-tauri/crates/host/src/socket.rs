//! Listening sockets (Windows: pipes) that only their owner may open.

use std::io;
use std::path::{Path, PathBuf};

use crate::local::{self, Listener};

#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    #[error("{0} is in use by another process")]
    InUse(PathBuf),
    #[error("{0} exists and is not a socket; move it away")]
    NotASocket(PathBuf),
    #[error("could not listen on {0}")]
    Listen(PathBuf, #[source] io::Error),
}

/// A listening socket and its file, which goes when this is dropped (unless somebody put another in its place).
#[derive(Debug)]
pub struct Socket {
    pub listener: Listener,
    #[cfg(unix)]
    path: PathBuf,
    #[cfg(unix)]
    file: u64,
}

#[cfg(unix)]
impl Socket {
    /// Listens on `path`, mode 0600. A file that a dead process left is replaced; anything else there is an error.
    ///
    /// The directory must be private already: between `bind` and `chmod` the mode is the umask's.
    pub fn bind(path: &Path) -> Result<Self, SocketError> {
        use std::fs;
        use std::os::unix::fs::{FileTypeExt, PermissionsExt};

        let failed = |e| SocketError::Listen(path.to_owned(), e);
        match fs::symlink_metadata(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(failed(e)),
            Ok(meta) if !meta.file_type().is_socket() => return Err(SocketError::NotASocket(path.to_owned())),
            Ok(_) => {
                if local::is_served(path) {
                    return Err(SocketError::InUse(path.to_owned()));
                }
                fs::remove_file(path).map_err(failed)?;
            }
        }
        let listener = Listener::bind(path).map_err(failed)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        let file = local::file_id(&fs::symlink_metadata(path).map_err(failed)?);
        Ok(Self { listener, path: path.to_owned(), file })
    }
}

#[cfg(unix)]
impl Drop for Socket {
    fn drop(&mut self) {
        if std::fs::symlink_metadata(&self.path).is_ok_and(|meta| local::file_id(&meta) == self.file) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(windows)]
impl Socket {
    /// Takes the pipe's name. A dead process leaves none behind.
    pub fn bind(path: &Path) -> Result<Self, SocketError> {
        match Listener::bind(path) {
            Ok(listener) => Ok(Self { listener }),
            Err(_) if local::is_served(path) => Err(SocketError::InUse(path.to_owned())),
            Err(err) => Err(SocketError::Listen(path.to_owned(), err)),
        }
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn replaces_what_a_dead_process_left_and_nothing_else() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("s.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "a plain listener leaves its file behind");

        let first = Socket::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(Socket::bind(&path), Err(SocketError::InUse(_))));
        drop(first);
        assert!(!path.exists());

        fs::write(&path, "mine").unwrap();
        assert!(matches!(Socket::bind(&path), Err(SocketError::NotASocket(_))));
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }
}
