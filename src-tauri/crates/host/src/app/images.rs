//! What the images page and the library ask for.

use std::collections::HashSet;
use std::sync::Arc;

use bollard::Docker;
use bollard::query_parameters::{
    CreateImageOptionsBuilder, ImportImageOptionsBuilder, PruneImagesOptionsBuilder, PushImageOptionsBuilder,
    RemoveImageOptionsBuilder, SearchImagesOptionsBuilder, TagImageOptionsBuilder,
};
use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;

use super::jobs::{self, Progress};
use super::{Inner, registries, transfer};
use crate::engine::errors::app_error;
use crate::engine::{bin, layers, reference};
use crate::saving::{self, Saving};
use crate::schema::{
    AppError, FileSource, ImageCommand, ImageFound, ImageRemoved, ImageReply, JobKind, PruneItem, PrunePreview,
    StepState,
};

const SEARCH_LIMIT: i32 = 50;
const READ_BYTES: usize = 256 * 1024;

pub(super) async fn call(inner: &Arc<Inner>, command: ImageCommand) -> Result<ImageReply, AppError> {
    let docker = inner.engine()?;
    match command {
        ImageCommand::Pull { name } => {
            let work = |progress| pull(docker, name.trim().to_owned(), progress);
            Ok(ImageReply::Job { id: jobs::begin(inner, JobKind::Pull, name.trim(), work) })
        }
        ImageCommand::Push { name } => {
            let work = |progress| push(docker, name.clone(), progress);
            Ok(ImageReply::Job { id: jobs::begin(inner, JobKind::Push, &name, work) })
        }
        ImageCommand::Tag { id, name } => {
            let (repository, tag) = reference::split(name.trim());
            let options = TagImageOptionsBuilder::default().repo(repository).tag(tag).build();
            let done = docker.tag_image(&id, Some(options)).await;
            done.map(|()| ImageReply::Done).map_err(|err| app_error("The name could not be given", err))
        }
        ImageCommand::Untag { name } => untag(&docker, &name).await,
        ImageCommand::Bin { id } => {
            bin::images::put(&docker, &id).await?;
            super::bin::sweep_soon(inner);
            Ok(ImageReply::Done)
        }
        ImageCommand::Restore { id } => bin::images::take_out(&docker, &id).await.map(|()| ImageReply::Done),
        ImageCommand::EmptyBin => {
            let emptied = bin::images::sweep(&docker, true).await;
            emptied.map(|()| ImageReply::Done).map_err(|err| app_error("The bin could not be emptied", err))
        }
        ImageCommand::PrunePreview { all } => {
            Ok(ImageReply::PrunePreview { preview: prune_preview(&inner.world.snapshot().images, all) })
        }
        ImageCommand::Prune { all } => prune(&docker, all).await,
        ImageCommand::Save { names, to } => {
            let subject = names.join(", ");
            let path = transfer::target(&inner.dirs, &to)?;
            let bytes: u64 = inner
                .world
                .snapshot()
                .images
                .iter()
                .filter(|image| names.iter().any(|name| image.tags.contains(name) || image.id == *name))
                .map(|image| image.size_bytes)
                .sum();
            let work = |progress| save(docker, names, path, bytes, progress);
            Ok(ImageReply::Job { id: jobs::begin(inner, JobKind::Save, &subject, work) })
        }
        ImageCommand::Load { from } => load(inner, docker, &from),
        ImageCommand::Layers { id } => {
            let layers = layers::of(&docker, &inner.endpoint(), &id).await;
            Ok(ImageReply::Layers { layers: layers.map_err(|err| app_error("Its layers could not be read", err))? })
        }
        ImageCommand::Search { term } => search(&docker, &term).await,
    }
}

