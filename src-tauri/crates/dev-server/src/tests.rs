//! Who gets in, who does not, and what is served.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use cubby_host::schema::{AppError, Change, Command, OpenLogs, OpenTerminal, Reply, Stream, Terminal};
use tokio::sync::broadcast;
use tower::ServiceExt;

use super::*;

struct Nothing;

impl Backend for Nothing {
    async fn call(&self, _: Command) -> Result<Reply, AppError> {
        Ok(Reply::Done)
    }
    fn events(&self) -> broadcast::Receiver<Change> {
        broadcast::channel(1).1
    }
    async fn open_logs(&self, _: OpenLogs) -> Result<Stream, AppError> {
        Err(AppError::machine_off())
    }
    async fn open_terminal(&self, _: OpenTerminal) -> Result<Terminal, AppError> {
        Err(AppError::machine_off())
    }
    async fn open_figures(&self) -> Result<Stream, AppError> {
        Err(AppError::machine_off())
    }

    async fn open_stats(&self, _: String) -> Result<Stream, AppError> {
        Err(AppError::machine_off())
    }

    async fn open_processes(&self, _: String) -> Result<Stream, AppError> {
        Err(AppError::machine_off())
    }
}

struct Site {
    app: Router,
    prefix: String,
    _ui: tempfile::TempDir,
}

fn site() -> Site {
    let ui = tempfile::tempdir().expect("a directory");
    std::fs::write(ui.path().join("index.html"), "<p>hello").expect("a page");
    let guard = Guard::new("127.0.0.1:4711".parse().expect("an address")).expect("randomness");
    let prefix = guard.prefix();
    Site { app: router(guard, Arc::new(Nothing), ui.path()), prefix, _ui: ui }
}

async fn status(site: &Site, path: &str, host: &str, origin: Option<&str>) -> StatusCode {
    let mut request = Request::get(path).header("host", host);
    if let Some(origin) = origin {
        request = request.header("origin", origin);
    }
    let request = request.body(Body::empty()).expect("a request");
    site.app.clone().oneshot(request).await.expect("an answer").status()
}

#[tokio::test]
async fn the_page_is_behind_the_token() {
    let site = site();
    let page = format!("{}/", site.prefix);
    assert_eq!(status(&site, &page, "127.0.0.1:4711", None).await, StatusCode::OK);
    assert_eq!(status(&site, &page, "localhost:4711", Some("http://localhost:4711")).await, StatusCode::OK);
    assert_eq!(status(&site, "/", "127.0.0.1:4711", None).await, StatusCode::NOT_FOUND);
    assert_eq!(status(&site, "/index.html", "127.0.0.1:4711", None).await, StatusCode::NOT_FOUND);
    assert_eq!(
        status(&site, "/0123456789abcdef0123456789abcdef/", "127.0.0.1:4711", None).await,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn other_sites_are_refused_even_with_the_token() {
    let site = site();
    let page = format!("{}/", site.prefix);
    assert_eq!(status(&site, &page, "evil.example:4711", None).await, StatusCode::FORBIDDEN);
    assert_eq!(status(&site, &page, "127.0.0.1:4711", Some("http://evil.example")).await, StatusCode::FORBIDDEN);
    assert_eq!(status(&site, &page, "127.0.0.1:4711", Some("null")).await, StatusCode::FORBIDDEN);
    let socket = format!("{}/socket", site.prefix);
    assert_eq!(status(&site, &socket, "127.0.0.1:4711", Some("http://127.0.0.1:4712")).await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn paths_do_not_leave_the_pages() {
    let site = site();
    for path in ["/../Cargo.toml", "/%2e%2e/Cargo.toml", "/..%2fCargo.toml"] {
        let path = format!("{}{path}", site.prefix);
        assert_ne!(status(&site, &path, "127.0.0.1:4711", None).await, StatusCode::OK, "{path}");
    }
}

/// A real handshake over TCP; gives the answer's first line.
async fn handshake(address: SocketAddr, prefix: &str, origin: &str) -> String {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    let mut stream = BufReader::new(tokio::net::TcpStream::connect(address).await.expect("a connection"));
    let request = format!(
        "GET {prefix}/socket HTTP/1.1\r\nHost: {address}\r\n{origin}Connection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.expect("the request is sent");
    let mut line = String::new();
    stream.read_line(&mut line).await.expect("an answer");
    line.trim().to_owned()
}

#[tokio::test]
async fn a_socket_opens_for_our_own_page_only() {
    let ui = tempfile::tempdir().expect("a directory");
    std::fs::write(ui.path().join("index.html"), "<p>hello").expect("a page");
    let server = DevServer::bind(0).await.expect("a free port");
    let address = server.listener.local_addr().expect("an address");
    let prefix = server.guard.prefix();
    let pages = ui.path().to_owned();
    let serving = tokio::spawn(async move { server.serve(Arc::new(Nothing), &pages).await });

    let ours = format!("Origin: http://{address}\r\n");
    assert_eq!(handshake(address, &prefix, &ours).await, "HTTP/1.1 101 Switching Protocols");
    assert_eq!(handshake(address, &prefix, "").await, "HTTP/1.1 403 Forbidden");
    assert_eq!(handshake(address, &prefix, "Origin: http://evil.example\r\n").await, "HTTP/1.1 403 Forbidden");
    assert_eq!(handshake(address, "/guess", &ours).await, "HTTP/1.1 404 Not Found");
    serving.abort();
}
