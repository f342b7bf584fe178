//! `/containers/{id}/exec` and `/exec/…`. Source: API 1.50, moby api/server/router/container/exec.go.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Body,
    extract::{FromRequest, Path, Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use cubby_engine::{
    Engine,
    exec::{ExecAttach, ExecOptions, ExecStartOptions},
};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::{
    client::Client,
    containers::{
        hijack::{self, Reader, Writer},
        lifecycle_size,
        session::{self, Ended, OnEndOfInput, Session},
    },
    error::ApiError,
    extract::{JsonBody, Query},
    version::ApiVersion,
};

pub fn routes() -> Router<Arc<Engine>> {
    Router::new()
        .route("/containers/{id}/exec", post(create))
        .route("/exec/{id}/start", post(start))
        .route("/exec/{id}/resize", post(resize))
        .route("/exec/{id}/json", get(inspect))
}

async fn create(
    State(engine): State<Arc<Engine>>,
    Path(id): Path<String>,
    version: ApiVersion,
    JsonBody(mut options): JsonBody<ExecOptions>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    if version < ApiVersion(42) {
        options.console_size = None;
    }
    let id = engine.containers.exec_create(&id, options).await?;
    Ok((StatusCode::CREATED, Json(json!({ "Id": id }))))
}

async fn inspect(State(engine): State<Arc<Engine>>, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    Ok(Json(engine.containers.exec(&id)?.inspect()))
}

async fn resize(State(engine): State<Arc<Engine>>, Path(id): Path<String>, query: Query) -> Result<(), ApiError> {
    let (rows, cols) = lifecycle_size(&query)?;
    Ok(engine.containers.exec_resize(&id, rows, cols)?)
}

async fn start(
    State(engine): State<Arc<Engine>>,
    Path(id): Path<String>,
    version: ApiVersion,
    client: Client,
    request: Request,
) -> Result<Response, ApiError> {
    let (request, options) = read_options(request).await?;
    let tty = options.tty;
    let size = options.console_size.filter(|_| tty && version >= ApiVersion(42));
    if options.detach {
        let attach = engine.containers.exec_begin(&id, false)?;
        engine.containers.exec_run(&attach.exec, size, false).await?;
        return Ok(().into_response());
    }
    let attach = engine.containers.exec_begin(&id, true)?;
    Ok(hijack::hijack(request, version, tty, move |reader, writer| {
        serve(engine, attach, client, size, tty, reader, writer)
    }))
}

/// Takes the options out of the request and leaves what an upgrade needs.
async fn read_options(request: Request) -> Result<(Request, ExecStartOptions), ApiError> {
    let (parts, body) = request.into_parts();
    let mut options = Request::new(body);
    *options.headers_mut() = parts.headers.clone();
    let JsonBody(options) = JsonBody::from_request(options, &()).await?;
    Ok((Request::from_parts(parts, Body::empty()), options))
}

async fn serve(
    engine: Arc<Engine>,
    attach: ExecAttach,
    client: Client,
    size: Option<[u32; 2]>,
    tty: bool,
    reader: Reader,
    mut writer: Writer,
) {
    let ExecAttach { exec, stdout, stderr, stdin, detach_keys } = attach;
    if let Err(error) = engine.containers.exec_run(&exec, size, true).await {
        let text = format!("{}\r\n", error.message());
        let said = if tty { text.into_bytes() } else { session::frame(1, text.as_bytes()).to_vec() };
        // Why ignored: the client may have gone.
        let _ = writer.write_all(&said).await;
        let _ = writer.shutdown().await;
        return;
    }
    let listens = stdout.is_some() || stderr.is_some();
    let session = Session {
        framed: !tty,
        stdout,
        stderr,
        stdin: stdin.clone(),
        detach_keys: exec.options.tty.then_some(detach_keys),
        client,
    };
    let end_of_input: OnEndOfInput = {
        let (engine, id, tty) = (engine.clone(), exec.id.clone(), exec.options.tty);
        Box::new(move || {
            Box::pin(async move {
                if let Some(streams) = stdin.filter(|_| !tty) {
                    engine.containers.close_stdin(&id, &streams).await;
                }
            })
        })
    };
    match session::run(session, reader, &mut writer, end_of_input).await {
        Ended::Detached => engine.containers.exec_detached(&exec),
        // Why: the client asks for the exit code as soon as the connection ends.
        Ended::Streams if listens => exec.ended().await,
        Ended::Streams | Ended::Gone => {}
    }
    let _ = writer.shutdown().await;
}
