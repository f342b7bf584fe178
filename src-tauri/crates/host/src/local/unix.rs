//! The names of `super` on Linux and macOS.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use bollard::{ClientVersion, Docker};
pub use tokio::net::{UnixListener as Listener, UnixStream as Stream};
use tokio::signal::unix::{SignalKind, signal};

/// An address of this kind, as Docker's clients write it: `unix:///run/docker.sock`.
pub fn address(path: &Path) -> String {
    format!("{SCHEME}{}", path.display())
}

/// Before a path.
pub const SCHEME: &str = "unix://";

/// A client of the Docker API at `path`, which connects when it is used.
pub fn docker(path: &Path, timeout_s: u64, version: &ClientVersion) -> Result<Docker, bollard::errors::Error> {
    Docker::connect_with_unix(&address(path), timeout_s, version)
}

/// Connects to what listens at `path`.
pub async fn connect(path: &Path) -> io::Result<Stream> {
    Stream::connect(path).await
}

/// Whether anybody listens at `path`. Blocking.
pub fn is_served(path: &Path) -> bool {
    std::os::unix::net::UnixStream::connect(path).is_ok()
}

/// Options for files that only their owner may read.
pub fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

/// The same, and no more readable than what stands at `path` already.
pub fn as_readable_as(path: &Path) -> OpenOptions {
    let mode = fs::metadata(path).map_or(0o600, |meta| meta.permissions().mode() & 0o777);
    let mut options = OpenOptions::new();
    options.mode(mode);
    options
}

/// Why others than their owner may open a socket; `None` when they may not.
pub fn openness(path: &Path) -> io::Result<Option<String>> {
    let meta = fs::metadata(path)?;
    if !meta.file_type().is_socket() {
        return Ok(Some("is not a socket".into()));
    }
    let mode = meta.permissions().mode() & 0o777;
    Ok((mode != 0o600).then(|| format!("has mode {mode:o}; chmod 600 it")))
}

/// Makes a directory that only its owner may enter, or makes an own one so. The inner error says what is wrong with it.
pub fn make_private_dir(dir: &Path) -> io::Result<Result<(), &'static str>> {
    match fs::symlink_metadata(dir) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        Err(err) => return Err(err),
        Ok(_) => {}
    }
    // Looked at after making it: in /tmp somebody may have been faster.
    let meta = fs::symlink_metadata(dir)?;
    if !meta.is_dir() {
        return Ok(Err("it is not a directory"));
    }
    if meta.uid() != rustix::process::getuid().as_raw() {
        return Ok(Err("it belongs to another user"));
    }
    if meta.mode() & 0o077 != 0 {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    }
    Ok(Ok(()))
}

/// A number that is this user's alone.
pub fn user_id() -> u32 {
    rustix::process::getuid().as_raw()
}

/// Tells one file from another that took its name.
pub fn file_id(meta: &fs::Metadata) -> u64 {
    meta.ino()
}

/// Programs show no windows here unless they want to.
pub fn windowless(command: &mut Command) -> &mut Command {
    command
}

/// What opens a file or an address as the desktop would.
pub const OPENER: &[&str] = &[if cfg!(target_os = "macos") { "open" } else { "xdg-open" }];

/// A program that shall outlive us needs nothing here: it makes a session of its own.
pub fn detached(_command: &mut Command) {}

/// Before any thread exists: a session of its own, so that closing the terminal does not end this process.
pub fn leave_terminal() {
    let _ = rustix::process::setsid();
}

/// Two descriptors per connection: the usual soft limit of 1024 is for programs that `select`.
pub fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(err) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::debug!(%err, "the descriptor limit stays");
    }
}

/// The system's ways to ask a process to end. Listens from here on; the future tells which one came.
pub fn asked_to_end() -> io::Result<impl Future<Output = &'static str>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    })
}

/// For bug reports: name, release and architecture of the system.
pub fn system_version() -> String {
    let uname = rustix::system::uname();
    let [name, release, machine] =
        [uname.sysname(), uname.release(), uname.machine()].map(|part| part.to_string_lossy().into_owned());
    format!("{name} {release} {machine}")
}
