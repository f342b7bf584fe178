//! The live model of containers and images: one list, then the event stream.
//!
//! ```text
//!  events(since a moment ago) ─┬─▶ dirty set ──after a pause of silence or 50 ms──▶ inspect what is dirty ──▶ Sink
//!  list of everything ─────────┘                                                         stream ends: start anew
//! ```
//!
//! An event never changes a row by itself, it only says which row to read again; so events that are lost, doubled or out of
//! order cannot make the model wrong for longer than one look. What only events tell is who stopped a container.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{EventMessage, EventMessageTypeEnum as Type};
use bollard::query_parameters::{
    EventsOptionsBuilder, InspectContainerOptions, ListContainersOptionsBuilder, ListImagesOptionsBuilder,
};
use futures_util::{StreamExt, stream};
use tokio::time::{Instant, timeout_at};

use super::convert::{self, ImageDetails, Known};
use super::stores;
use crate::schema::{Container, Image, Network, Volume};

/// Requests at once.
const AT_ONCE: usize = 8;
/// Events that come closer together than `QUIET` are answered together, after `LATEST` at the latest.
const QUIET: Duration = Duration::from_millis(15);
const LATEST: Duration = Duration::from_millis(50);

/// Where the model goes.
pub trait Sink: Send + Sync {
    fn containers(&self, all: Vec<Container>);
    fn container(&self, row: Container);
    fn container_removed(&self, id: &str);
    fn images(&self, all: Vec<Image>);
    fn volumes(&self, all: Vec<Volume>);
    fn networks(&self, all: Vec<Network>);
    /// Ids of the containers made from each image, as far as known.
    fn users_of_images(&self) -> HashMap<String, Vec<String>>;
    /// When the machine was powered on.
    fn booted_unix_ms(&self) -> Option<u64>;
}

#[derive(Default)]
struct Dirty {
    containers: BTreeSet<String>,
    removed: BTreeSet<String>,
    images: bool,
    volumes: bool,
    networks: bool,
}

/// Follows one connection until it ends; the caller starts anew.
pub async fn follow(docker: &Docker, sink: &impl Sink) -> Result<(), Error> {
    // Overlapping the list by a moment: what happens between the two requests must not be missed.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |at| at.as_secs()).saturating_sub(1);
    let options = EventsOptionsBuilder::default().since(&since.to_string()).build();
    let mut events = docker.events(Some(options)).boxed();
    let mut asked = HashSet::new();
    let mut details = HashMap::new();
    let mut early = Dirty::default();
    {
        // At the same time, so that the events' request is on its way before the list's answer is made.
        let nobody = HashSet::new();
        let mut listing = std::pin::pin!(async {
            everything(docker, sink, &nobody).await?;
            sink.volumes(stores::volumes(docker).await?);
            sink.networks(stores::networks(docker).await?);
            images(docker, sink, &mut details).await
        });
        loop {
            tokio::select! {
                listed = &mut listing => break listed?,
                Some(event) = events.next() => note(event?, &mut early, &mut asked),
            }
        }
    }
    update(docker, sink, early, &asked, &mut details).await?;
    while let Some(event) = events.next().await {
        let mut dirty = Dirty::default();
        note(event?, &mut dirty, &mut asked);
        let latest = Instant::now() + LATEST;
        while let Ok(Some(event)) = timeout_at(latest.min(Instant::now() + QUIET), events.next()).await {
            note(event?, &mut dirty, &mut asked);
        }
        update(docker, sink, dirty, &asked, &mut details).await?;
    }
    Ok(())
}

