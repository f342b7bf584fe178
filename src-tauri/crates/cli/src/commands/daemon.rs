//! `cubby daemon`: what the other commands start when they need it. Its stderr is the log.

use std::io::IsTerminal;
use std::sync::Arc;

use cubby_host::daemon::{self, DaemonError, Options};
use cubby_host::dirs::Dirs;
use cubby_host::hardware::{Size, ThisHost};
use cubby_host::supervisor::{Config, Sleep};
use tracing_subscriber::EnvFilter;

use crate::failure::Failure;

pub async fn run(dirs: &Dirs) -> Result<(), Failure> {
    let filter = EnvFilter::try_from_env("CUBBY_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let ansi = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi).init();
    let hardware = Arc::new(ThisHost::new(dirs.clone(), Size::of_host()));
    let supervisor = Config { sleep: Sleep::of_process(), ..Config::default() };
    let options = Options { supervisor, ..Options::default() };
    match daemon::run(dirs, hardware, options).await {
        // Whoever started this one finds the other.
        Err(DaemonError::AlreadyRunning) => Ok(()),
        done => Ok(done?),
    }
}
