//! Which folders of the host running containers have: what they bind.
//!
//! Why at all: a home directory is shared as a whole, and watching all of it (and touching what changes there) would cost
//! battery and, on macOS, ask the user about folders that no container has.

use std::io;

use cubby_wire::ports;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::sync::watch;

use crate::engine::endpoint::ask;
use crate::link::Link;

/// `{"type":["container"],"event":["start","die"]}`
const EVENTS: &str =
    "/events?filters=%7B%22type%22%3A%5B%22container%22%5D%2C%22event%22%3A%5B%22start%22%2C%22die%22%5D%7D";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Container {
    #[serde(default)]
    mounts: Vec<Mount>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Mount {
    #[serde(rename = "Type")]
    kind: String,
    source: String,
}

/// Keeps `tell` right until the engine's events end.
pub async fn follow(link: &Link, tell: &watch::Sender<Vec<String>>) -> io::Result<()> {
    // First, so that no start is missed between the list and them.
    let mut events = events(link).await?;
    loop {
        let now = list(link).await?;
        tell.send_if_modified(|before| {
            let other = *before != now;
            *before = now;
            other
        });
        match events.frame().await {
            None => return Ok(()),
            Some(event) => _ = event.map_err(io::Error::other)?,
        }
    }
}

async fn events(link: &Link) -> io::Result<Incoming> {
    let stream = link.dial(ports::DOCKER_API).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    tokio::spawn(connection);
    let request = hyper::Request::get(EVENTS).header("host", "engine").body(Empty::<Bytes>::new());
    let answer = sender.send_request(request.map_err(io::Error::other)?).await.map_err(io::Error::other)?;
    match answer.status().is_success() {
        true => Ok(answer.into_body()),
        false => Err(io::Error::other(format!("the engine's events: {}", answer.status()))),
    }
}

/// The guest's paths, sorted.
async fn list(link: &Link) -> io::Result<Vec<String>> {
    let stream = link.dial(ports::DOCKER_API).await?;
    let asked = ask(Box::new(stream), "GET", "/containers/json", String::new()).await;
    let (status, body) = asked.map_err(|err| io::Error::other(err.title))?;
    if status != 200 {
        return Err(io::Error::other(format!("the engine's containers: {status}")));
    }
    let containers: Vec<Container> = serde_json::from_str(&body)?;
    let mounts = containers.into_iter().flat_map(|container| container.mounts);
    let mut sources: Vec<String> =
        mounts.filter(|mount| mount.kind == "bind").map(|mount| mount.source).filter(|path| !path.is_empty()).collect();
    sources.sort();
    sources.dedup();
    Ok(sources)
}
