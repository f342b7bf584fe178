//! The endpoints of one image: `/images/{name}/json|history|get|tag` and `DELETE /images/{name}`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use cubby_engine::{Engine, images::RemoveOptions};

use cubby_image::Platform;

use super::{create::credentials, inspect, platform, save, stream};
use crate::{
    client::Client,
    error::{ApiError, page_not_found},
    extract::Query,
    version::ApiVersion,
};

pub async fn get(
    State(engine): State<Arc<Engine>>,
    Path(rest): Path<String>,
    version: ApiVersion,
    query: Query,
) -> Result<Response, ApiError> {
    match rest.rsplit_once('/') {
        Some((name, "json")) => Ok(Json(inspect::inspect(&engine, name, version, &query)?).into_response()),
        Some((name, "history")) => Ok(Json(inspect::history(&engine, name, version, &query)?).into_response()),
        Some((name, "get")) => save::save(&engine, vec![name.to_owned()], version, &query),
        _ => Err(page_not_found().await),
    }
}

pub async fn post(
    State(engine): State<Arc<Engine>>,
    Path(rest): Path<String>,
    version: ApiVersion,
    query: Query,
    headers: HeaderMap,
    client: Client,
) -> Result<Response, ApiError> {
    match rest.rsplit_once('/') {
        Some((name, "tag")) => {
            engine.images.tag(name, query.text("repo").unwrap_or_default(), query.text("tag").unwrap_or_default())?;
            Ok(StatusCode::CREATED.into_response())
        }
        Some((name, "push")) => {
            // Older clients send one that never counted.
            let platform = platform::described(&query, version, ApiVersion(46))?;
            push(&engine, name, &query, platform, &headers, client).await
        }
        _ => Err(page_not_found().await),
    }
}

/// Source: API 1.50 `ImagePush`. Credentials are required there; without them we push as nobody.
async fn push(
    engine: &Arc<Engine>,
    name: &str,
    query: &Query,
    platform: Option<Platform>,
    headers: &HeaderMap,
    client: Client,
) -> Result<Response, ApiError> {
    let tag = query.text("tag").unwrap_or_default();
    let push = engine.images.prepare_push(name, tag, platform.as_ref(), credentials(headers)?).await?;
    let images = engine.images.clone();
    Ok(stream::telling(client, move |say| async move { images.push(push, say).await }))
}

/// Source: API 1.50 `ImageDelete`.
pub async fn delete(
    State(engine): State<Arc<Engine>>,
    Path(name): Path<String>,
    version: ApiVersion,
    query: Query,
) -> Result<Response, ApiError> {
    let options = RemoveOptions { force: query.flag("force"), keep_parents: query.flag("noprune") };
    if name.trim().is_empty() {
        return Err(ApiError::bad_request("image name cannot be blank"));
    }
    let platforms = query.all("platforms").filter(|_| version >= ApiVersion(50)).map(platform::decode);
    let platforms = platforms.collect::<Result<Vec<_>, _>>()?;
    if platforms.len() > 1 {
        return Err(ApiError::bad_request("multiple platforms are not supported"));
    }
    if let Some(platform) = platforms.first() {
        engine.images.find(&name)?.must_fit(&name, Some(platform))?;
    }
    let removed = stream::blocking(move || engine.images.remove(&name, options)).await?;
    Ok(Json(removed).into_response())
}
