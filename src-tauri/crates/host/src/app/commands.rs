//! The commands of the user interface.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use bollard::query_parameters::{
    InspectContainerOptions, InspectContainerOptionsBuilder, KillContainerOptions, RemoveContainerOptionsBuilder,
    RemoveImageOptionsBuilder, RestartContainerOptions, StartContainerOptions, StopContainerOptions,
};

use super::{Inner, downloads, engines, images, jobs, networks, reach, registries, upkeep, volumes};
use crate::context::{Context, ContextError};
use crate::engine::errors::app_error;
use crate::engine::{bin, convert, files, recipe, run};
use crate::hardware::{self, chain};
use crate::local;
use crate::schema::{AppError, Command, ImageRemoved, MountKind, Removal, Reply};

/// Where the demo's page is offered when the port is free.
const DEMO_PORT: u16 = 8080;
/// Of a console log, however long its lines are.
const MAX_TAIL_BYTES: u64 = 1 << 20;

pub(super) async fn call(inner: &Arc<Inner>, command: Command) -> Result<Reply, AppError> {
    let done = |(): ()| Reply::Done;
    match command {
        Command::Snapshot => Ok(Reply::Snapshot { snapshot: Box::new(inner.world.snapshot()) }),
        Command::MachineStart => {
            let mut daemon = inner.daemon().await?;
            daemon.up().await.map(done).map_err(|err| machine_failed("started", &err))
        }
        Command::MachineStop => {
            let mut daemon = inner.daemon().await?;
            daemon.down().await.map(done).map_err(|err| machine_failed("stopped", &err))
        }
        Command::MachineRestart => {
            let mut daemon = inner.daemon().await?;
            daemon.restart().await.map(done).map_err(|err| machine_failed("restarted", &err))
        }
        Command::DemoRun => {
            let archive = hardware::demo_image();
            let container = run::demo(&inner.engine()?, archive.as_deref(), DEMO_PORT).await?;
            Ok(Reply::Container { container })
        }
        Command::ContainerRun { run } => {
            let container = run::run(&inner.engine()?, &run).await?;
            Ok(Reply::Container { container })
        }
        Command::ContainerRecipe { id } => {
            let run = Box::new(recipe::of(&inner.engine()?, &id).await?);
            Ok(Reply::Recipe { run })
        }
        Command::ContainerStart { id } => inner
            .engine()?
            .start_container(&id, None::<StartContainerOptions>)
            .await
            .map(done)
            .map_err(|err| app_error("It could not be started", err)),
        Command::ContainerStop { id } => inner
            .engine()?
            .stop_container(&id, None::<StopContainerOptions>)
            .await
            .map(done)
            .map_err(|err| app_error("It could not be stopped", err)),
        Command::ContainerRestart { id } => {
            let restarted = inner.engine()?.restart_container(&id, None::<RestartContainerOptions>).await;
            restarted.map(done).map_err(|err| app_error("It could not be restarted", err))
        }
        Command::ContainerKill { id } => inner
            .engine()?
            .kill_container(&id, None::<KillContainerOptions>)
            .await
            .map(done)
            .map_err(|err| app_error("It could not be killed", err)),
        Command::ContainerPause { id } => {
            inner.engine()?.pause_container(&id).await.map(done).map_err(|err| app_error("It could not be paused", err))
        }
        Command::ContainerUnpause { id } => {
            let resumed = inner.engine()?.unpause_container(&id).await;
            resumed.map(done).map_err(|err| app_error("It could not be resumed", err))
        }
        Command::ContainerRemoval { id } => removal(inner, &id).await,
        Command::ContainerRemove { id, volumes } => {
            let options = RemoveContainerOptionsBuilder::default().force(true).v(volumes).build();
            let removed = inner.engine()?.remove_container(&id, Some(options)).await;
            removed.map(done).map_err(|err| app_error("It could not be removed", err))
        }
        Command::ContainerBin { id, volumes } => {
            bin::containers::put(&inner.engine()?, &id, volumes).await?;
            super::bin::sweep_soon(inner);
            Ok(Reply::Done)
        }
        Command::ContainerRestore { id } => {
            let container = bin::containers::take_out(&inner.engine()?, &id).await?;
            Ok(Reply::Container { container })
        }
        Command::BinEmpty => {
            let emptied = bin::containers::sweep(&inner.engine()?, true).await;
            emptied.map(done).map_err(|err| app_error("The bin could not be emptied", err))
        }
        Command::ContainerFiles { id, path } => {
            let listing = files::list(&inner.engine()?, &inner.endpoint(), &id, &path).await?;
            Ok(Reply::Files { listing })
        }
        Command::ContainerFileRead { id, path } => {
            let file = files::content::read(&inner.engine()?, &id, &path).await?;
            Ok(Reply::File { file })
        }
        Command::ContainerFileWrite { id, path, text } => {
            files::content::write(&inner.engine()?, &id, &path, &text).await.map(done)
        }
        Command::ContainerFileSave { id, path, to } => {
            let place = files::content::save(&inner.engine()?, &id, &path, downloads::place(&inner.dirs, to)).await?;
            Ok(Reply::Text { text: place.display().to_string() })
        }
        Command::ContainerFilePut { id, directory, name, upload, part, last } => {
            let part = files::content::Part { upload, directory: &directory, name: &name, base64: &part, last };
            inner.uploads.put(&inner.engine()?, &id, part).await.map(done)
        }
        Command::ContainerLogsSave { id, to } => {
            let place = downloads::logs(&inner.engine()?, &id, &downloads::place(&inner.dirs, to)).await?;
            Ok(Reply::Text { text: place.display().to_string() })
        }
        Command::ContainerInspect { id } => inspect(inner, &id).await,
        Command::ImageRemove { id, force } => remove_image(inner, &id, force).await,
        Command::Image { command } => Ok(Reply::Image { reply: images::call(inner, command).await? }),
        Command::Volume { command } => Ok(Reply::Volume { reply: volumes::call(inner, command).await? }),
        Command::Network { command } => Ok(Reply::Network { reply: networks::call(inner, command).await? }),
        Command::Registry { command } => registries::call(inner, command).await,
        Command::Reach { command } => reach::call(inner, command).await,
        Command::Engine { command } => engines::call(inner, command).await,
        Command::Upkeep { command } => Ok(Reply::Upkeep { reply: upkeep::call(inner, command).await? }),
        Command::Job { command } => {
            jobs::call(inner, &command);
            Ok(Reply::Done)
        }
        Command::FilePart { ticket, part } => inner.take_part(&ticket, &part).await.map(done),
        Command::UrlOpen { url } => open_url(&url).map(done),
        Command::ConsoleLogOpen => open(&inner.dirs.console_log().display().to_string()).map(done),
        Command::ConsoleLogTail { lines } => tail(inner, lines).await,
        Command::ContextStatus => {
            let context = Context::of_process(&inner.dirs).map_err(context_failed)?;
            Ok(Reply::Context { context: context.status() })
        }
        Command::ContextCreate => {
            let context = Context::of_process(&inner.dirs).map_err(context_failed)?;
            context.create().map_err(context_failed)?;
            Ok(Reply::Context { context: context.status() })
        }
    }
}

