//! The guest's side of the control protocol: what the host needs of the machine and Docker's API does not offer.
//!
//! Requests change the machine, never containers. Source of the messages: `cubby_wire::control`.

use std::{io, os::fd::AsFd, path::Path, sync::Arc, time::SystemTime};

use cubby_engine::Engine;
use cubby_wire::{
    PROTOCOL_VERSION,
    control::{Reply, Request},
    frame, ports,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
};

use crate::{engine::Stop, ext4, figures, from_host, give_back};

/// Starts to serve [`ports::CONTROL`]. A power-off request is passed on through `stop`.
pub fn serve(engine: Arc<Engine>, stop: mpsc::Sender<Stop>) -> io::Result<()> {
    let listener = from_host::listen(ports::CONTROL)?;
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    tokio::spawn(converse(stream, engine.clone(), stop.clone()));
                }
                Err(error) => {
                    tracing::error!(err = %error, "control listener failed");
                    return;
                }
            }
        }
    });
    Ok(())
}

async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin, engine: Arc<Engine>, stop: mpsc::Sender<Stop>) {
    loop {
        let request = match frame::read::<Request>(&mut stream).await {
            Ok(Some(request)) => request,
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(err = %error, "control stream broke");
                return;
            }
        };
        let reply = answer(&request, &engine).await;
        if let Err(error) = frame::write(&mut stream, &reply).await {
            tracing::warn!(err = %error, "control reply could not be sent");
        }
        if let Request::Shutdown { stop_timeout_s } = request {
            // Why: a full channel means that the engine is stopping already.
            let _ = stop.try_send(Stop::PowerOff { timeout_s: stop_timeout_s });
        }
    }
}

async fn answer(request: &Request, engine: &Arc<Engine>) -> Reply {
    let data_root = engine.config.data_root.clone();
    let done = match request {
        Request::Hello { .. } => {
            return Reply::Hello { protocol: PROTOCOL_VERSION, guest_version: env!("CARGO_PKG_VERSION").to_owned() };
        }
        Request::Figures => {
            let running = engine.counts().running;
            return match blocking(move || figures::read(&data_root, running)).await {
                Ok(figures) => Reply::Figures(figures),
                Err(error) => Reply::Failed { reason: format!("figures could not be read: {error}") },
            };
        }
        Request::SetClock { unix_ns } => set_clock(*unix_ns),
        Request::Shutdown { .. } => Ok(()),
        Request::GrowDisk => blocking(move || grow(&data_root)).await,
        Request::TrimDisk => blocking(move || trim(&data_root)).await,
        Request::GiveBack => blocking(move || give_back::all(&data_root)).await,
    };
    match done {
        Ok(()) => Reply::Done,
        Err(error) => Reply::Failed { reason: format!("{}: {error}", operation(request)) },
    }
}

fn operation(request: &Request) -> &'static str {
    match request {
        Request::SetClock { .. } => "the clock could not be set",
        Request::GrowDisk => "the data disk could not be grown",
        Request::GiveBack => "memory could not be given back",
        Request::TrimDisk => "free blocks could not be given back",
        Request::Hello { .. } | Request::Figures | Request::Shutdown { .. } => "the request failed",
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

fn set_clock(unix_ns: i64) -> io::Result<()> {
    let seconds = unix_ns.div_euclid(1_000_000_000);
    let nanoseconds = unix_ns.rem_euclid(1_000_000_000);
    let time = rustix::time::Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    rustix::time::clock_settime(rustix::time::ClockId::Realtime, time)?;
    tracing::info!(now = ?SystemTime::now(), "clock set by the host");
    Ok(())
}

/// Grows the mounted filesystem to the size of its disk.
fn grow(data_root: &Path) -> io::Result<()> {
    let root = std::fs::File::open(data_root)?;
    let device = block_device(data_root)?;
    let sectors: u64 = std::fs::read_to_string(device)?.trim().parse().map_err(io::Error::other)?;
    let block_size = rustix::fs::fstatfs(root.as_fd())?.f_bsize as u64;
    let blocks = sectors * 512 / block_size;
    ext4::resize(&root, blocks)
}

/// The sysfs file that tells the size, in 512-byte sectors, of the disk that `path` lies on.
fn block_device(path: &Path) -> io::Result<std::path::PathBuf> {
    let device = rustix::fs::stat(path)?.st_dev;
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    Ok(format!("/sys/dev/block/{major}:{minor}/size").into())
}

/// Tells the disk about every free block.
fn trim(data_root: &Path) -> io::Result<()> {
    let trimmed_bytes = ext4::trim(&std::fs::File::open(data_root)?)?;
    tracing::info!(trimmed_bytes, "free blocks given back");
    Ok(())
}
