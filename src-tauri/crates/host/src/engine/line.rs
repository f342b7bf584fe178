//! A connection to an engine that is kept. The client of the Docker API makes one for every request, which over SSH is a program
//! started over there: too much for what is asked more than once a second.

use std::io;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;

use super::endpoint::Endpoint;

const MAX_ANSWER_BYTES: usize = 64 << 10;

#[derive(Debug)]
pub struct Line {
    endpoint: Endpoint,
    sender: Option<SendRequest<Empty<Bytes>>>,
}

impl Line {
    /// Connects with the first ping.
    pub fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, sender: None }
    }

    pub fn is_open(&self) -> bool {
        self.sender.as_ref().is_some_and(|sender| !sender.is_closed())
    }

    /// One `_ping`, on a new connection when there is none. Dropped before its end, it takes its connection with it.
    ///
    /// # Errors
    /// When there is no way to the engine, or it ended; any answer at all is one.
    pub async fn ping(&mut self) -> io::Result<()> {
        let mut sender = match self.sender.take() {
            Some(sender) if !sender.is_closed() => sender,
            _ => self.open().await?,
        };
        let request = Request::get("/_ping").header("host", "engine").body(Empty::new()).map_err(io::Error::other)?;
        sender.ready().await.map_err(io::Error::other)?;
        let answer = sender.send_request(request).await.map_err(io::Error::other)?;
        Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await.map_err(io::Error::other)?;
        self.sender = Some(sender);
        Ok(())
    }

    async fn open(&self) -> io::Result<SendRequest<Empty<Bytes>>> {
        let stream = self.endpoint.dial().await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::spawn(connection);
        Ok(sender)
    }
}
