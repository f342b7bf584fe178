//! The user interface in a plain browser: the built pages and one WebSocket, for work on the UI and for browser tests.
//!
//! ```text
//! GET /<token>/         the pages
//! GET /<token>/socket   WebSocket: one cubby_host::session::Session each
//! ```
//!
//! Whoever can talk to this server can run containers. So it listens on loopback only; every path starts with a random token
//! that is printed once; and a request whose `Host`, or a socket whose `Origin`, is not the server's own is refused, which
//! keeps other web pages out even if they learn the port (DNS rebinding, cross-site WebSockets).

mod guard;
mod socket;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use cubby_host::schema::Backend;
use tokio::net::TcpListener;
use tower_http::services::ServeDir;

use guard::Guard;

/// A server that listens and does not yet serve.
pub struct DevServer {
    listener: TcpListener,
    guard: Guard,
}

impl DevServer {
    /// Listens on loopback; port 0 takes a free one.
    pub async fn bind(port: u16) -> anyhow::Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
        let guard = Guard::new(listener.local_addr()?)?;
        Ok(Self { listener, guard })
    }

    /// What to open in the browser, token included.
    pub fn url(&self) -> String {
        self.guard.url()
    }

    /// Serves the pages in `ui` until the task is dropped.
    pub async fn serve<B: Backend>(self, backend: Arc<B>, ui: &Path) -> anyhow::Result<()> {
        anyhow::ensure!(
            ui.join("index.html").is_file(),
            "{} has no index.html: build the pages first (npm ci && npm run build in ui/)",
            ui.display()
        );
        let app = router(self.guard, backend, ui);
        axum::serve(self.listener, app).await.context("server stopped")
    }
}

fn router<B: Backend>(guard: Guard, backend: Arc<B>, ui: &Path) -> Router {
    let prefix = guard.prefix();
    let guard = Arc::new(guard);
    Router::new()
        .route(&format!("{prefix}/socket"), get(socket::upgrade::<B>))
        .with_state(backend)
        .nest_service(&prefix, ServeDir::new(ui))
        .layer(from_fn_with_state(guard, guard::check))
}

#[cfg(test)]
mod tests;
