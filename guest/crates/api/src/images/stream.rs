//! Between async bodies and blocking work: bounded in both directions.

use std::{
    convert::Infallible,
    future::Future,
    io::{self, Write},
    sync::Arc,
};

use axum::{
    body::{Body, Bytes},
    http::header,
    response::{IntoResponse, Response},
};
use cubby_engine::{
    Error,
    images::{
        Message, Say,
        pieces::{PieceSender, Pieces, pieces},
    },
};
use cubby_registry::Download;
use futures_util::StreamExt;
use tokio::{sync::mpsc, task};
use tokio_stream::wrappers::ReceiverStream;

use crate::{client::Client, error::ApiError};

/// Pieces of a body in flight.
const QUEUE: usize = 16;
/// Written data is gathered up to here.
const GATHER: usize = 64 << 10;
/// What is still read from a client after its request failed, so that it gets to read why.
const DRAIN: usize = 256 << 20;

/// Runs blocking work off the async threads.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, ApiError> {
    match task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(error) => Err(Error::system("the request's work", error).into()),
    }
}

/// What comes from elsewhere, as if the client had sent it.
pub fn downloaded(download: Download) -> Body {
    let pieces = futures_util::stream::try_unfold(download, async |mut download| {
        let piece = download.chunk().await?;
        Ok::<_, cubby_registry::Error>(piece.map(|piece| (piece, download)))
    });
    Body::from_stream(pieces)
}

/// A request's body for blocking readers.
pub fn body_reader(body: Body) -> Pieces {
    let (sender, pieces) = pieces();
    tokio::spawn(feed(body, sender));
    pieces
}

async fn feed(body: Body, sender: PieceSender) {
    let mut body = body.into_data_stream();
    let mut unread = 0;
    while let Some(piece) = body.next().await {
        let ended = piece.is_err();
        let len = piece.as_ref().map_or(0, Bytes::len);
        if sender.send(piece.map_err(io::Error::other)).await.is_err() {
            unread += len;
        }
        if ended || unread > DRAIN {
            return;
        }
    }
}

/// Where blocking work tells its progress; the client reads it line by line.
#[derive(Clone)]
pub struct Messages(mpsc::Sender<Result<Bytes, Infallible>>);

impl Messages {
    /// Waits while the client is slow. A client that is gone is no error here.
    pub fn say(&self, message: &Message) {
        let _ = self.0.blocking_send(Ok(line(message)));
    }
}

/// One object and a line's end.
pub fn line(message: &Message) -> Bytes {
    let mut line = serde_json::to_vec(message).unwrap_or_default();
    line.extend_from_slice(b"\r\n");
    line.into()
}

/// Answers at once with a stream of messages while `work` goes on; its error is the last message.
pub fn messages(work: impl FnOnce(Messages) -> Result<(), Error> + Send + 'static) -> Response {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let messages = Messages(sender);
    task::spawn_blocking(move || {
        if let Err(error) = work(messages.clone()) {
            tracing::warn!(err = %error, "request failed after its answer began");
            messages.say(&Message::error(error.message()));
        }
    });
    ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(ReceiverStream::new(receiver))).into_response()
}

/// Messages that may wait for a client that reads slowly; more are left out.
const TOLD: usize = 4096;

/// Answers at once with what async work says; its error is the last message. The work is dropped when the client goes.
pub fn telling<F>(client: Client, work: impl FnOnce(Say) -> F) -> Response
where
    F: Future<Output = Result<(), Error>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel::<Result<Bytes, Infallible>>(TOLD);
    let telling = sender.clone();
    let work = work(Arc::new(move |message| drop(telling.try_send(Ok(line(&message))))));
    task::spawn(async move {
        let done = tokio::select! {
            done = work => done,
            () = sender.closed() => return tracing::info!("the client went; its request is cancelled"),
        };
        if let Err(error) = done {
            tracing::warn!(err = %error, "request failed after its answer began");
            let _ = sender.send(Ok(line(&Message::error(error.message())))).await;
        }
    });
    ([(header::CONTENT_TYPE, "application/json")], client.body(ReceiverStream::new(receiver))).into_response()
}

/// Answers with the bytes that blocking work writes. When it fails the body breaks off, which clients notice.
pub fn bytes(work: impl FnOnce(&mut BodyWriter) -> Result<(), Error> + Send + 'static) -> Response {
    let (sender, receiver) = mpsc::channel(QUEUE);
    task::spawn_blocking(move || {
        let mut writer = BodyWriter { sender: sender.clone(), gathered: Vec::with_capacity(GATHER) };
        let done = work(&mut writer).and_then(|()| writer.flush().map_err(|source| Error::system("answer", source)));
        if let Err(error) = done {
            tracing::warn!(err = %error, "answer broke off");
            let _ = sender.blocking_send(Err(Arc::new(error)));
        }
    });
    ([(header::CONTENT_TYPE, "application/x-tar")], Body::from_stream(ReceiverStream::new(receiver))).into_response()
}

/// A response's body for blocking writers.
pub struct BodyWriter {
    sender: mpsc::Sender<Result<Bytes, Arc<Error>>>,
    gathered: Vec<u8>,
}

impl Write for BodyWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = bytes.len().min(GATHER - self.gathered.len());
        self.gathered.extend_from_slice(&bytes[..n]);
        if self.gathered.len() == GATHER {
            self.flush()?;
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let full = std::mem::replace(&mut self.gathered, Vec::with_capacity(GATHER));
        self.sender.blocking_send(Ok(full.into())).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
