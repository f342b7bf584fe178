//! `POST /auth`: checks credentials for `docker login`. Source: API 1.50 `SystemAuth`.

use std::sync::Arc;

use axum::{Json, body::Bytes, extract::State};
use cubby_engine::{Engine, login};
use cubby_registry::Credentials;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::ApiError;

#[derive(Deserialize)]
struct Server {
    #[serde(default)]
    serveraddress: String,
}

pub async fn auth(State(engine): State<Arc<Engine>>, body: Bytes) -> Result<Json<Value>, ApiError> {
    let invalid = |error: &dyn std::fmt::Display| ApiError::bad_request(format!("invalid JSON: {error}"));
    let server: Server = serde_json::from_slice(&body).map_err(|error| invalid(&error))?;
    let credentials = Credentials::from_json(&body).map_err(|error| invalid(&error))?;
    login::check(&server.serveraddress, credentials, &engine.images.registries().effective()).await?;
    Ok(Json(json!({ "Status": "Login Succeeded", "IdentityToken": "" })))
}
