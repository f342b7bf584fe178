//! Starting the daemon, detached from whoever needs it first.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

use crate::dirs::{Dirs, DirsError};
use crate::local::{self, Stream};

/// Names the `cubby` program to start the daemon with.
const VARIABLE: &str = "CUBBY_PROGRAM";

const PATIENCE: Duration = Duration::from_secs(15);

#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    #[error(transparent)]
    Dirs(#[from] DirsError),
    #[error("could not write {0}")]
    Log(PathBuf, #[source] io::Error),
    #[error("could not start {0}")]
    Start(PathBuf, #[source] io::Error),
    #[error("Cubby's background process ended at once ({status}):\n{said}")]
    Ended { status: String, said: String },
    #[error("Cubby's background process does not answer on {0}")]
    Silent(PathBuf),
}

/// The program that has the `daemon` command: this one when it is `cubby`, else the one beside it, else PATH's.
pub fn program() -> PathBuf {
    if let Some(named) = std::env::var_os(VARIABLE).filter(|named| !named.is_empty()) {
        return named.into();
    }
    let ours = std::env::current_exe().unwrap_or_default();
    if ours.file_stem().is_some_and(|name| name == "cubby") {
        return ours;
    }
    let beside = ours.with_file_name(format!("cubby{}", std::env::consts::EXE_SUFFIX));
    if beside.is_file() { beside } else { "cubby".into() }
}

/// Starts a daemon for `dirs` and returns the connection to it. When another process does the same at the same time, one
/// daemon wins and both get it.
pub(super) async fn spawn(dirs: &Dirs) -> Result<Stream, SpawnError> {
    dirs.make()?;
    let log_path = dirs.daemon_log();
    let log = super::log::open(&log_path).map_err(|err| SpawnError::Log(log_path.clone(), err))?;
    let from = log.metadata().map_or(0, |meta| meta.len());
    let program = program();
    let started = || -> io::Result<Child> {
        let mut command = Command::new(&program);
        command.args(["--profile", &dirs.profile, "daemon"]);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log.try_clone()?);
        // Wherever it was started: that directory shall be free to go. Windows knows no place that is always there.
        command.current_dir(if cfg!(unix) { Path::new("/") } else { &dirs.state });
        local::detached(&mut command);
        command.spawn()
    };
    let mut child = started().map_err(|err| SpawnError::Start(program.clone(), err))?;
    let give_up = Instant::now() + PATIENCE;
    loop {
        if let Ok(stream) = local::connect(&dirs.daemon_socket()).await {
            return Ok(stream);
        }
        match child.try_wait() {
            // 0: another daemon was faster; it will answer.
            Ok(Some(status)) if !status.success() => {
                return Err(SpawnError::Ended { status: status.to_string(), said: tail(&log_path, from) });
            }
            _ if Instant::now() > give_up => return Err(SpawnError::Silent(dirs.daemon_socket())),
            // … unless that other one was on its way out, and still held the lock: then it is our turn again.
            Ok(Some(_)) => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                child = started().map_err(|err| SpawnError::Start(program.clone(), err))?;
            }
            _ => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// What the log got since `from`, at most 4 KiB.
fn tail(path: &Path, from: u64) -> String {
    let read = || -> io::Result<String> {
        let mut file = std::fs::File::open(path)?;
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(from.max(len.saturating_sub(4096))))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    read().unwrap_or_default()
}
