//! What changes a container: start, stop, kill, pause, rename, update, remove, prune.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
};
use cubby_engine::{
    Engine,
    containers::{Pruned, RemoveOptions, Signal, StopOptions, model::UpdateRequest},
};
use serde_json::{Value, json};

use crate::{
    error::ApiError,
    extract::{JsonBody, Query},
    version::ApiVersion,
};

type Done = Result<StatusCode, ApiError>;
type App = State<Arc<Engine>>;

/// Smallest body that is a JSON object with something in it.
const SOMETHING: u64 = 7;

pub async fn start(State(engine): App, Path(id): Path<String>, headers: HeaderMap) -> Done {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > SOMETHING) || headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(ApiError::bad_request(
            "starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24",
        ));
    }
    // Why a task: a client that goes away must not leave a container half started.
    finish(async move { engine.containers.start(&id).await }).await
}

pub async fn stop(State(engine): App, Path(id): Path<String>, version: ApiVersion, query: Query) -> Done {
    let options = stop_options(&query, version)?;
    finish(async move { engine.containers.stop(&id, options).await }).await
}

pub async fn restart(State(engine): App, Path(id): Path<String>, version: ApiVersion, query: Query) -> Done {
    let options = stop_options(&query, version)?;
    finish(async move { engine.containers.restart(&id, options).await }).await
}

fn stop_options(query: &Query, version: ApiVersion) -> Result<StopOptions, ApiError> {
    let signal = query.text("signal").filter(|_| version >= ApiVersion(42)).map(str::to_owned);
    Ok(StopOptions { signal, timeout_s: query.integer("t")? })
}

pub async fn kill(State(engine): App, Path(id): Path<String>, query: Query) -> Done {
    let signal = match query.text("signal").unwrap_or_default() {
        "" => Signal::KILL,
        text => Signal::parse(text)
            .map_err(|error| ApiError::bad_request(format!("cannot kill container: {id}: {}", error.message())))?,
    };
    finish(async move { engine.containers.kill(&id, signal).await }).await
}

pub async fn pause(State(engine): App, Path(id): Path<String>) -> Done {
    finish(async move { engine.containers.pause(&id).await }).await
}

pub async fn unpause(State(engine): App, Path(id): Path<String>) -> Done {
    finish(async move { engine.containers.unpause(&id).await }).await
}

pub async fn rename(State(engine): App, Path(id): Path<String>, query: Query) -> Done {
    let name = query.text("name").unwrap_or_default().to_owned();
    finish(async move { engine.containers.rename(&id, &name).await }).await
}

pub async fn update(
    State(engine): App,
    Path(id): Path<String>,
    version: ApiVersion,
    JsonBody(mut request): JsonBody<UpdateRequest>,
) -> Result<Json<Value>, ApiError> {
    if version < ApiVersion(40) {
        request.resources.pids_limit = None;
    }
    if version >= ApiVersion(42) {
        request.resources.kernel_memory = 0;
    }
    let warnings = engine.containers.update(&id, request).await?;
    // Why null for none: so it is in Go.
    Ok(Json(json!({ "Warnings": (!warnings.is_empty()).then_some(warnings) })))
}

pub async fn resize(State(engine): App, Path(id): Path<String>, query: Query) -> Result<(), ApiError> {
    let (rows, cols) = size(&query)?;
    Ok(engine.containers.resize(&id, rows, cols)?)
}

/// `h` and `w`. Source: moby `postContainersResize`, `httputils.Uint32Value`.
pub fn size(query: &Query) -> Result<(u16, u16), ApiError> {
    let side = |name: &str, what: &str| {
        let text = query.text(name).unwrap_or_default();
        let digits = text.strip_prefix('-').unwrap_or(text);
        let fault = match digits.parse::<u32>() {
            _ if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) => "invalid syntax",
            Ok(_) if text.starts_with('-') => "value out of range",
            // Why cut: so does the kernel's interface, and dockerd on the way to it.
            Ok(side) => return Ok(side as u16),
            Err(_) => "value out of range",
        };
        Err(ApiError::bad_request(format!("invalid resize {what} {text:?}: {fault}")))
    };
    Ok((side("h", "height")?, side("w", "width")?))
}

/// `DELETE /containers/parent/alias`: names of links have a slash.
pub async fn remove_linked(app: App, Path((parent, alias)): Path<(String, String)>, query: Query) -> Done {
    remove(app, Path(format!("{parent}/{alias}")), query).await
}

pub async fn remove(State(engine): App, Path(id): Path<String>, query: Query) -> Done {
    let options = RemoveOptions { force: query.flag("force"), volumes: query.flag("v"), link: query.flag("link") };
    finish(async move { engine.containers.remove(&id, options).await }).await
}

pub async fn prune(State(engine): App, query: Query) -> Result<Json<Pruned>, ApiError> {
    Ok(Json(engine.containers.prune(&query.filters()?).await?))
}

/// Runs to the end whether or not the client stays.
async fn finish<F>(work: F) -> Done
where
    F: Future<Output = Result<(), cubby_engine::Error>> + Send + 'static,
{
    match tokio::spawn(work).await {
        Ok(result) => Ok(result.map(|()| StatusCode::NO_CONTENT)?),
        Err(error) => Err(ApiError::with_status(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}
