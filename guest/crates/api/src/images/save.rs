//! `GET /images/get?names=…` and `GET /images/{name}/get`: images as an archive. Source: API 1.50 `ImageGetAll`.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use cubby_engine::Engine;

use super::stream;
use crate::{error::ApiError, extract::Query};

pub async fn many(State(engine): State<Arc<Engine>>, query: Query) -> Result<Response, ApiError> {
    save(&engine, query.all("names").map(str::to_owned).collect())
}

pub fn save(engine: &Arc<Engine>, names: Vec<String>) -> Result<Response, ApiError> {
    let save = engine.images.prepare_save(&names)?;
    let engine = engine.clone();
    Ok(stream::bytes(move |out| engine.images.save(&save, out)))
}
