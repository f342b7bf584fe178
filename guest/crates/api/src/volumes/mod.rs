//! `/volumes/…`. Source: API 1.50 `Volume*`.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post},
};
use bollard_stubs::models::{Volume, VolumeCreateOptions};
use cubby_engine::Engine;
use serde_json::{Value, json};

use crate::{
    error::ApiError,
    extract::{JsonBody, Query},
    version::ApiVersion,
};

/// From here on prune spares named volumes unless told `all`.
const PRUNE_ANONYMOUS: ApiVersion = ApiVersion(42);

pub fn routes() -> Router<Arc<Engine>> {
    Router::new()
        .route("/volumes", get(list))
        .route("/volumes/create", post(create))
        .route("/volumes/prune", post(prune))
        .route("/volumes/{name}", get(inspect).put(update).delete(remove))
}

/// A volume without labels or options has null there, as with dockerd: clients leave empty ones away.
pub(crate) fn shown(volume: Volume) -> Value {
    let mut volume = json!(volume);
    for name in ["Labels", "Options"] {
        if volume[name].as_object().is_some_and(serde_json::Map::is_empty) {
            volume[name] = Value::Null;
        }
    }
    volume
}

/// Only volumes of a cluster can be changed.
async fn update() -> ApiError {
    let fault = "volume update only valid for cluster volumes, but swarm is unavailable";
    ApiError::with_status(StatusCode::SERVICE_UNAVAILABLE, fault)
}

async fn list(State(engine): State<Arc<Engine>>, query: Query) -> Result<Json<Value>, ApiError> {
    let volumes: Vec<Value> = engine.volumes.list(&query.filters()?)?.into_iter().map(shown).collect();
    Ok(Json(json!({ "Volumes": volumes, "Warnings": null })))
}

async fn inspect(State(engine): State<Arc<Engine>>, Path(name): Path<String>) -> Result<Json<Value>, ApiError> {
    Ok(Json(shown(engine.volumes.inspect(&name)?)))
}

async fn create(
    State(engine): State<Arc<Engine>>,
    JsonBody(request): JsonBody<VolumeCreateOptions>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    Ok((StatusCode::CREATED, Json(shown(engine.volumes.create(request).await?))))
}

async fn remove(
    State(engine): State<Arc<Engine>>,
    Path(name): Path<String>,
    query: Query,
) -> Result<StatusCode, ApiError> {
    engine.volumes.remove(&name, query.flag("force")).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn prune(State(engine): State<Arc<Engine>>, version: ApiVersion, query: Query) -> Result<Json<Value>, ApiError> {
    let mut filters = query.filters()?;
    if version < PRUNE_ANONYMOUS && !filters.contains("all") {
        filters.insert("all", "true");
    }
    let pruned = engine.volumes.prune(&filters).await?;
    let deleted = pruned.volumes_deleted.unwrap_or_default();
    Ok(Json(json!({ "VolumesDeleted": deleted, "SpaceReclaimed": pruned.space_reclaimed.unwrap_or(0) })))
}
