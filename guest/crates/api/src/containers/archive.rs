//! `/containers/{id}/archive`, `/export` and `/changes`, and `/cubby/containers/{id}/files`.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use cubby_engine::{
    Engine,
    containers::{ArchiveWrite, Change, DirectoryListing, PathStat},
};

use crate::{
    encoding::Encoding,
    error::ApiError,
    extract::Query,
    images::stream::{blocking, body_reader, bytes},
};

const STAT: &str = "X-Docker-Container-Path-Stat";

fn path(query: &Query) -> Result<String, ApiError> {
    match query.text("path").unwrap_or_default() {
        "" => Err(ApiError::bad_request("bad parameter: 'path' cannot be empty")),
        path => Ok(path.to_owned()),
    }
}

fn stat_header(stat: &PathStat) -> Result<HeaderValue, ApiError> {
    let json = serde_json::to_vec(stat).unwrap_or_default();
    HeaderValue::from_str(&STANDARD.encode(json)).map_err(|error| ApiError::bad_request(error.to_string()))
}

pub async fn head(
    State(engine): State<Arc<Engine>>,
    Path(id): Path<String>,
    query: Query,
) -> Result<Response, ApiError> {
    let path = path(&query)?;
    let stat = blocking(move || engine.containers.path_stat(&id, &path)).await?;
    Ok(([(STAT, stat_header(&stat)?)], ()).into_response())
}

pub async fn get(
    State(engine): State<Arc<Engine>>,
    Path(id): Path<String>,
    query: Query,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let path = path(&query)?;
    let read = blocking(move || engine.containers.archive(&id, &path)).await?;
    let stat = stat_header(&read.stat)?;
    let encoding = Encoding::asked(&headers);
    let mut response = bytes(move |out| encoding.write(out, |out| read.write_to(out)));
    response.headers_mut().insert(STAT, stat);
    if let Some(name) = encoding.name() {
        response.headers_mut().insert(header::CONTENT_ENCODING, name);
    }
    Ok(response)
}

pub async fn put(
    State(engine): State<Arc<Engine>>,
    Path(id): Path<String>,
    query: Query,
    body: Body,
) -> Result<(), ApiError> {
    let path = path(&query)?;
    let options = ArchiveWrite { keep_kinds: query.flag("noOverwriteDirNonDir"), chown: query.flag("copyUIDGID") };
    let archive = body_reader(body);
    blocking(move || engine.containers.unpack(&id, &path, archive, options)).await
}

pub async fn export(State(engine): State<Arc<Engine>>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let export = blocking(move || engine.containers.export(&id)).await?;
    let mut response = bytes(move |out| export.write_to(out));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    Ok(response)
}

/// One directory, not what is below it.
pub async fn directory(
    State(engine): State<Arc<Engine>>,
    Path(id): Path<String>,
    query: Query,
) -> Result<Json<DirectoryListing>, ApiError> {
    let path = path(&query)?;
    Ok(Json(blocking(move || engine.containers.list_directory(&id, &path)).await?))
}

pub async fn changes(
    State(engine): State<Arc<Engine>>,
    Path(id): Path<String>,
) -> Result<Json<Option<Vec<Change>>>, ApiError> {
    let changes = blocking(move || engine.containers.changes(&id)).await?;
    Ok(Json((!changes.is_empty()).then_some(changes)))
}
