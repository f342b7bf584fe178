//! `GET /images/search`. Source: API 1.50 `ImageSearch`.

use std::sync::Arc;

use axum::{Json, extract::State, http::HeaderMap};
use cubby_engine::{Engine, images::SearchOptions};
use serde_json::{Value, json};

use super::create::credentials;
use crate::{error::ApiError, extract::Query};

pub async fn search(
    State(engine): State<Arc<Engine>>,
    query: Query,
    headers: HeaderMap,
) -> Result<Json<Vec<Value>>, ApiError> {
    let options = SearchOptions {
        term: query.text("term").unwrap_or_default().to_owned(),
        limit: query.integer("limit")?,
        filters: query.filters()?,
        credentials: credentials(&headers)?,
    };
    let found = engine.images.search(options).await?;
    let hits = found.into_iter().map(|hit| {
        json!({
            "star_count": hit.star_count,
            "is_official": hit.is_official,
            "name": hit.name,
            "is_automated": false,
            "description": hit.description,
        })
    });
    Ok(Json(hits.collect()))
}
