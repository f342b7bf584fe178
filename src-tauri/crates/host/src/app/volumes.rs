//! What the data page asks for.
//!
//! Docker shows a volume's files only through a container that mounts it. Where there is none, one is created for the moment
//! (never started) and removed again; its name keeps it out of every list here.

use std::collections::HashMap;
use std::sync::Arc;

use bollard::Docker;
use bollard::models::{ContainerCreateBody, HostConfig, VolumeCreateOptions};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, DataUsageOptions, PruneVolumesOptionsBuilder, RemoveContainerOptionsBuilder,
    RemoveVolumeOptions,
};

use super::Inner;
use crate::engine::errors::app_error;
use crate::engine::{bin, files, stores};
use crate::schema::{AppError, FileChange, MountKind, PruneItem, PrunePreview, VolumeCommand, VolumeReply, VolumeSize};

pub(super) async fn call(inner: &Arc<Inner>, command: VolumeCommand) -> Result<VolumeReply, AppError> {
    let docker = inner.engine()?;
    match command {
        VolumeCommand::Create { name, labels } => {
            let wanted = VolumeCreateOptions {
                name: Some(name.trim().to_owned()).filter(|name| !name.is_empty()),
                labels: Some(labels.into_iter().collect()),
                ..VolumeCreateOptions::default()
            };
            let made =
                docker.create_volume(wanted).await.map_err(|err| app_error("The volume could not be made", err))?;
            Ok(VolumeReply::Volume { volume: stores::volume(made) })
        }
        VolumeCommand::Remove { name } => {
            let removed = docker.remove_volume(&name, None::<RemoveVolumeOptions>).await;
            removed.map(|()| VolumeReply::Done).map_err(|err| app_error("The volume could not be removed", err))
        }
        VolumeCommand::Bin { name } => {
            bin::volumes::put(&docker, &name).await?;
            super::bin::sweep_soon(inner);
            Ok(VolumeReply::Done)
        }
        VolumeCommand::Restore { name } => bin::volumes::take_out(&docker, &name).await.map(|()| VolumeReply::Done),
        VolumeCommand::EmptyBin => {
            let emptied = bin::volumes::sweep(&docker, true).await;
            emptied.map(|()| VolumeReply::Done).map_err(|err| app_error("The bin could not be emptied", err))
        }
        VolumeCommand::Sizes => Ok(VolumeReply::Sizes { sizes: sizes(&docker).await? }),
        VolumeCommand::PrunePreview { all } => preview(inner, &docker, all).await,
        VolumeCommand::Prune { all } => {
            // `all` is what takes named ones along, since API 1.42.
            let filters = if all { HashMap::from([("all", vec!["true"])]) } else { HashMap::new() };
            let options = PruneVolumesOptionsBuilder::default().filters(&filters).build();
            let pruned =
                docker.prune_volumes(Some(options)).await.map_err(|err| app_error("Nothing was removed", err))?;
            let bytes = pruned.space_reclaimed.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or_default();
            Ok(VolumeReply::Pruned { bytes })
        }
        VolumeCommand::Files { name, path } => {
            let window = Window::open(inner, &docker, &name).await?;
            let found = files::list(&docker, &inner.endpoint(), &window.container, &window.inside(&path)).await;
            window.close(&docker).await;
            let mut listing = found?;
            listing.path = files::clean(&path);
            // Changes belong to the container that happened to be at hand.
            listing.changes_total = 0;
            listing.entries.retain(|entry| entry.change != Some(FileChange::Deleted));
            listing.entries.iter_mut().for_each(|entry| entry.change = None);
            Ok(VolumeReply::Files { listing })
        }
        VolumeCommand::Read { name, path } => {
            let window = Window::open(inner, &docker, &name).await?;
            let read = files::content::read(&docker, &window.container, &window.inside(&path)).await;
            window.close(&docker).await;
            read.map(|file| VolumeReply::File { file })
        }
        VolumeCommand::Save { name, path, to } => {
            let window = Window::open(inner, &docker, &name).await?;
            let to = super::downloads::place(&inner.dirs, to);
            let saved = files::content::save(&docker, &window.container, &window.inside(&path), to).await;
            window.close(&docker).await;
            saved.map(|place| VolumeReply::Saved { place: place.display().to_string() })
        }
    }
}

