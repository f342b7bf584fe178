//! `POST /containers/create`.

mod older;
mod settings;

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use cubby_engine::{
    Engine,
    containers::{
        CreateOptions,
        model::{CreateRequest, Created},
    },
};

use crate::{
    error::ApiError,
    extract::{OptionalJsonBody, Query},
    images::platform,
    version::ApiVersion,
};

pub async fn create(
    State(engine): State<Arc<Engine>>,
    version: ApiVersion,
    query: Query,
    OptionalJsonBody(request): OptionalJsonBody<CreateRequest>,
) -> Result<(StatusCode, Json<Created>), ApiError> {
    let request = request.ok_or_else(|| ApiError::bad_request("invalid JSON: got EOF while reading request body"))?;
    let CreateRequest { config, mut host_config, mut networking_config } = request;
    let mut config =
        config.ok_or_else(|| ApiError::bad_request("config cannot be empty in order to create a container"))?;
    if matches!(host_config.network_mode.as_str(), "" | "default") {
        host_config.network_mode = "bridge".to_owned();
        if let Some(endpoint) = networking_config.endpoints.remove("default") {
            networking_config.endpoints.insert("bridge".to_owned(), endpoint);
        }
    }
    older::adapt(version, &mut config, &mut host_config, &mut networking_config)?;
    let warnings = settings::migrate(version, &mut config, &mut host_config, &mut networking_config)?;
    let platform = platform::named(query.text("platform").filter(|_| version >= ApiVersion(41)))?;
    let options = CreateOptions { platform, flat_read_only: version < ApiVersion(44) };
    let request = CreateRequest { config: Some(config), host_config, networking_config };
    let mut created = engine.containers.create_for(query.text("name"), request, options).await?;
    created.warnings.extend(warnings);
    Ok((StatusCode::CREATED, Json(created)))
}
