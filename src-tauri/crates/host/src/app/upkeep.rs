//! Looking after the machine: what the machine page asks for beyond starting and stopping.

use std::collections::HashMap;
use std::sync::Arc;

use bollard::Docker;
use bollard::query_parameters::{DataUsageOptions, StatsOptionsBuilder};
use futures_util::{StreamExt, stream};

use super::{Inner, transfer, whole};
use crate::autostart::{self, Autostart};
use crate::daemon;
use crate::doctor::{self, Verdict};
use crate::engine::errors::app_error;
use crate::hardware::Size;
use crate::saving::{self, Saving};
use crate::schema::{
    AppError, Check, CheckVerdict, ContainerState, GuestVersion, Held, Limits, MachineSettings, UpkeepCommand,
    UpkeepReply, Usage, UsageItem, UsageKind, Versions,
};
use crate::slots::{Overview, Slots};
use crate::{settings, shares};

/// Requests at once.
const AT_ONCE: usize = 8;

pub(super) async fn call(inner: &Arc<Inner>, command: UpkeepCommand) -> Result<UpkeepReply, AppError> {
    let failed = |err: std::io::Error| AppError::failed("The settings could not be kept", err.to_string());
    match command {
        UpkeepCommand::Settings => {}
        UpkeepCommand::SetLimits { limits } => settings::set_limits(&inner.dirs, &limits).map_err(failed)?,
        UpkeepCommand::SetSharedFolders { folders } => {
            settings::set_shared_folders(&inner.dirs, folders.as_deref()).map_err(failed)?;
        }
        UpkeepCommand::SetAutostart { on } => set_autostart(inner, on).map_err(failed)?,
        UpkeepCommand::Examine => {
            let checks = doctor::examine(&inner.dirs).await.into_iter().map(check).collect();
            return Ok(UpkeepReply::Checks { checks });
        }
        UpkeepCommand::Usage => return Ok(UpkeepReply::Usage { usage: usage(inner).await? }),
        UpkeepCommand::GiveBack => {
            const TITLE: &str = "Nothing could be given back";
            let failed = |err: daemon::ClientError| AppError::failed(TITLE, crate::hardware::chain(&err));
            let held = |figures: &daemon::protocol::Figures| Held {
                memory_bytes: figures.host_resident_bytes,
                disk_bytes: figures.host_disk_bytes,
            };
            let mut client = inner.daemon().await?;
            let before = client.figures().await.map_err(failed)?;
            let after = client.give_back().await.map_err(failed)?;
            return Ok(UpkeepReply::GaveBack { before: held(&before), after: held(&after) });
        }
        UpkeepCommand::Export { to } => return whole::export(inner, &to),
        UpkeepCommand::Import { from } => return whole::import(inner, &from),
        UpkeepCommand::Reset => return whole::reset(inner).await,
        UpkeepCommand::Versions => return Ok(UpkeepReply::Versions { versions: versions(inner).await }),
        UpkeepCommand::SupportBundle { to } => {
            let path = transfer::target(&inner.dirs, &to)?;
            return bundle(inner, &path).await.map(|()| UpkeepReply::Saved { place: path.display().to_string() });
        }
    }
    Ok(UpkeepReply::Settings { settings: current(inner).await })
}

/// What the changelog of this build says; nothing is asked for over the network.
const CHANGELOG: &str = include_str!("../../../../../CHANGELOG.md");

async fn versions(inner: &Inner) -> Versions {
    let slots = Slots::new(&inner.dirs.state, &inner.dirs.data_disk());
    let read = move || slots.overview(crate::hardware::installed_image());
    let overview = tokio::task::spawn_blocking(read).await.ok();
    let daemon = match daemon::Client::connect(&inner.dirs).await {
        Ok(Some(mut client)) => client.status().await.ok().map(|status| status.version),
        _ => None,
    };
    told(daemon, overview)
}

fn told(daemon: Option<String>, overview: Option<Overview>) -> Versions {
    let named = |(version, id): (String, String)| GuestVersion { version, id };
    let (bad, why) = match overview.as_ref().and_then(|overview| overview.taken_back.clone()) {
        Some((version, why)) => (Some(GuestVersion { version, id: String::new() }), why),
        None => (None, String::new()),
    };
    Versions {
        app: env!("CARGO_PKG_VERSION").to_owned(),
        daemon,
        on_trial: overview.as_ref().is_some_and(|overview| overview.on_trial),
        data_format: overview.as_ref().map_or(0, |overview| overview.data_format),
        installed: overview.as_ref().and_then(|overview| overview.installed.clone()).map(named),
        good: overview.and_then(|overview| overview.good).map(named),
        taken_back: bad,
        taken_back_why: why,
        changelog: CHANGELOG.to_owned(),
    }
}

async fn current(inner: &Inner) -> MachineSettings {
    let dirs = inner.dirs.clone();
    let folders = tokio::task::spawn_blocking(move || {
        shares::folders(&dirs).iter().map(|path| path.display().to_string()).collect()
    });
    let usual = Size::of_host();
    let gib = |bytes: u64| u32::try_from(bytes >> 30).unwrap_or(u32::MAX);
    MachineSettings {
        limits: settings::limits(&inner.dirs),
        usual: Limits {
            cpus: Some(usual.cpus),
            memory_mib: Some(usual.memory_mib),
            disk_gib: Some(gib(usual.disk_bytes)),
        },
        host_cpus: std::thread::available_parallelism().map_or(1, |n| n.get() as u32),
        host_memory_mib: crate::hardware::host_memory_mib().unwrap_or_default(),
        shared_folders: folders.await.unwrap_or_default(),
        autostart: Autostart::of_process().map(|autostart| autostart.is_enabled(&inner.dirs.profile)),
    }
}

