//! `GET /events`: one JSON object per line, from `since` (out of the bounded history) to `until` or for ever.
//! Source: API 1.50 `SystemEvents`, moby daemon/events.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::Bytes,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use cubby_engine::{
    Engine,
    events::{Event, selection::Selection},
};
use tokio::{
    sync::{broadcast, mpsc},
    time::Instant,
};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};

use crate::{client::Client, error::ApiError, extract::Query};

pub async fn events(State(engine): State<Arc<Engine>>, client: Client, query: Query) -> Result<Response, ApiError> {
    let selection = Selection::parse(
        query.text("since").unwrap_or_default(),
        query.text("until").unwrap_or_default(),
        query.filters()?,
    )?;
    let (sender, receiver) = mpsc::channel::<Bytes>(16);
    let (history, feed) = engine.events.subscribe();
    tokio::spawn(feed_client(history, feed, selection, sender));
    let body = client.body(ReceiverStream::new(receiver).map(Ok::<_, Infallible>));
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// Runs until the client goes, `until` comes, or the client lags so far behind that it would miss events: then the
/// stream ends, which clients notice, instead of having a hole, which they do not.
async fn feed_client(
    history: Vec<Event>,
    mut feed: broadcast::Receiver<Event>,
    selection: Selection,
    sender: mpsc::Sender<Bytes>,
) {
    let replayed = history.into_iter().filter(|event| selection.replays(event));
    for event in replayed {
        if sender.send(line(&event)).await.is_err() {
            return;
        }
    }
    let end = selection.until_from_now().map(|left: Duration| Instant::now() + left);
    loop {
        let next = tokio::select! {
            next = feed.recv() => next,
            () = sender.closed() => return,
            () = async { match end { Some(end) => tokio::time::sleep_until(end).await, None => std::future::pending().await } } => return,
        };
        match next {
            Ok(event) if selection.matches(&event) => {
                if sender.send(line(&event)).await.is_err() {
                    return;
                }
            }
            Ok(_) => {}
            Err(lost) => {
                tracing::warn!(err = %lost, "an events client was too slow and is let go");
                return;
            }
        }
    }
}

fn line(event: &Event) -> Bytes {
    // Why: an `Event` is made of strings and numbers, which always encode; an empty line would be skipped by clients.
    let mut bytes = serde_json::to_vec(event).unwrap_or_default();
    bytes.push(b'\n');
    bytes.into()
}
