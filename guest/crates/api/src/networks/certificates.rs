//! `GET|PUT /cubby/certificates`: authorities that containers trust on request (label `cubby.certificates=engine`).

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use cubby_engine::Engine;
use serde::{Deserialize, Serialize};

use crate::{error::ApiError, extract::JsonBody};

/// All of them, PEM; empty is none.
#[derive(Serialize, Deserialize)]
pub struct Certificates {
    pem: String,
}

pub async fn show(State(engine): State<Arc<Engine>>) -> Result<Json<Certificates>, ApiError> {
    Ok(Json(Certificates { pem: engine.containers.certificates().await? }))
}

/// Replaces what was set before.
pub async fn set(
    State(engine): State<Arc<Engine>>,
    JsonBody(certificates): JsonBody<Certificates>,
) -> Result<StatusCode, ApiError> {
    engine.containers.set_certificates(certificates.pem).await?;
    Ok(StatusCode::NO_CONTENT)
}
