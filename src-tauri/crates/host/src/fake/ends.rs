//! Connected pairs of what this system's connections are, for tests.

use std::io;
use std::path::{Path, PathBuf};

use crate::local::Stream;

/// What a stream to the guest is played by.
#[cfg(unix)]
pub(crate) use tokio::net::UnixStream as Wire;

/// Why not a socket: Windows has no pairs of them, and with a clock that jumps as soon as nobody works (`start_paused`) those
/// of its network are too slow.
#[cfg(windows)]
pub(crate) use tokio::io::DuplexStream as Wire;

#[cfg(unix)]
pub(crate) fn pair() -> io::Result<(Wire, Wire)> {
    Wire::pair()
}

#[cfg(windows)]
pub(crate) fn pair() -> io::Result<(Wire, Wire)> {
    Ok(tokio::io::duplex(64 * 1024))
}

/// What listens for this computer's programs is named like this.
pub(crate) fn name(dir: &Path, name: &str) -> PathBuf {
    match cfg!(windows) {
        false => dir.join(name),
        true => PathBuf::from(format!(r"\\.\pipe\cubby-test-{}-{name}", dir.file_name().unwrap().display())),
    }
}

/// A program of this computer, and its connection as it is accepted.
pub(crate) async fn client_pair() -> (Stream, Stream) {
    let dir = tempfile::tempdir().unwrap();
    let name = name(dir.path(), "pair");
    let listener = crate::local::Listener::bind(&name).unwrap();
    let (client, accepted) = tokio::join!(crate::local::connect(&name), listener.accept());
    (client.unwrap(), accepted.unwrap().0)
}
