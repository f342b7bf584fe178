//! `GET /distribution/{name}/json`: what a name means at its registry. Source: API 1.50 `DistributionInspect`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::HeaderMap,
};
use cubby_engine::Engine;
use cubby_image::Platform;
use serde_json::{Value, json};

use super::create::credentials;
use crate::error::{ApiError, page_not_found};

pub async fn inspect(
    State(engine): State<Arc<Engine>>,
    Path(rest): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, ApiError> {
    let Some(name) = rest.strip_suffix("/json") else { return Err(page_not_found().await) };
    let found = engine.images.distribution(name, credentials(&headers)?).await?;
    let descriptor = json!({ "mediaType": found.media_type, "digest": found.digest, "size": found.size });
    let platforms: Vec<Value> = found.platforms.iter().map(platform).collect();
    Ok(Json(json!({ "Descriptor": descriptor, "Platforms": platforms })))
}

/// As OCI writes it.
pub fn platform(platform: &Platform) -> Value {
    let mut value = json!({ "architecture": platform.architecture, "os": platform.os });
    if let Some(variant) = &platform.variant {
        value["variant"] = json!(variant);
    }
    value
}