fn set_autostart(inner: &Inner, on: bool) -> std::io::Result<()> {
    let autostart = Autostart::of_process().ok_or_else(|| std::io::Error::other("no home directory"))?;
    if on {
        let command = autostart::Command { program: daemon::program(), profile: inner.dirs.profile.clone() };
        autostart.enable(&command).map(drop)
    } else {
        autostart.disable(&inner.dirs.profile)
    }
}

fn check(finding: doctor::Finding) -> Check {
    let verdict = match finding.verdict {
        Verdict::Ok => CheckVerdict::Ok,
        Verdict::Warn => CheckVerdict::Warn,
        Verdict::Fail => CheckVerdict::Fail,
    };
    Check { what: finding.what.to_owned(), verdict, found: finding.found, remedy: finding.remedy }
}

/// The command line has it already; one place decides what goes in.
async fn bundle(inner: &Inner, path: &std::path::Path) -> Result<(), AppError> {
    const TITLE: &str = "The support file could not be made";
    // The command refuses to write over a file; whoever chose one in a dialog was asked.
    let saving = Saving::over(path.to_owned());
    let mut command = tokio::process::Command::new(daemon::program());
    command.args(["--profile", &inner.dirs.profile, "support", "--output"]).arg(saving.part()).kill_on_drop(true);
    crate::local::windowless(command.as_std_mut());
    let output = command.output().await.map_err(|err| AppError::failed(TITLE, err.to_string()))?;
    if output.status.success() {
        return saving.finish().map(drop).map_err(|err| saving::failed(TITLE, path, &err));
    }
    let said: String = String::from_utf8_lossy(&output.stderr).chars().take(1000).collect();
    Err(AppError::failed(TITLE, said))
}

async fn usage(inner: &Inner) -> Result<Usage, AppError> {
    let docker = inner.engine()?;
    let (memory, disk) = tokio::join!(memory(inner, &docker), disk(&docker));
    Ok(Usage { memory, disk: disk.map_err(|err| app_error("What is on the disk could not be read", err))? })
}

async fn memory(inner: &Inner, docker: &Docker) -> Vec<UsageItem> {
    let known = inner.world.snapshot().containers;
    let running = known.into_iter().filter(|row| row.state == ContainerState::Running);
    let items = stream::iter(running).map(|row| async move {
        let options = StatsOptionsBuilder::default().stream(false).one_shot(true).build();
        let sample = docker.stats(&row.id, Some(options)).boxed().next().await?.ok()?;
        let memory = sample.memory_stats?;
        // As `docker stats`: cache that can go at once is not counted. Source: docker/cli, calculateMemUsageUnixNoCache.
        let cache =
            memory.stats.and_then(|stats| stats.get("inactive_file").or(stats.get("total_inactive_file")).copied());
        let bytes = memory.usage?.saturating_sub(cache.unwrap_or_default());
        Some(UsageItem { kind: UsageKind::Container, id: row.id, name: row.name, bytes })
    });
    items.buffer_unordered(AT_ONCE).filter_map(|item| async { item }).collect().await
}

async fn disk(docker: &Docker) -> Result<Vec<UsageItem>, bollard::errors::Error> {
    let found = docker.df(None::<DataUsageOptions>).await?;
    let size = |bytes: i64| u64::try_from(bytes).unwrap_or_default();
    let mut items = Vec::new();
    let mut own = 0;
    for image in found.images.unwrap_or_default() {
        let bytes = size(image.size).saturating_sub(size(image.shared_size));
        own += bytes;
        let name = image.repo_tags.into_iter().find(|tag| !tag.starts_with("<none>")).unwrap_or_default();
        items.push(UsageItem { kind: UsageKind::Image, id: image.id, name, bytes });
    }
    let shared = size(found.layers_size.unwrap_or_default()).saturating_sub(own);
    items.push(UsageItem { kind: UsageKind::Image, id: String::new(), name: String::new(), bytes: shared });
    for container in found.containers.unwrap_or_default() {
        let name = container.names.unwrap_or_default().into_iter().next().unwrap_or_default();
        let bytes = size(container.size_rw.unwrap_or_default());
        let (id, name) = (container.id.unwrap_or_default(), name.trim_start_matches('/').to_owned());
        items.push(UsageItem { kind: UsageKind::Container, id, name, bytes });
    }
    for volume in found.volumes.unwrap_or_default() {
        let bytes = volume.usage_data.map_or(0, |usage| size(usage.size));
        items.push(UsageItem { kind: UsageKind::Volume, id: volume.name.clone(), name: volume.name, bytes });
    }
    let cache: HashMap<String, i64> =
        found.build_cache.unwrap_or_default().into_iter().filter_map(|entry| Some((entry.id?, entry.size?))).collect();
    let bytes = cache.values().map(|bytes| size(*bytes)).sum();
    items.push(UsageItem { kind: UsageKind::BuildCache, id: String::new(), name: String::new(), bytes });
    items.retain(|item| item.bytes > 0);
    Ok(items)
}
