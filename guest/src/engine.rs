//! `cubbyd engine`: opens the engine, serves it, and stops it cleanly.
//!
//! | how it ends | exit code |
//! |---|---|
//! | SIGTERM, SIGINT: containers stopped, run dir cleaned | 0 |
//! | it could not start | 1 |
//! | the host asked the guest to power off ([`POWER_OFF`]) | 75 |

use std::{
    fs::{self, File},
    io::Write,
    os::fd::{FromRawFd, OwnedFd},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context;
use cubby_api::server::Api;
use cubby_engine::{Config, Engine, ports::Publisher};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use crate::{
    control, durable, file_events, give_back,
    listen::{Address, Listening},
    publish, registries,
};

/// Exit code by which the engine tells pid 1 to switch the guest off.
pub const POWER_OFF: u8 = 75;

/// Names the descriptor on which pid 1 waits for one byte: the API listens.
const READY_FD: &str = "CUBBY_READY_FD";

#[derive(clap::Args)]
pub struct Arguments {
    /// Where to serve the API: unix:///path, tcp://127.0.0.1:port (may repeat)
    #[arg(long = "listen", short = 'H', default_value = "unix:///run/cubby/docker.sock")]
    listen: Vec<Address>,
    /// Directory for everything persistent
    #[arg(long, default_value = "/var/lib/cubby")]
    data_root: PathBuf,
    /// Directory for everything volatile; emptied on a clean stop
    #[arg(long, default_value = "/run/cubby")]
    run_dir: PathBuf,
    /// Run inside Cubby's guest: serve the API, the control protocol and port forwarding over vsock
    #[arg(long)]
    guest: bool,
    #[command(flatten)]
    registries: registries::RegistryArguments,
}

/// Why the engine is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// A signal: the user or the system wants the engine gone.
    Signal,
    /// The host wants the machine off. `timeout_s` bounds each container's stop.
    PowerOff { timeout_s: u32 },
}

pub fn main(arguments: Arguments) -> ExitCode {
    block_on(run(arguments))
}

/// Runs `work` with a log and an async runtime.
pub fn block_on(work: impl Future<Output = anyhow::Result<ExitCode>>) -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("CUBBY_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    if let Err(error) = cubby_runtime::raise_open_files() {
        tracing::warn!(err = %error, "the limit of open files stays low");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(err = %error, "the async runtime did not start");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(work) {
        Ok(code) => code,
        Err(error) => {
            tracing::error!(err = format!("{error:#}"), "the engine did not start");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let exe = std::env::current_exe().context("find this program's own file")?;
    let config = Config {
        data_root: absolute(arguments.data_root)?,
        run_dir: absolute(arguments.run_dir)?,
        exe,
        in_guest: arguments.guest,
    };
    let _lock = lock(&config)?;
    let (data_root, run_dir) = (config.data_root.clone(), config.run_dir.clone());
    let mut signals = StopSignals::install()?;
    let publisher: Arc<dyn Publisher> = match arguments.guest {
        true => publish::Guest::new(),
        false => publish::Native::new(),
    };
    let engine = Engine::open(config, Some(publisher)).await.context("open the engine")?;
    arguments.registries.give(&engine.images)?;
    let (stop_sender, mut stop_receiver) = mpsc::channel(1);

    let api = Api::new(engine.clone());
    let mut listening: Vec<Listening> = Vec::new();
    if arguments.guest {
        if let Err(error) = durable::keep(&data_root) {
            tracing::warn!(err = %error, "a power cut may cost the last seconds' changes");
        }
        listening.push(Address::Vsock(cubby_wire::ports::DOCKER_API).serve(api.clone()).await?);
        listening.push(Address::Unix(cubby_engine::host_files::OWN_SOCKET.into()).serve(api).await?);
        file_events::serve().context("serve file events")?;
        control::serve(engine.clone(), stop_sender)?;
        give_back::keep(engine.clone(), data_root.clone());
        publish::forward::serve(engine.networks.clone()).context("serve port forwarding")?;
    } else {
        for address in &arguments.listen {
            listening.push(address.serve(api.clone()).await?);
            tracing::info!(%address, "API listens");
        }
    }
    tell_ready();

    let stop = tokio::select! {
        () = signals.wait() => Stop::Signal,
        Some(stop) = stop_receiver.recv() => stop,
    };
    tracing::info!(?stop, "stopping");
    drop(listening);
    close(&engine, stop).await;
    if !arguments.guest {
        clean(&run_dir);
    }
    Ok(match stop {
        Stop::Signal => ExitCode::SUCCESS,
        Stop::PowerOff { .. } => ExitCode::from(POWER_OFF),
    })
}

/// Stops the containers as a shutdown of dockerd does, a second signal notwithstanding.
async fn close(engine: &Arc<Engine>, stop: Stop) {
    let timeout_s = match stop {
        Stop::Signal => None,
        Stop::PowerOff { timeout_s } => Some(timeout_s),
    };
    engine.shutdown(timeout_s).await;
}

pub fn absolute(path: PathBuf) -> anyhow::Result<PathBuf> {
    std::path::absolute(&path).with_context(|| format!("make {} absolute", path.display()))
}

/// Two engines on one data root would ruin it: the second is refused.
pub fn lock(config: &Config) -> anyhow::Result<File> {
    for dir in [&config.data_root, &config.run_dir] {
        fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
    }
    let path = config.data_root.join("engine.lock");
    let file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
    file.try_lock().with_context(|| {
        format!("another engine uses {}: stop it, or give this one its own --data-root", config.data_root.display())
    })?;
    Ok(file)
}

/// Everything volatile is gone on a clean stop.
pub fn clean(run_dir: &PathBuf) {
    if let Err(error) = fs::remove_dir_all(run_dir) {
        tracing::warn!(path = %run_dir.display(), err = %error, "run dir could not be removed");
    }
}

fn tell_ready() {
    let Some(fd) = std::env::var(READY_FD).ok().and_then(|text| text.parse().ok()) else { return };
    // SAFETY: pid 1 opened this descriptor for us and named it in the environment; nothing else in this process
    // knows it, and it is closed right after the one byte.
    let mut pipe = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
    if let Err(error) = pipe.write_all(b"R") {
        tracing::warn!(err = %error, "pid 1 could not be told that the API listens");
    }
}

struct StopSignals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl StopSignals {
    fn install() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("watch SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("watch SIGINT")?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
