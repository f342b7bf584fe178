//! `GET /cubby/containers/{id}/ports`: our own, not Docker's. Why a published port does not answer.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
};
use cubby_engine::{Engine, containers::PortReport};

use crate::error::ApiError;

pub async fn check(State(engine): State<Arc<Engine>>, Path(id): Path<String>) -> Result<Json<PortReport>, ApiError> {
    Ok(Json(engine.containers.check_ports(&id).await?))
}
