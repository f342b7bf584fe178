//! One WebSocket, one session.

use std::sync::Arc;

use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::header::ORIGIN;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use cubby_host::schema::Backend;
use cubby_host::session::{Outgoing, Session};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::mpsc;

/// A paste into a terminal is the largest thing a browser sends.
const MESSAGE_BYTES: usize = 4 * 1024 * 1024;

pub(crate) async fn upgrade<B: Backend>(
    State(backend): State<Arc<B>>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    // Browsers always send an origin here; the guard has checked that it is ours.
    if !headers.contains_key(ORIGIN) {
        return (StatusCode::FORBIDDEN, "a socket needs an origin\n").into_response();
    }
    upgrade.max_message_size(MESSAGE_BYTES).on_upgrade(move |socket| converse(socket, backend))
}

async fn converse<B: Backend>(socket: WebSocket, backend: Arc<B>) {
    let (mut to_browser, mut from_browser) = socket.split();
    let (out, mut outgoing) = mpsc::channel(64);
    let session = Session::new(backend, out);
    let write = async {
        while let Some(message) = outgoing.recv().await {
            let message = match message {
                Outgoing::Text(text) => Message::Text(text.into()),
                Outgoing::Binary(bytes) => Message::Binary(bytes.into()),
            };
            if to_browser.send(message).await.is_err() {
                break;
            }
        }
    };
    let read = async {
        while let Some(Ok(message)) = from_browser.next().await {
            let Message::Text(text) = message else { continue };
            match serde_json::from_str(&text) {
                Ok(message) => session.handle(message),
                Err(err) => {
                    tracing::warn!(%err, "message from the browser is not of the schema; closing");
                    break;
                }
            }
        }
    };
    // Whichever ends first ends both; the session goes with them and closes all its streams.
    tokio::select! {
        () = write => {}
        () = read => {}
    }
}
