//! Taking over a connection from HTTP.
//!
//! Clients that ask (`Upgrade: tcp`) get `101 UPGRADED` and from then on plain bytes both ways, half-close included. Those
//! that do not get `200` and the output as the body; their request's body is the input. Source: moby `HijackConnection`.

use std::{future::Future, io, time::Duration};

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::TryStreamExt;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::io::{ReaderStream, StreamReader};

use crate::version::ApiVersion;

/// Output that waits for a client without an upgraded connection.
const PIPE: usize = 64 * 1024;

/// docker-py reads the head of an answer through a buffer and what follows beside that buffer: bytes that arrive with the
/// head are lost to it. dockerd takes longer than this to start anything, so nobody noticed there.
const DOCKER_PY: &str = "docker-sdk-python";
const DOCKER_PY_READS_HEAD: Duration = Duration::from_millis(50);

/// The connection's two halves.
pub type Reader = Box<dyn AsyncRead + Send + Unpin>;
pub type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// Answers, and runs `serve` on the connection afterwards.
pub fn hijack<F>(
    request: Request,
    version: ApiVersion,
    tty: bool,
    serve: impl FnOnce(Reader, Writer) -> F + Send + 'static,
) -> Response
where
    F: Future<Output = ()> + Send + 'static,
{
    let multiplexed = !tty && version >= ApiVersion(42);
    if !request.headers().contains_key(header::UPGRADE) {
        return plain(request, serve);
    }
    let agent = request.headers().get(header::USER_AGENT).map(HeaderValue::as_bytes).unwrap_or_default();
    let pause = agent.starts_with(DOCKER_PY.as_bytes()).then_some(DOCKER_PY_READS_HEAD);
    let upgrade = hyper::upgrade::on(request);
    tokio::spawn(async move {
        match upgrade.await {
            Ok(upgraded) => {
                if let Some(pause) = pause {
                    tokio::time::sleep(pause).await;
                }
                let (reader, writer) = tokio::io::split(TokioIo::new(upgraded));
                serve(Box::new(reader), Box::new(writer)).await;
            }
            Err(error) => tracing::debug!(err = %error, "a connection was not taken over"),
        }
    });
    let kind = match multiplexed {
        true => "application/vnd.docker.multiplexed-stream",
        false => "application/vnd.docker.raw-stream",
    };
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("tcp"));
    response
}

fn plain<F>(request: Request, serve: impl FnOnce(Reader, Writer) -> F + Send + 'static) -> Response
where
    F: Future<Output = ()> + Send + 'static,
{
    let body = request.into_body().into_data_stream().map_err(io::Error::other);
    let reader = StreamReader::new(body);
    let (ours, theirs) = tokio::io::duplex(PIPE);
    tokio::spawn(serve(Box::new(Box::pin(reader)), Box::new(theirs)));
    let body = Body::from_stream(ReaderStream::new(ours));
    ([(header::CONTENT_TYPE, "application/vnd.docker.raw-stream")], body).into_response()
}
