//! `GET /containers/json`.

use std::sync::Arc;

use axum::{Json, extract::State};
use cubby_engine::{
    Engine,
    containers::{ListOptions, Summary},
};

use crate::{error::ApiError, extract::Query, version::ApiVersion};

pub async fn list(
    State(engine): State<Arc<Engine>>,
    version: ApiVersion,
    query: Query,
) -> Result<Json<Vec<Summary>>, ApiError> {
    let mut filters = query.filters()?;
    // Older spellings of these two filters.
    for name in ["since", "before"] {
        if let Some(value) = query.text(name).filter(|value| !value.is_empty()) {
            filters.insert(name, value);
        }
    }
    let limit = query.integer("limit")?.unwrap_or_default();
    let options = ListOptions {
        all: query.flag("all"),
        limit: usize::try_from(limit).unwrap_or_default(),
        size: query.flag("size"),
        filters,
        annotations: version >= ApiVersion(46),
    };
    Ok(Json(engine.containers.list(options).await?))
}
