//! A client at a process's streams: bytes of the connection to standard input, output to the connection.
//!
//! Without a terminal both outputs share the connection in frames: `[stream, 0, 0, 0, length big-endian]` and the bytes.
//! Source: API 1.50 `ContainerAttach`, moby pkg/stdcopy.

use std::{io, sync::Arc};

use bytes::{BufMut, Bytes, BytesMut};
use cubby_engine::containers::streams::{DetachKeys, Detached, Output, Streams};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::client::Client;

/// Most bytes read from a client at once.
const CHUNK: usize = 32 * 1024;

/// One client's ends of a process.
pub struct Session {
    /// Output in frames.
    pub framed: bool,
    pub stdout: Option<Output>,
    pub stderr: Option<Output>,
    pub stdin: Option<Arc<Streams>>,
    /// Set for terminals: the keys that leave.
    pub detach_keys: Option<DetachKeys>,
    pub client: Client,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The streams have ended.
    Streams,
    Gone,
    /// By the client's keys.
    Detached,
}

/// What the end of the client's input means.
pub type OnEndOfInput = Box<dyn FnOnce() -> futures_util::future::BoxFuture<'static, ()> + Send>;

/// A chunk as a frame of stream 1 (stdout) or 2 (stderr).
pub fn frame(stream: u8, chunk: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(8 + chunk.len());
    frame.put_u32(u32::from(stream) << 24);
    // Why this fits: chunks are at most a pipe's content or a log entry.
    frame.put_u32(chunk.len() as u32);
    frame.put_slice(chunk);
    frame.freeze()
}

/// Runs until the streams end or the client leaves. The writer is not closed: its owner may have more to say.
pub async fn run<R, W>(session: Session, reader: R, writer: &mut W, end_of_input: OnEndOfInput) -> Ended
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let Session { framed, stdout, stderr, stdin, detach_keys, client } = session;
    let listens = stdout.is_some() || stderr.is_some();
    let output = copy_output(framed, stdout, stderr, writer);
    let input = copy_input(reader, stdin, detach_keys, end_of_input);
    tokio::pin!(output, input);
    tokio::select! {
        ended = &mut input => match ended {
            Ended::Streams if listens => tokio::select! {
                result = output => told(result),
                () = client.hung_up() => Ended::Gone,
            },
            ended => ended,
        },
        result = &mut output, if listens => told(result),
    }
}

fn told(result: io::Result<()>) -> Ended {
    match result {
        Ok(()) => Ended::Streams,
        Err(error) => {
            tracing::debug!(err = %error, "an attached client has gone");
            Ended::Gone
        }
    }
}

async fn copy_output<W: AsyncWrite + Unpin>(
    framed: bool,
    mut stdout: Option<Output>,
    mut stderr: Option<Output>,
    writer: &mut W,
) -> io::Result<()> {
    while stdout.is_some() || stderr.is_some() {
        let (stream, chunk) = tokio::select! {
            chunk = next(&mut stdout), if stdout.is_some() => (1, chunk),
            chunk = next(&mut stderr), if stderr.is_some() => (2, chunk),
        };
        match chunk {
            Some(chunk) if framed => writer.write_all(&frame(stream, &chunk)).await?,
            Some(chunk) => writer.write_all(&chunk).await?,
            None if stream == 1 => stdout = None,
            None => stderr = None,
        }
        writer.flush().await?;
    }
    Ok(())
}

async fn next(output: &mut Option<Output>) -> Option<Bytes> {
    match output {
        Some(output) => output.recv().await,
        None => None,
    }
}

async fn copy_input<R: AsyncRead + Unpin>(
    mut reader: R,
    stdin: Option<Arc<Streams>>,
    mut detach_keys: Option<DetachKeys>,
    end_of_input: OnEndOfInput,
) -> Ended {
    let mut chunk = vec![0; CHUNK];
    let mut passed = Vec::new();
    while let Ok(count @ 1..) = reader.read(&mut chunk).await {
        let mut bytes = &chunk[..count];
        let mut detached = Detached::No;
        if let Some(keys) = &mut detach_keys {
            passed.clear();
            detached = keys.feed(bytes, &mut passed);
            bytes = &passed;
        }
        // Why not an end: a process that has closed its input may still have output.
        let closed = match &stdin {
            Some(streams) => streams.stdin.write(bytes).await.is_err(),
            None => false,
        };
        if detached == Detached::Yes {
            return Ended::Detached;
        }
        if closed {
            break;
        }
    }
    if stdin.is_some() {
        end_of_input().await;
    }
    Ended::Streams
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing() -> OnEndOfInput {
        Box::new(|| Box::pin(async {}))
    }

    #[tokio::test]
    async fn frames_tell_the_streams_apart_and_the_end_is_the_end() {
        let streams = Arc::new(Streams::default());
        let session = Session {
            framed: true,
            stdout: Some(streams.stdout.attach()),
            stderr: Some(streams.stderr.attach()),
            stdin: None,
            detach_keys: None,
            client: Client::default(),
        };
        streams.stdout.write(Bytes::from_static(b"out")).await;
        streams.stdout.close();
        let (client, server) = tokio::io::duplex(1024);
        let served = tokio::spawn(async move {
            let (reader, mut writer) = tokio::io::split(server);
            run(session, reader, &mut writer, nothing()).await
        });
        streams.stderr.write(Bytes::from_static(b"err")).await;
        streams.stderr.close();
        assert_eq!(served.await.unwrap(), Ended::Streams);
        let mut all = Vec::new();
        let (mut reader, _writer) = tokio::io::split(client);
        reader.read_to_end(&mut all).await.unwrap();
        let mut frames = [frame(1, b"out").to_vec(), frame(2, b"err").to_vec()];
        if all.first() == Some(&2) {
            frames.reverse();
        }
        assert_eq!(all, frames.concat());
    }

    #[tokio::test]
    async fn detach_keys_leave_while_output_goes_on() {
        let streams = Arc::new(Streams::default());
        let session = Session {
            framed: false,
            stdout: Some(streams.stdout.attach()),
            stderr: None,
            stdin: Some(streams.clone()),
            detach_keys: DetachKeys::parse(""),
            client: Client::default(),
        };
        let mut output = Vec::new();
        let ended = run(session, &b"\x10\x11"[..], &mut output, nothing()).await;
        assert_eq!(ended, Ended::Detached);
    }

    #[tokio::test]
    async fn a_client_without_output_ends_with_its_input() {
        let client = Client::default();
        let session = Session { framed: false, stdout: None, stderr: None, stdin: None, detach_keys: None, client };
        let ended = run(session, &b"ignored"[..], &mut Vec::new(), nothing()).await;
        assert_eq!(ended, Ended::Streams);
    }
}