fn machine_failed(what: &str, err: &crate::daemon::ClientError) -> AppError {
    AppError::failed(format!("The machine could not be {what}"), chain(err))
}

fn context_failed(err: ContextError) -> AppError {
    AppError::failed("The docker context could not be changed", chain(&err))
}

async fn inspect(inner: &Inner, id: &str) -> Result<Reply, AppError> {
    const TITLE: &str = "It could not be inspected";
    let found = inner
        .engine()?
        .inspect_container(id, None::<InspectContainerOptions>)
        .await
        .map_err(|err| app_error(TITLE, err))?;
    let text = serde_json::to_string_pretty(&found).map_err(|err| AppError::failed(TITLE, err.to_string()))?;
    Ok(Reply::Text { text })
}

async fn removal(inner: &Inner, id: &str) -> Result<Reply, AppError> {
    let options = InspectContainerOptionsBuilder::default().size(true).build();
    let found = inner.engine()?.inspect_container(id, Some(options)).await;
    let found = found.map_err(|err| app_error("It could not be inspected", err))?;
    let written_bytes = found.size_rw.and_then(|size| u64::try_from(size).ok());
    let running = found.state.as_ref().and_then(|state| state.running) == Some(true);
    let row = convert::container(found, convert::Known::default());
    let volumes = |anonymous| {
        let of_kind =
            row.mounts.iter().filter(move |mount| mount.kind == MountKind::Volume && mount.anonymous == anonymous);
        of_kind.map(|mount| mount.source.clone()).collect::<Vec<_>>()
    };
    let removal = Removal {
        volumes_gone: volumes(true),
        volumes_kept: volumes(false),
        folders_kept: row
            .mounts
            .iter()
            .filter(|mount| mount.kind == MountKind::Bind)
            .map(|mount| mount.source.clone())
            .collect(),
        id: row.id,
        name: row.name,
        running,
        written_bytes,
        image: row.image,
    };
    Ok(Reply::Removal { removal })
}

async fn remove_image(inner: &Inner, id: &str, force: bool) -> Result<Reply, AppError> {
    let options = RemoveImageOptionsBuilder::default().force(force).build();
    let removed = inner.engine()?.remove_image(id, Some(options), None).await;
    let removed = removed.map_err(|err| app_error("The image could not be removed", err))?;
    let (untagged, deleted) =
        removed.into_iter().map(|item| (item.untagged, item.deleted)).unzip::<_, _, Vec<_>, Vec<_>>();
    let removed = ImageRemoved {
        untagged: untagged.into_iter().flatten().collect(),
        deleted: deleted.into_iter().flatten().collect(),
    };
    Ok(Reply::ImageRemoved { removed })
}

fn open_url(url: &str) -> Result<(), AppError> {
    let web = url.starts_with("http://") || url.starts_with("https://");
    if !web || url.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(AppError::failed("The page could not be opened", format!("{url:?} is not a web address")));
    }
    open(url)
}

/// Hands it to the desktop, without a shell in between and without waiting for the viewer.
fn open(what: &str) -> Result<(), AppError> {
    let (opener, first) = (local::OPENER[0], &local::OPENER[1..]);
    let mut command = tokio::process::Command::new(opener);
    command.args(first).arg(what).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.spawn() {
        // The runtime reaps it.
        Ok(_child) => Ok(()),
        Err(err) => Err(AppError::failed("It could not be opened", format!("{opener}: {err}; open {what} yourself"))),
    }
}

async fn tail(inner: &Inner, lines: u32) -> Result<Reply, AppError> {
    let path = inner.dirs.console_log();
    let read = tokio::task::spawn_blocking(move || last_lines(&path, lines as usize)).await;
    let text = read.map_err(|err| AppError::failed("The console log could not be read", err.to_string()))?;
    Ok(Reply::Text { text: text.unwrap_or_default() })
}

fn last_lines(path: &Path, lines: usize) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(MAX_TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(MAX_TAIL_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<_> = text.lines().collect();
    Ok(all[all.len().saturating_sub(lines)..].join("\n"))
}