/// Names of containers that exist only to look into a volume.
pub(super) const WINDOW_PREFIX: &str = "cubby-look.";

/// A container that mounts the volume.
struct Window {
    container: String,
    /// Where the volume is in it.
    target: String,
    ours: bool,
}

impl Window {
    async fn open(inner: &Inner, docker: &Docker, volume: &str) -> Result<Self, AppError> {
        const TITLE: &str = "The volume could not be opened";
        let known = inner.world.snapshot();
        for container in &known.containers {
            // What another mount covers would be shown in its place.
            let nested = |target: &str| {
                let below = format!("{}/", target.trim_end_matches('/'));
                container.mounts.iter().any(|mount| mount.target.starts_with(&below))
            };
            let mut mounts = container.mounts.iter();
            let mount = mounts
                .find(|mount| mount.kind == MountKind::Volume && mount.source == volume && !nested(&mount.target));
            if let Some(mount) = mount {
                return Ok(Self { container: container.id.clone(), target: mount.target.clone(), ours: false });
            }
        }
        let image = known.images.iter().min_by_key(|image| image.size_bytes).ok_or_else(|| {
            AppError::failed(
                TITLE,
                "Docker shows files only through a container, and there is no image to make one of yet",
            )
        })?;
        let name = format!("{WINDOW_PREFIX}{:08x}", fastrand::u32(..));
        let target = "/cubby-look".to_owned();
        let body = ContainerCreateBody {
            image: Some(image.id.clone()),
            entrypoint: Some(vec!["/cubby-look".to_owned()]),
            network_disabled: Some(true),
            host_config: Some(HostConfig {
                binds: Some(vec![format!("{volume}:{target}:ro,nocopy")]),
                network_mode: Some("none".to_owned()),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        let made = docker.create_container(Some(options), body).await.map_err(|err| app_error(TITLE, err))?;
        Ok(Self { container: made.id, target, ours: true })
    }

    fn inside(&self, path: &str) -> String {
        // Cleaned before it is joined: `..` must not lead out of the volume.
        format!("{}{}", self.target.trim_end_matches('/'), files::clean(path))
    }

    async fn close(self, docker: &Docker) {
        if self.ours {
            let options = RemoveContainerOptionsBuilder::default().force(true).build();
            if let Err(err) = docker.remove_container(&self.container, Some(options)).await {
                tracing::warn!(%err, container_id = %self.container, "the container for looking into a volume is left behind");
            }
        }
    }
}

async fn sizes(docker: &Docker) -> Result<Vec<VolumeSize>, AppError> {
    // Everything at once: the client library cannot send a list of kinds.
    let usage =
        docker.df(None::<DataUsageOptions>).await.map_err(|err| app_error("The sizes could not be read", err))?;
    let row = |volume: bollard::models::Volume| VolumeSize {
        name: volume.name,
        // -1: not known.
        bytes: volume.usage_data.and_then(|usage| u64::try_from(usage.size).ok()),
    };
    Ok(usage.volumes.unwrap_or_default().into_iter().map(row).collect())
}

async fn preview(inner: &Inner, docker: &Docker, all: bool) -> Result<VolumeReply, AppError> {
    let sizes: HashMap<_, _> = sizes(docker).await?.into_iter().map(|size| (size.name, size.bytes)).collect();
    let known = inner.world.snapshot();
    let used = |name: &str| {
        let mut mounts = known.containers.iter().flat_map(|container| &container.mounts);
        mounts.any(|mount| mount.kind == MountKind::Volume && mount.source == name)
    };
    let goes = known.volumes.iter().filter(|volume| (all || volume.anonymous) && !used(&volume.name));
    let items: Vec<_> = goes
        .map(|volume| PruneItem {
            id: volume.name.clone(),
            name: volume.name.clone(),
            bytes: sizes.get(&volume.name).copied().flatten(),
        })
        .collect();
    let preview = PrunePreview { bytes: items.iter().filter_map(|item| item.bytes).sum(), items };
    Ok(VolumeReply::PrunePreview { preview })
}
