//! `POST /build` and what belongs to it. Source: API 1.50 `ImageBuild`, `BuildPrune`, `BuildCancel`.

mod options;

use std::{convert::Infallible, sync::Arc};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use cubby_engine::{
    Engine, Error,
    build::{Build, CommandFailed, Output},
    images::Message,
};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::{sync::mpsc, task};
use tokio_stream::wrappers::ReceiverStream;

use crate::{client::Client, error::ApiError, extract::Query, images::stream, version::ApiVersion};

/// What build caches can be chosen by. Source: moby `builder-next`'s `Prune`.
const PRUNE_FILTERS: [&str; 11] =
    ["id", "parent", "type", "description", "inuse", "shared", "private", "until", "unused-for", "label", "label!"];

/// Sizes up to which build caches are kept.
const PRUNE_SIZES: [&str; 4] = ["reserved-space", "keep-storage", "max-used-space", "min-free-space"];

/// Messages on their way to the client.
const QUEUE: usize = 64;

pub fn routes() -> Router<Arc<Engine>> {
    Router::new().route("/build", post(build)).route("/build/prune", post(prune)).route("/build/cancel", post(cancel))
}

/// A Dockerfile that makes no sense has a status of its own; what fails later is the stream's last message.
async fn build(
    State(engine): State<Arc<Engine>>,
    query: Query,
    headers: HeaderMap,
    client: Client,
    body: Body,
) -> Result<Response, ApiError> {
    let options = options::read(&query, &headers)?;
    let quiet = options.quiet;
    let archive = stream::body_reader(body);
    let build = stream::blocking(move || engine.prepare_build(archive, options)).await?;
    let (sender, messages) = mpsc::channel(QUEUE);
    task::spawn(carry_out(build, sender, quiet));
    let lines = ReceiverStream::new(messages).map(|message| Ok::<Bytes, Infallible>(stream::line(&message)));
    Ok(([(header::CONTENT_TYPE, "application/json")], client.body(lines)).into_response())
}

/// The build is dropped, and so cancelled, when its client goes.
async fn carry_out(build: Build, sender: mpsc::Sender<Message>, quiet: bool) {
    let out = Output::new(sender.clone(), quiet);
    let done = tokio::select! {
        done = build.run(&out) => done,
        () = sender.closed() => return tracing::info!("the client went; its build is cancelled"),
    };
    if let Err(error) = done {
        tracing::info!(err = %error, "build failed");
        let _ = sender.send(failure(&error)).await;
    }
}

/// A command's own exit code comes with the message.
fn failure(error: &Error) -> Message {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<CommandFailed>());
    let mut message = Message::error(error.message());
    if let Some(detail) = &mut message.error_detail {
        detail.code = cause.map(|failed| failed.code);
    }
    message
}

/// What a build remembers are images: `image prune` removes those. Wrong requests are refused all the same.
async fn prune(version: ApiVersion, query: Query) -> Result<Json<Value>, ApiError> {
    query.filters()?.allow(&PRUNE_FILTERS).map_err(|error| {
        ApiError::from(Error::new(error.kind(), format!("failed to prune build cache: {}", error.message())))
    })?;
    // Source: moby `postPrune`; the other sizes came with 1.48.
    let sizes: &[&str] = if version < ApiVersion(48) { &["keep-storage"] } else { &PRUNE_SIZES };
    for name in sizes {
        query.integer(name).map_err(|_| {
            let text = query.text(name).unwrap_or_default();
            ApiError::bad_request(format!(
                "{name} is in bytes and expects an integer, got {text}: strconv.Atoi: parsing {text:?}: invalid syntax"
            ))
        })?;
    }
    Ok(Json(json!({ "CachesDeleted": null, "SpaceReclaimed": 0 })))
}

/// Only BuildKit's builds have ids; ending the request cancels one of ours.
async fn cancel(query: Query) -> Result<StatusCode, ApiError> {
    match query.text("id").filter(|id| !id.is_empty()) {
        Some(_) => Ok(StatusCode::NO_CONTENT),
        None => Err(ApiError::bad_request("build ID not provided")),
    }
}
