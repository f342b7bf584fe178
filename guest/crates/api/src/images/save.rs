//! `GET /images/get?names=…` and `GET /images/{name}/get`: images as an archive. Source: API 1.50 `ImageGetAll`.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use cubby_engine::Engine;

use super::{platform, stream};
use crate::{error::ApiError, extract::Query, version::ApiVersion};

pub async fn many(State(engine): State<Arc<Engine>>, version: ApiVersion, query: Query) -> Result<Response, ApiError> {
    save(&engine, query.all("names").map(str::to_owned).collect(), version, &query)
}

pub fn save(
    engine: &Arc<Engine>,
    names: Vec<String>,
    version: ApiVersion,
    query: &Query,
) -> Result<Response, ApiError> {
    let platform = platform::the_only(query, version)?;
    let save = engine.images.prepare_save(&names, platform.as_ref())?;
    let engine = engine.clone();
    Ok(stream::bytes(move |out| engine.images.save(&save, out)))
}
