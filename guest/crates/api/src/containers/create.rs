//! `POST /containers/create`.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use cubby_engine::{
    Engine,
    containers::model::{CreateRequest, Created},
};

use crate::{
    error::ApiError,
    extract::{JsonBody, Query},
    version::ApiVersion,
};

pub async fn create(
    State(engine): State<Arc<Engine>>,
    version: ApiVersion,
    query: Query,
    JsonBody(mut request): JsonBody<CreateRequest>,
) -> Result<(StatusCode, Json<Created>), ApiError> {
    adapt(&mut request, version)?;
    let created = engine.containers.create(query.text("name"), request).await?;
    Ok((StatusCode::CREATED, Json(created)))
}

/// What older clients mean, and what they may not say. Source: moby `postContainersCreate`.
fn adapt(request: &mut CreateRequest, version: ApiVersion) -> Result<(), ApiError> {
    let host = &mut request.host_config;
    if version < ApiVersion(25) {
        host.auto_remove = false;
    }
    if version < ApiVersion(40) && host.ipc_mode.is_empty() {
        host.ipc_mode = "shareable".to_owned();
    }
    if version < ApiVersion(42) {
        host.console_size = [0, 0];
    } else {
        host.resources.kernel_memory = 0;
    }
    if version < ApiVersion(43) {
        host.annotations = None;
    }
    if version < ApiVersion(44) {
        if let Some(check) = &mut request.config.healthcheck {
            check.start_interval = 0;
        }
        let networks = &request.networking_config.endpoints;
        if networks.len() > 1 {
            let names: Vec<&str> = networks.keys().map(String::as_str).collect();
            return Err(ApiError::bad_request(format!(
                "Container cannot be created with multiple network endpoints: {}",
                names.join(", ")
            )));
        }
    }
    Ok(())
}
