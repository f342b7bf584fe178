//! Serving the API on a socket of any family.

use std::{os::fd::AsFd, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{HeaderValue, Request, Response},
    response::IntoResponse,
};
use cubby_engine::Engine;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tower::ServiceExt;

use crate::{
    client::{Client, Connection},
    names, unread,
    version::{self, ApiVersion},
};

/// A client that opens a connection and sends no complete header within this time is let go.
const HEADER_TIMEOUT: Duration = Duration::from_secs(120);

/// The API, ready to serve connections. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    router: Router,
}

impl Api {
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { router: crate::router(engine) }
    }

    /// Serves one connection to its end, upgrades included. Errors are the client's affair and only logged.
    pub async fn serve<S>(&self, stream: S)
    where
        S: AsyncRead + AsyncWrite + AsFd + Send + Unpin + 'static,
    {
        let stream = Connection::new(stream);
        let client = stream.client();
        let service = service_fn(|request| {
            let (api, client) = (self.clone(), client.clone());
            async move { Ok::<_, std::convert::Infallible>(api.answer(request, client).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .half_close(true)
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        if let Err(error) = connection.await {
            tracing::debug!(err = %error, "connection ended");
        }
    }

    async fn answer(&self, mut request: Request<Incoming>, client: Client) -> Response<Body> {
        request.extensions_mut().insert(client);
        let mut response = match version::split(request.uri()).map(|(version, uri)| (version, names::whole(uri))) {
            Ok((version, uri)) => self.route(version, uri, request).await,
            Err(error) => error.into_response(),
        };
        let headers = response.headers_mut();
        headers.insert("Api-Version", HeaderValue::from_static("1.50"));
        headers.insert("Docker-Experimental", HeaderValue::from_static("false"));
        headers.insert("Ostype", HeaderValue::from_static("linux"));
        headers.insert("Server", HeaderValue::from_static(concat!("Cubby/", env!("CARGO_PKG_VERSION"), " (linux)")));
        response
    }

    async fn route(&self, version: ApiVersion, uri: axum::http::Uri, request: Request<Incoming>) -> Response<Body> {
        let (mut parts, body) = request.into_parts();
        parts.uri = uri;
        parts.extensions.insert(version);
        let (body, rest) = unread::lend(&parts.headers, body);
        let response = match self.router.clone().oneshot(Request::from_parts(parts, Body::new(body))).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        rest.read().await;
        response
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::UnixStream,
        task,
    };

    use super::*;

    /// A connection to a page that refuses everything without a look at the body.
    fn refusing() -> UnixStream {
        let router = Router::new().fallback(async || StatusCode::CONFLICT);
        let (client, ours) = UnixStream::pair().unwrap();
        tokio::spawn(async move { Api { router }.serve(ours).await });
        client
    }

    async fn status(client: &mut UnixStream) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await.unwrap());
        }
        String::from_utf8(head).unwrap().split(' ').nth(1).unwrap().to_owned()
    }

    /// Lets the server, which is on this very thread, do whatever it can.
    async fn let_serve() {
        for _ in 0..100 {
            task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_body_that_comes_after_its_refusal_breaks_nothing() {
        let mut client = refusing();
        for _ in 0..2 {
            let head = "POST /refuses HTTP/1.1\r\nHost: d\r\nContent-Length: 100000\r\n\r\n";
            client.write_all(head.as_bytes()).await.unwrap();
            let_serve().await;
            client.write_all(&[b'x'; 100_000]).await.unwrap();
            assert_eq!(status(&mut client).await, "409");
        }
    }

    #[tokio::test]
    async fn a_body_that_will_not_come_is_not_waited_for() {
        let mut client = refusing();
        client.write_all(b"POST /refuses HTTP/1.1\r\nHost: d\r\nContent-Length: 9\r\n\r\n").await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(status(&mut client).await, "409");
    }

    #[tokio::test]
    async fn who_asks_before_sending_is_answered_at_once() {
        let mut client = refusing();
        let head = "POST /refuses HTTP/1.1\r\nHost: d\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n";
        client.write_all(head.as_bytes()).await.unwrap();
        assert_eq!(status(&mut client).await, "409");
    }
}
