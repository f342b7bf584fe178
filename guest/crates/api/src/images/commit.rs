//! `POST /commit`: an image of what a container changed. Source: API 1.50 `ImageCommit`.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use cubby_engine::{
    Engine,
    images::{CommitOptions, changes, new_name},
};
use cubby_image::{ImageConfig, Reference};
use serde_json::{Map, Value, json};

use super::stream::blocking;
use crate::{
    error::ApiError,
    extract::{OptionalJsonBody, Query},
};

pub async fn commit(
    State(engine): State<Arc<Engine>>,
    query: Query,
    OptionalJsonBody(body): OptionalJsonBody<Option<Map<String, Value>>>,
) -> Result<Response, ApiError> {
    let name = query.text("container").unwrap_or_default().to_owned();
    let container = engine.containers.find(&name)?;
    let record = container.record();
    let config = config(&record.config, body.flatten().unwrap_or_default(), query.all("changes"))?;
    let reference = committed_name(&query)?;
    let comment = query.text("comment").unwrap_or_default().to_owned();
    let options = CommitOptions {
        name: reference.clone(),
        config,
        author: query.text("author").unwrap_or_default().to_owned(),
        comment: comment.clone(),
        created_by: std::iter::once(&record.path).chain(&record.args).cloned().collect::<Vec<_>>().join(" "),
    };
    let paused = query.flag_or("pause", true) && record.state.running && !record.state.paused;
    if paused {
        // Why ignored: it may end meanwhile, and its files are as good then. Source: moby daemon/commit.go.
        let _ = engine.containers.pause(&record.id).await;
    }
    let upper = engine.config.data_root.join("containers").join(&record.id).join("upper");
    let (images, base) = (engine.images.clone(), record.image_id.parse().ok());
    let made = blocking(move || {
        let base = base.and_then(|id| images.retained(&id));
        images.commit(base.as_deref(), &upper, options)
    })
    .await;
    if paused {
        let _ = engine.containers.unpause(&record.id).await;
    }
    let made = made?;
    let reference = reference.map(|reference| reference.familiar()).unwrap_or_default();
    engine.containers.committed(&record, [&comment, &made.to_string(), &reference]);
    Ok((StatusCode::CREATED, Json(json!({ "Id": made }))).into_response())
}

/// The container's config, what the client sends over it, and the changes over both.
fn config<'a>(
    container: &impl serde::Serialize,
    sent: Map<String, Value>,
    asked: impl Iterator<Item = &'a str>,
) -> Result<ImageConfig, ApiError> {
    let unreadable = |error: serde_json::Error| ApiError::bad_request(format!("invalid container config: {error}"));
    let mut config = serde_json::to_value(container).map_err(unreadable)?;
    for (member, value) in sent {
        let is_set = !matches!(&value, Value::Null) && value != json!("") && value != json!([]) && value != json!({});
        if is_set {
            config[member] = value;
        }
    }
    let mut config: ImageConfig = serde_json::from_value(config).map_err(unreadable)?;
    for change in asked.flat_map(str::lines).filter(|line| !line.trim().is_empty()) {
        changes::apply(&mut config, change)?;
    }
    Ok(config)
}

/// The name that a new image gets, if any.
pub fn committed_name(query: &Query) -> Result<Option<Reference>, ApiError> {
    let repository = query.text("repo").filter(|repository| !repository.is_empty());
    let name = repository.map(|repository| new_name(repository, query.text("tag").unwrap_or_default()));
    Ok(name.transpose()?)
}
