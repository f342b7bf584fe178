//! `POST /images/load`: an archive in, messages out. Source: API 1.50 `ImageLoad`.

use std::sync::Arc;

use axum::{body::Body, extract::State, response::Response};
use cubby_engine::{Engine, images::LoadOptions};
use cubby_image::Platform;

use super::stream;
use crate::{error::ApiError, extract::Query};

pub async fn load(State(engine): State<Arc<Engine>>, query: Query, body: Body) -> Result<Response, ApiError> {
    let options = LoadOptions { quiet: query.flag("quiet"), platform: platform(query.text("platform"))? };
    let archive = stream::body_reader(body);
    Ok(stream::messages(move |messages| engine.images.load(archive, &options, &|message| messages.say(&message))))
}

/// A platform as JSON object (what clients of 1.48 and later send) or as `os/architecture`.
pub fn platform(text: Option<&str>) -> Result<Option<Platform>, ApiError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let parsed = match text.starts_with('{') {
        true => serde_json::from_str(text).ok().map(Platform::normalized),
        false => Platform::parse(text),
    };
    parsed.map(Some).ok_or_else(|| ApiError::bad_request(format!("invalid platform: {text}")))
}