async fn pull(docker: Docker, name: String, progress: Arc<Progress>) -> Result<String, AppError> {
    let title = format!("{name} could not be fetched");
    let (repository, tag) = reference::split(&name);
    let credentials = registries::credentials(&reference::registry(repository)).await;
    let options = CreateImageOptionsBuilder::default().from_image(repository).tag(tag).build();
    let mut steps = std::pin::pin!(docker.create_image(Some(options), None, credentials));
    let mut last = String::new();
    while let Some(step) = steps.next().await {
        let step = step.map_err(|err| app_error(&title, err))?;
        if let Some(error) = step.error.or(step.error_detail.and_then(|detail| detail.message)) {
            return Err(AppError::failed(title, error));
        }
        let status = step.status.unwrap_or_default();
        let detail = step.progress_detail.unwrap_or_default();
        note(&progress, step.id, &status, detail.current, detail.total);
        last = status;
    }
    Ok(last)
}

async fn push(docker: Docker, name: String, progress: Arc<Progress>) -> Result<String, AppError> {
    let title = format!("{name} could not be sent");
    let (repository, tag) = reference::split(&name);
    let credentials = registries::credentials(&reference::registry(repository)).await;
    let options = PushImageOptionsBuilder::default().tag(tag).build();
    let mut steps = std::pin::pin!(docker.push_image(repository, Some(options), Some(credentials.unwrap_or_default())));
    let mut last = String::new();
    while let Some(step) = steps.next().await {
        let step = step.map_err(|err| app_error(&title, err))?;
        if let Some(error) = step.error.or(step.error_detail.and_then(|detail| detail.message)) {
            return Err(AppError::failed(title, error));
        }
        let (status, detail) = (step.status.unwrap_or_default(), step.progress_detail.unwrap_or_default());
        // bollard drops the layer's id here; what is sent counts as one.
        note(&progress, None, &status, detail.current, detail.total);
        last = if status.is_empty() { last } else { status };
    }
    Ok(last)
}

/// Source: the words of moby's progress messages, which the engine keeps to.
fn note(progress: &Progress, id: Option<String>, status: &str, current: Option<i64>, total: Option<i64>) {
    let state = match status {
        "Pulling fs layer" | "Waiting" | "Preparing" => StepState::Waiting,
        "Downloading" | "Pushing" => StepState::Transferring,
        "Verifying Checksum" | "Download complete" => StepState::Transferred,
        "Extracting" => StepState::Unpacking,
        "Pull complete" | "Pushed" => StepState::Done,
        "Already exists" | "Layer already exists" => StepState::Present,
        _ => {
            progress.update(|job| status.clone_into(&mut job.message));
            return;
        }
    };
    let known = |bytes: Option<i64>| bytes.and_then(|bytes| u64::try_from(bytes).ok()).filter(|bytes| *bytes > 0);
    let bytes = known(current).map(|current| (current, known(total)));
    match id {
        Some(id) => progress.step(&id, state, bytes),
        None => progress.update(|job| {
            if let Some((current, total)) = bytes {
                (job.current_bytes, job.total_bytes) = (current, total);
            }
            status.clone_into(&mut job.message);
        }),
    }
}

async fn untag(docker: &Docker, name: &str) -> Result<ImageReply, AppError> {
    let removed = docker.remove_image(name, Some(RemoveImageOptionsBuilder::default().build()), None).await;
    let removed = removed.map_err(|err| app_error("The name could not be taken away", err))?;
    let (untagged, deleted): (Vec<_>, Vec<_>) = removed.into_iter().map(|item| (item.untagged, item.deleted)).unzip();
    let (untagged, deleted) = (untagged.into_iter().flatten().collect(), deleted.into_iter().flatten().collect());
    Ok(ImageReply::Removed { removed: ImageRemoved { untagged, deleted } })
}

/// What no container uses. Only what an image has for itself is sure to come back.
fn prune_preview(images: &[crate::schema::Image], all: bool) -> PrunePreview {
    let goes = images.iter().filter(|image| image.used_by.is_empty() && (all || image.tags.is_empty()));
    let items: Vec<_> = goes
        .map(|image| PruneItem {
            id: image.id.clone(),
            name: image.tags.first().cloned().unwrap_or_default(),
            bytes: Some(image.size_bytes.saturating_sub(image.shared_bytes.unwrap_or_default())),
        })
        .collect();
    PrunePreview { bytes: items.iter().filter_map(|item| item.bytes).sum(), items }
}

