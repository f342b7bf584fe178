//! `GET /containers/{id}/logs`.

use std::{io, sync::Arc};

use axum::{
    body::{Body, Bytes},
    extract::{Path, State},
    http::header,
    response::{IntoResponse, Response},
};
use bytes::{BufMut, BytesMut};
use cubby_engine::{
    Engine,
    containers::{LogsOptions, LogsStream},
    logs::{Entry, Source},
};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};

use super::session::frame;
use crate::{client::Client, error::ApiError, extract::Query, version::ApiVersion};

/// What is said beside each line.
#[derive(Clone, Copy, Default)]
struct Beside {
    timestamps: bool,
    details: bool,
}

pub async fn logs(
    State(engine): State<Arc<Engine>>,
    Path(id): Path<String>,
    version: ApiVersion,
    client: Client,
    query: Query,
) -> Result<Response, ApiError> {
    let text = |name: &str| query.text(name).unwrap_or_default().to_owned();
    let options = LogsOptions {
        stdout: query.flag("stdout"),
        stderr: query.flag("stderr"),
        follow: query.flag("follow"),
        since: text("since"),
        until: text("until"),
        tail: text("tail"),
    };
    let LogsStream { tty, entries } = engine.containers.logs(&id, &options)?;
    let beside = Beside { timestamps: query.flag("timestamps"), details: query.flag("details") };
    let kind = match !tty && version >= ApiVersion(42) {
        true => "application/vnd.docker.multiplexed-stream",
        false => "application/vnd.docker.raw-stream",
    };
    let chunks = ReceiverStream::new(entries).map(move |batch| batch.map(|batch| encode(&batch, !tty, beside)));
    let body = if options.follow { client.body(chunks) } else { Body::from_stream(chunks) };
    Ok(([(header::CONTENT_TYPE, kind)], body).into_response())
}

/// Writes everything of a log that is not followed.
pub async fn send<W: AsyncWrite + Unpin>(mut past: LogsStream, framed: bool, writer: &mut W) -> io::Result<()> {
    while let Some(batch) = past.entries.recv().await {
        writer.write_all(&encode(&batch?, framed, Beside::default())).await?;
    }
    writer.flush().await
}

fn encode(entries: &[Entry], framed: bool, beside: Beside) -> Bytes {
    let mut out = BytesMut::new();
    for entry in entries {
        let mut line = Vec::with_capacity(entry.text.len() + 40);
        if beside.timestamps {
            line.extend_from_slice(fixed(&entry.time).as_bytes());
            line.push(b' ');
        }
        if beside.details {
            let pairs: Vec<String> = entry.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
            line.extend_from_slice(pairs.join(",").as_bytes());
            line.push(b' ');
        }
        line.extend_from_slice(entry.text.as_bytes());
        let stream = match entry.source {
            Source::Stdout => 1,
            Source::Stderr => 2,
        };
        if framed {
            out.put_slice(&frame(stream, &line));
        } else {
            out.put_slice(&line);
        }
    }
    out.freeze()
}

/// RFC 3339 with all nine digits of the fraction, so that columns align. Source: moby `RFC3339NanoFixed`.
fn fixed(text: &str) -> String {
    let bare = text.trim_end_matches('Z');
    let (whole, fraction) = bare.split_once('.').unwrap_or((bare, ""));
    format!("{whole}.{fraction:0<9}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_framed_and_dated() {
        let entry = Entry {
            source: Source::Stderr,
            time: "1970-01-01T00:00:01.5Z".to_owned(),
            text: "x\n".to_owned(),
            attributes: [("k".to_owned(), "v".to_owned())].into(),
        };
        let dated = encode(std::slice::from_ref(&entry), false, Beside { timestamps: true, details: true });
        assert_eq!(dated, "1970-01-01T00:00:01.500000000Z k=v x\n");
        assert_eq!(&encode(&[entry], true, Beside::default())[..], b"\x02\0\0\0\0\0\0\x02x\n");
    }
}
