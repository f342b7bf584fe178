//! Create and start; the demo container.

use std::path::Path;

use bollard::Docker;
use bollard::errors::Error;
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, CreateImageOptionsBuilder, ImportImageOptionsBuilder, InspectContainerOptions,
    RemoveContainerOptionsBuilder, StartContainerOptions,
};
use futures_util::StreamExt;

use super::body::body;
use super::errors::{app_error, is_port_taken};
use crate::schema::{AppError, ContainerRef, PortRequest, Protocol, RunContainer};

/// The bundled demo image's name.
pub const DEMO_IMAGE: &str = "cubby/demo:latest";
pub const DEMO_CONTAINER: &str = "hello";
/// Where the demo's server listens in its container.
const DEMO_PORT: u16 = 8080;

/// Creates and starts. A container that cannot be started is removed again: nothing half-made stays.
pub async fn run(docker: &Docker, wanted: &RunContainer) -> Result<ContainerRef, AppError> {
    let title = format!("{} could not be started", wanted.name.as_deref().unwrap_or(&wanted.image));
    let options = CreateContainerOptionsBuilder::default();
    let options = match &wanted.name {
        Some(name) => options.name(name),
        None => options,
    };
    let options = match &wanted.platform {
        Some(platform) => options.platform(platform).build(),
        None => options.build(),
    };
    let mut created = docker.create_container(Some(options.clone()), body(wanted)).await;
    if matches!(&created, Err(Error::DockerResponseServerError { status_code: 404, message }) if message.contains("No such image"))
    {
        fetch(docker, wanted).await.map_err(|err| app_error(&format!("{} could not be fetched", wanted.image), err))?;
        created = docker.create_container(Some(options), body(wanted)).await;
    }
    let created = created.map_err(|err| app_error(&title, err))?;
    if let Err(err) = docker.start_container(&created.id, None::<StartContainerOptions>).await {
        remove(docker, &created.id).await;
        return Err(app_error(&title, err));
    }
    let name = match &wanted.name {
        Some(name) => name.clone(),
        None => name_of(docker, &created.id).await.map_err(|err| app_error(&title, err))?,
    };
    Ok(ContainerRef { id: created.id, name })
}

/// As `docker run` does when the image is not here.
async fn fetch(docker: &Docker, wanted: &RunContainer) -> Result<(), Error> {
    let last = wanted.image.rsplit('/').next().unwrap_or_default();
    let named = last.contains(':') || last.contains('@');
    let options = CreateImageOptionsBuilder::default().from_image(&wanted.image);
    // Why: without a tag every tag of the repository would come.
    let options = if named { options } else { options.tag("latest") };
    let options = match &wanted.platform {
        Some(platform) => options.platform(platform),
        None => options,
    };
    let mut progress = std::pin::pin!(docker.create_image(Some(options.build()), None, None));
    while let Some(step) = progress.next().await {
        step?;
    }
    Ok(())
}

async fn name_of(docker: &Docker, id: &str) -> Result<String, Error> {
    let found = docker.inspect_container(id, None::<InspectContainerOptions>).await?;
    Ok(found.name.unwrap_or_default().trim_start_matches('/').to_owned())
}

async fn remove(docker: &Docker, id: &str) {
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    if let Err(err) = docker.remove_container(id, Some(options)).await {
        tracing::warn!(%err, container_id = %id, "a container that did not start could not be removed");
    }
}

/// The demo container, running: loads its image from `archive` when it is absent, takes `port` or a free one.
pub async fn demo(docker: &Docker, archive: Option<&Path>, port: u16) -> Result<ContainerRef, AppError> {
    const TITLE: &str = "The demo could not be started";
    let failed = |err| app_error(TITLE, err);
    if is_absent(docker.inspect_image(DEMO_IMAGE).await.map(drop)).map_err(failed)? {
        let archive = archive.ok_or_else(|| AppError::failed(TITLE, "its image is not part of this installation"))?;
        load(docker, archive).await?;
    }
    match docker.inspect_container(DEMO_CONTAINER, None::<InspectContainerOptions>).await {
        Ok(found) => {
            let id = found.id.unwrap_or_default();
            let runs = found.state.and_then(|state| state.running) == Some(true);
            match if runs { Ok(()) } else { docker.start_container(&id, None::<StartContainerOptions>).await } {
                Ok(()) => return Ok(ContainerRef { id, name: DEMO_CONTAINER.into() }),
                // Its port went to somebody else meanwhile; it holds nothing that is worth keeping.
                Err(Error::DockerResponseServerError { message, .. }) if is_port_taken(&message) => {
                    remove(docker, &id).await
                }
                Err(err) => return Err(failed(err)),
            }
        }
        Err(Error::DockerResponseServerError { status_code: 404, .. }) => {}
        Err(err) => return Err(failed(err)),
    }
    let wanted = |host_port| RunContainer {
        image: DEMO_IMAGE.into(),
        name: Some(DEMO_CONTAINER.into()),
        ports: vec![PortRequest { container_port: DEMO_PORT, protocol: Protocol::Tcp, host_port, host_ip: None }],
        ..RunContainer::default()
    };
    match run(docker, &wanted(Some(port))).await {
        Err(err) if is_port_taken(&err.detail) => run(docker, &wanted(None)).await,
        done => done,
    }
}

fn is_absent(inspected: Result<(), Error>) -> Result<bool, Error> {
    match inspected {
        Ok(()) => Ok(false),
        Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(true),
        Err(err) => Err(err),
    }
}

/// Loads an image archive, as `docker load` does.
pub async fn load(docker: &Docker, archive: &Path) -> Result<(), AppError> {
    let title = "The image could not be loaded";
    let file = tokio::fs::File::open(archive).await;
    let file = file.map_err(|err| AppError::failed(title, format!("{}: {err}", archive.display())))?;
    let body = bollard::body_try_stream(tokio_util::io::ReaderStream::with_capacity(file, 256 * 1024));
    let mut progress =
        std::pin::pin!(docker.import_image(ImportImageOptionsBuilder::default().quiet(true).build(), body, None));
    while let Some(step) = progress.next().await {
        step.map_err(|err| app_error(title, err))?;
    }
    Ok(())
}