async fn prune(docker: &Docker, all: bool) -> Result<ImageReply, AppError> {
    let filters = std::collections::HashMap::from([("dangling", vec![if all { "false" } else { "true" }])]);
    let options = PruneImagesOptionsBuilder::default().filters(&filters).build();
    let pruned = docker.prune_images(Some(options)).await.map_err(|err| app_error("Nothing was removed", err))?;
    Ok(ImageReply::Pruned {
        bytes: pruned.space_reclaimed.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or_default(),
    })
}

async fn save(
    docker: Docker,
    names: Vec<String>,
    path: std::path::PathBuf,
    bytes: u64,
    progress: Arc<Progress>,
) -> Result<String, AppError> {
    const TITLE: &str = "The image could not be saved";
    let saving = Saving::over(path);
    let place = saving.place().to_owned();
    let failed = |err: std::io::Error| saving::failed(TITLE, &place, &err);
    let mut file = tokio::fs::File::create(saving.part()).await.map_err(failed)?;
    let unique: HashSet<&str> = names.iter().map(String::as_str).collect();
    let unique: Vec<&str> = unique.into_iter().collect();
    let mut parts = std::pin::pin!(docker.export_images(&unique));
    while let Some(part) = parts.next().await {
        let part = part.map_err(|err| app_error(TITLE, err))?;
        file.write_all(&part).await.map_err(failed)?;
        progress.update(|job| {
            job.current_bytes += part.len() as u64;
            job.total_bytes = Some(bytes.max(job.current_bytes));
        });
    }
    file.sync_all().await.map_err(failed)?;
    Ok(saving.finish().map_err(failed)?.display().to_string())
}

/// What a browser sent, removed once it was read.
struct Sent(std::path::PathBuf);

impl Drop for Sent {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn load(inner: &Arc<Inner>, docker: Docker, from: &FileSource) -> Result<ImageReply, AppError> {
    let (path, ours) = inner.source(from)?;
    let subject = match from {
        FileSource::Path { .. } => path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        FileSource::Upload { .. } => String::new(),
    };
    let work = |progress: Arc<Progress>| async move {
        const TITLE: &str = "The image could not be loaded";
        let _ours = ours.then(|| Sent(path.clone()));
        let failed = |err: std::io::Error| saving::failed(TITLE, &path, &err);
        let file = tokio::fs::File::open(&path).await.map_err(failed)?;
        let total = file.metadata().await.map_err(failed)?.len();
        let told = progress.clone();
        let bytes = tokio_util::io::ReaderStream::with_capacity(file, READ_BYTES).inspect(move |part| {
            let read = part.as_ref().map_or(0, |part| part.len() as u64);
            told.update(|job| {
                job.current_bytes += read;
                job.total_bytes = Some(total);
            });
        });
        let options = ImportImageOptionsBuilder::default().build();
        let mut steps = std::pin::pin!(docker.import_image(options, bollard::body_try_stream(bytes), None));
        let mut loaded = Vec::new();
        while let Some(step) = steps.next().await {
            let step = step.map_err(|err| app_error(TITLE, err))?;
            if let Some(error) = step.error {
                return Err(AppError::failed(TITLE, error));
            }
            loaded.extend(
                step.stream
                    .as_deref()
                    .and_then(|text| text.strip_prefix("Loaded image: "))
                    .map(|name| name.trim().to_owned()),
            );
        }
        Ok(loaded.join(", "))
    };
    Ok(ImageReply::Job { id: jobs::begin(inner, JobKind::Load, &subject, work) })
}

async fn search(docker: &Docker, term: &str) -> Result<ImageReply, AppError> {
    let options = SearchImagesOptionsBuilder::default().term(term.trim()).limit(SEARCH_LIMIT).build();
    let found =
        docker.search_images(options).await.map_err(|err| app_error("The library could not be searched", err))?;
    let row = |item: bollard::models::ImageSearchResponseItem| ImageFound {
        name: item.name.unwrap_or_default(),
        description: item.description.unwrap_or_default(),
        official: item.is_official.unwrap_or_default(),
        stars: item.star_count.and_then(|stars| u64::try_from(stars).ok()).unwrap_or_default(),
    };
    Ok(ImageReply::Found { found: found.into_iter().map(row).collect() })
}
