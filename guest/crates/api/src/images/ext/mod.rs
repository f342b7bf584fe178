//! What Docker's API has no words for, under our own prefix: `/cubby/images/…`, `/cubby/store/…`, `/cubby/registries`.
//!
//! These routes have no version of their own: members may be added to what they answer, never taken away.

mod layers;
mod registries;
mod verify;

pub use registries::{proxies, registry_config};

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, Bytes},
    http::header,
    response::{IntoResponse, Response},
    routing::{get, put},
};
use cubby_engine::{Engine, Error};
use serde::Serialize;
use serde_json::json;
use tokio::{sync::mpsc, task};
use tokio_stream::wrappers::ReceiverStream;

pub fn routes() -> Router<Arc<Engine>> {
    Router::new()
        .route("/cubby/images/{*rest}", get(layers::get))
        .route("/cubby/store/verify", get(verify::verify))
        .route("/cubby/registries", get(registries::show).put(registries::set))
        .route(
            "/cubby/registries/certificates/{host}",
            put(registries::set_certificates).delete(registries::remove_certificates),
        )
}

/// Lines in flight; the work waits for a slow client.
const QUEUE: usize = 256;

/// Where blocking work puts its lines.
struct Lines(mpsc::Sender<Result<Bytes, std::convert::Infallible>>);

impl Lines {
    /// False when nobody reads any more.
    fn say(&self, line: &impl Serialize) -> bool {
        let mut bytes = serde_json::to_vec(line).unwrap_or_default();
        bytes.push(b'\n');
        self.0.blocking_send(Ok(bytes.into())).is_ok()
    }

    fn is_heard(&self) -> bool {
        !self.0.is_closed()
    }
}

/// Answers with one JSON object a line while blocking work goes on; its error is the last line.
fn lines(work: impl FnOnce(&Lines) -> Result<(), Error> + Send + 'static) -> Response {
    let (sender, receiver) = mpsc::channel(QUEUE);
    task::spawn_blocking(move || {
        let lines = Lines(sender);
        if let Err(error) = work(&lines) {
            tracing::warn!(err = %error, "request failed after its answer began");
            lines.say(&json!({ "type": "error", "message": error.message() }));
        }
    });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(ReceiverStream::new(receiver))).into_response()
}