fn note(event: EventMessage, dirty: &mut Dirty, asked: &mut HashSet<String>) {
    let action = event.action.unwrap_or_default();
    let id = event.actor.and_then(|actor| actor.id).unwrap_or_default();
    match event.typ {
        Some(Type::CONTAINER) => {
            // `exec_create: sh` and the like change nothing that is shown.
            let verb = action.split(':').next().unwrap_or_default();
            match verb {
                "attach" | "detach" | "resize" | "top" | "archive-path" | "extract-to-dir" | "export" | "copy" => {
                    return;
                }
                verb if verb.starts_with("exec_") => return,
                "kill" | "stop" => {
                    asked.insert(id.clone());
                }
                "start" | "create" => {
                    asked.remove(&id);
                }
                "destroy" => {
                    asked.remove(&id);
                    dirty.containers.remove(&id);
                    dirty.images = true;
                    dirty.removed.insert(id);
                    return;
                }
                _ => {}
            }
            dirty.images |= verb == "create";
            dirty.networks |= matches!(verb, "start" | "die" | "rename");
            dirty.containers.insert(id);
        }
        Some(Type::IMAGE) => dirty.images = true,
        // Who mounts one is in the containers' rows.
        Some(Type::VOLUME) => dirty.volumes |= matches!(action.as_str(), "create" | "destroy" | "prune"),
        Some(Type::NETWORK) => dirty.networks = true,
        _ => {}
    }
}

async fn update(
    docker: &Docker,
    sink: &impl Sink,
    dirty: Dirty,
    asked: &HashSet<String>,
    details: &mut Details,
) -> Result<(), Error> {
    for id in &dirty.removed {
        sink.container_removed(id);
    }
    for (id, row) in inspect(docker, sink, dirty.containers.into_iter().collect(), asked).await? {
        match row {
            Some(row) => sink.container(row),
            None => sink.container_removed(&id),
        }
    }
    if dirty.volumes {
        sink.volumes(stores::volumes(docker).await?);
    }
    if dirty.networks {
        sink.networks(stores::networks(docker).await?);
    }
    if dirty.images { images(docker, sink, details).await } else { Ok(()) }
}

async fn everything(docker: &Docker, sink: &impl Sink, asked: &HashSet<String>) -> Result<(), Error> {
    let options = ListContainersOptionsBuilder::default().all(true).build();
    let listed = docker.list_containers(Some(options)).await?;
    let ids = listed.into_iter().filter_map(|row| row.id).collect();
    let rows = inspect(docker, sink, ids, asked).await?;
    sink.containers(rows.into_iter().filter_map(|(_, row)| row).collect());
    Ok(())
}

/// Rows in the order of `ids`; `None` for those that are gone.
async fn inspect(
    docker: &Docker,
    sink: &impl Sink,
    ids: Vec<String>,
    asked: &HashSet<String>,
) -> Result<Vec<(String, Option<Container>)>, Error> {
    let booted_unix_ms = sink.booted_unix_ms();
    let inspected = stream::iter(ids).map(|id| async move {
        match docker.inspect_container(&id, None::<InspectContainerOptions>).await {
            Ok(found) => {
                let known = Known { asked: asked.contains(&id), booted_unix_ms };
                let row = convert::container(found, known);
                Ok((id, Some(row)))
            }
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok((id, None)),
            Err(err) => Err(err),
        }
    });
    inspected.buffered(AT_ONCE).collect::<Vec<_>>().await.into_iter().collect()
}

/// What inspecting an image told; an image's id is its content, so that it never changes.
type Details = HashMap<String, ImageDetails>;

async fn images(docker: &Docker, sink: &impl Sink, details: &mut Details) -> Result<(), Error> {
    let listed = docker.list_images(Some(ListImagesOptionsBuilder::default().shared_size(true).build())).await?;
    let present: HashSet<_> = listed.iter().map(|image| image.id.clone()).collect();
    details.retain(|id, _| present.contains(id));
    for image in &listed {
        if details.contains_key(&image.id) {
            continue;
        }
        match docker.inspect_image(&image.id).await {
            Ok(found) => {
                details.insert(image.id.clone(), ImageDetails::of(found));
            }
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => {}
            Err(err) => return Err(err),
        }
    }
    let mut users = sink.users_of_images();
    let row = |image: bollard::models::ImageSummary| {
        let known = details.get(&image.id).cloned().unwrap_or_default();
        let used_by = users.remove(&image.id).unwrap_or_default();
        convert::image(image, known, used_by)
    };
    sink.images(listed.into_iter().map(row).collect());
    Ok(())
}
