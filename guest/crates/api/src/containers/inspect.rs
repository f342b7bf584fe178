//! `GET /containers/{id}/json`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
};
use cubby_engine::Engine;
use serde_json::Value;

use crate::{error::ApiError, extract::Query};

pub async fn inspect(
    State(engine): State<Arc<Engine>>,
    Path(id): Path<String>,
    query: Query,
) -> Result<Json<Value>, ApiError> {
    Ok(Json(engine.containers.inspect(&id, query.flag("size")).await?))
}
