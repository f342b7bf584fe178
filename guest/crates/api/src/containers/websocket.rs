//! `GET /containers/{id}/attach/ws`: attach over a WebSocket. Output comes unframed, both streams as one.

use std::sync::Arc;

use axum::{
    extract::{
        Path, State, WebSocketUpgrade,
        ws::{Message, WebSocket, rejection::WebSocketUpgradeRejection},
    },
    response::Response,
};
use cubby_engine::{Engine, containers::Attached};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    attach::{options, prepare},
    logs, session,
};
use crate::{client::Client, error::ApiError, extract::Query, version::ApiVersion};

const PIPE: usize = 64 * 1024;

pub async fn attach(
    State(engine): State<Arc<Engine>>,
    Path(id): Path<String>,
    version: ApiVersion,
    client: Client,
    query: Query,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    engine.containers.find(&id)?;
    let upgrade = upgrade.map_err(|rejection| ApiError::bad_request(rejection.body_text()))?;
    let mut options = options(&query);
    if version < ApiVersion(42) {
        (options.stdin, options.stdout, options.stderr) = (true, true, true);
    }
    let attached = engine.containers.attach(&id, &options)?;
    let text = version < ApiVersion(28);
    Ok(upgrade.on_upgrade(move |socket| serve(engine, attached, client, socket, text)))
}

/// `text`: frames of text, which older clients expect.
async fn serve(engine: Arc<Engine>, attached: Attached, client: Client, socket: WebSocket, text: bool) {
    let (session, past, end_of_input, record) = prepare(&engine, attached, client, false);
    let (mut sink, mut source) = socket.split();
    let (mut input, reader) = tokio::io::duplex(PIPE);
    let (mut writer, mut output) = tokio::io::duplex(PIPE);
    let from_client = async {
        while let Some(Ok(message)) = source.next().await {
            let bytes = match message {
                Message::Binary(bytes) => bytes,
                Message::Text(text) => text.into(),
                Message::Close(_) => break,
                Message::Ping(_) | Message::Pong(_) => continue,
            };
            if input.write_all(&bytes).await.is_err() {
                break;
            }
        }
        drop(input);
        // Why: the end of input is not the end of the session.
        std::future::pending::<()>().await;
    };
    let to_client = async {
        let mut chunk = vec![0; PIPE];
        while let Ok(count @ 1..) = output.read(&mut chunk).await {
            let message = match text {
                true => Message::Text(String::from_utf8_lossy(&chunk[..count]).into_owned().into()),
                false => Message::Binary(chunk[..count].to_vec().into()),
            };
            if sink.send(message).await.is_err() {
                break;
            }
        }
        // Why ignored: the client may have closed first.
        let _ = sink.close().await;
    };
    let session = async move {
        if let Some(past) = past {
            let _ = logs::send(past, false, &mut writer).await;
        }
        if session::run(session, reader, &mut writer, end_of_input).await == session::Ended::Detached {
            engine.containers.detached(&record);
        }
        drop(writer);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = from_client => {}
        () = to_client => {}
        () = session => {}
    }
}
