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
        .route("/volumes/{name}", get(inspect).delete(remove))
}

async fn list(State(engine): State<Arc<Engine>>, query: Query) -> Result<Json<Value>, ApiError> {
    Ok(Json(json!({ "Volumes": engine.volumes.list(&query.filters()?)?, "Warnings": null })))
}

async fn inspect(State(engine): State<Arc<Engine>>, Path(name): Path<String>) -> Result<Json<Volume>, ApiError> {
    Ok(Json(engine.volumes.inspect(&name)?))
}

async fn create(
    State(engine): State<Arc<Engine>>,
    JsonBody(request): JsonBody<VolumeCreateOptions>,
) -> Result<(StatusCode, Json<Volume>), ApiError> {
    Ok((StatusCode::CREATED, Json(engine.volumes.create(request).await?)))
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
    let deleted = pruned.volumes_deleted.filter(|deleted| !deleted.is_empty());
    Ok(Json(json!({ "VolumesDeleted": deleted, "SpaceReclaimed": pruned.space_reclaimed.unwrap_or(0) })))
}
