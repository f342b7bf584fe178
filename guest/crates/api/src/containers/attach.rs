//! `POST /containers/{id}/attach`.

use std::sync::Arc;

use axum::{
    extract::{Path, Request, State},
    response::Response,
};
use cubby_engine::{
    Engine,
    containers::{AttachOptions, Attached},
};
use tokio::io::AsyncWriteExt;

use super::{
    hijack::{self, Reader, Writer},
    logs,
    session::{self, Ended, OnEndOfInput, Session},
};
use crate::{client::Client, error::ApiError, extract::Query, version::ApiVersion};

pub async fn attach(
    State(engine): State<Arc<Engine>>,
    Path(id): Path<String>,
    version: ApiVersion,
    client: Client,
    query: Query,
    request: Request,
) -> Result<Response, ApiError> {
    let attached = engine.containers.attach(&id, &options(&query))?;
    let tty = attached.record.config.tty;
    Ok(hijack::hijack(request, version, tty, move |reader, writer| serve(engine, attached, client, reader, writer)))
}

pub fn options(query: &Query) -> AttachOptions {
    AttachOptions {
        logs: query.flag("logs"),
        stream: query.flag("stream"),
        stdin: query.flag("stdin"),
        stdout: query.flag("stdout"),
        stderr: query.flag("stderr"),
        detach_keys: query.text("detachKeys").unwrap_or_default().to_owned(),
    }
}

async fn serve(engine: Arc<Engine>, attached: Attached, client: Client, reader: Reader, mut writer: Writer) {
    let framed = !attached.record.config.tty;
    let (session, past, end_of_input, record) = prepare(&engine, attached, client, framed);
    let sent = match past {
        Some(past) => logs::send(past, framed, &mut writer).await.is_ok(),
        None => true,
    };
    let streams = session.stdout.is_some() || session.stderr.is_some() || session.stdin.is_some();
    if sent && streams && session::run(session, reader, &mut writer, end_of_input).await == Ended::Detached {
        engine.containers.detached(&record);
    }
    // Why ignored: the client may have closed first.
    let _ = writer.shutdown().await;
}

/// The engine's ends as a session's.
pub fn prepare(
    engine: &Arc<Engine>,
    attached: Attached,
    client: Client,
    framed: bool,
) -> (Session, Option<cubby_engine::containers::LogsStream>, OnEndOfInput, Arc<cubby_engine::containers::model::Record>)
{
    let Attached { record, logs, stdout, stderr, stdin, detach_keys, close_stdin } = attached;
    let detach_keys = record.config.tty.then_some(detach_keys);
    let session = Session { framed, stdout, stderr, stdin: stdin.clone(), detach_keys, client };
    let (engine, id) = (engine.clone(), record.id.clone());
    let end_of_input: OnEndOfInput = Box::new(move || {
        Box::pin(async move {
            if let Some(streams) = stdin.filter(|_| close_stdin) {
                engine.containers.close_stdin(&id, &streams).await;
            }
        })
    });
    (session, logs, end_of_input, record)
}
