//! `/networks/…`. Source: API 1.50 `Network*`.

mod certificates;
mod ports;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post},
};
use bollard_stubs::models::{
    Network, NetworkConnectRequest, NetworkCreateRequest, NetworkCreateResponse, NetworkDisconnectRequest,
};
use cubby_engine::Engine;
use serde_json::{Value, json};

use crate::{
    error::ApiError,
    extract::{JsonBody, Query},
};

pub fn routes() -> Router<Arc<Engine>> {
    Router::new()
        .route("/networks", get(list))
        .route("/networks/", get(list))
        .route("/networks/create", post(create))
        .route("/networks/prune", post(prune))
        .route("/networks/{id}", get(inspect).delete(remove))
        .route("/networks/{id}/connect", post(connect))
        .route("/networks/{id}/disconnect", post(disconnect))
        .route("/cubby/containers/{id}/ports", get(ports::check))
        .route("/cubby/certificates", get(certificates::show).put(certificates::set))
}

async fn list(State(engine): State<Arc<Engine>>, query: Query) -> Result<Json<Vec<Network>>, ApiError> {
    Ok(Json(engine.networks.list(&query.filters()?)?))
}

async fn inspect(
    State(engine): State<Arc<Engine>>,
    Path(id): Path<String>,
    query: Query,
) -> Result<Json<Network>, ApiError> {
    // Why: `docker network inspect --scope swarm` shall not find local ones.
    if query.text("scope").is_some_and(|scope| !matches!(scope, "" | "local")) {
        return Err(ApiError::with_status(StatusCode::NOT_FOUND, format!("network {id} not found")));
    }
    Ok(Json(engine.networks.inspect(&id)?))
}

async fn create(
    State(engine): State<Arc<Engine>>,
    JsonBody(request): JsonBody<NetworkCreateRequest>,
) -> Result<(StatusCode, Json<NetworkCreateResponse>), ApiError> {
    let created = engine.networks.create(request).await?;
    Ok((StatusCode::CREATED, Json(NetworkCreateResponse { id: created.id, warning: created.warning })))
}

async fn remove(State(engine): State<Arc<Engine>>, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    engine.networks.remove(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn prune(State(engine): State<Arc<Engine>>, query: Query) -> Result<Json<Value>, ApiError> {
    let pruned = engine.networks.prune(&query.filters()?).await?;
    let deleted = pruned.networks_deleted.filter(|deleted| !deleted.is_empty());
    Ok(Json(json!({ "NetworksDeleted": deleted })))
}

async fn connect(
    State(engine): State<Arc<Engine>>,
    Path(id): Path<String>,
    JsonBody(request): JsonBody<NetworkConnectRequest>,
) -> Result<StatusCode, ApiError> {
    let container = request.container.unwrap_or_default();
    engine.networks.connect(&id, &container, request.endpoint_config.unwrap_or_default()).await?;
    Ok(StatusCode::OK)
}

async fn disconnect(
    State(engine): State<Arc<Engine>>,
    Path(id): Path<String>,
    JsonBody(request): JsonBody<NetworkDisconnectRequest>,
) -> Result<StatusCode, ApiError> {
    let container = request.container.unwrap_or_default();
    engine.networks.disconnect(&id, &container, request.force.unwrap_or(false)).await?;
    Ok(StatusCode::OK)
}
