//! The Docker API on the host: every connection to `docker.sock` becomes a stream to the guest's engine.
//!
//! Byte-transparent: nothing is parsed, so hijacked streams (attach, exec, build) and whatever comes next work unchanged,
//! half-close included. While the machine starts, connections wait for it. When there is none to wait for, the client
//! gets an HTTP answer whose message names the remedy, which the docker CLI prints as it is.

use std::sync::Arc;
use std::time::Duration;

use cubby_wire::ports;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::access::{Access, reach};
use crate::local::{Listener, Stream};
use crate::relay::relay_client;

/// Bounds, adjustable by tests.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once; further ones wait in the socket's backlog.
    pub connections: usize,
    /// How long a connection waits for a machine that starts.
    pub patience: Duration,
    /// How long the guest may take to accept a stream.
    pub dial: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 4096, patience: Duration::from_secs(120), dial: Duration::from_secs(10) }
    }
}

/// Serves `listener` until the returned future is dropped, which closes every connection.
pub async fn serve(listener: &Listener, access: watch::Receiver<Access>, limits: Limits) {
    let slots = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // Reaps what ended, so that the set does not grow for ever.
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
        };
        match accepted {
            Ok((client, _)) => {
                let access = access.clone();
                connections.spawn(async move {
                    connection(client, access, limits).await;
                    drop(slot);
                });
            }
            Err(err) => {
                // Out of descriptors, most likely: those that run must end first.
                tracing::warn!(%err, "could not accept a connection to the Docker socket");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(client: Stream, mut access: watch::Receiver<Access>, limits: Limits) {
    let link = match reach(&mut access, limits.patience).await {
        Ok(link) => link,
        Err(why) => return refuse(client, &why).await,
    };
    match tokio::time::timeout(limits.dial, link.dial(ports::DOCKER_API)).await {
        Ok(Ok(guest)) => {
            if let Err(err) = relay_client(client, guest).await {
                tracing::debug!(%err, "connection to the Docker socket broke");
            }
        }
        Ok(Err(err)) => refuse(client, &format!("the engine in Cubby's machine does not answer: {err}")).await,
        Err(_) => refuse(client, &"the engine in Cubby's machine does not answer in time").await,
    }
}

/// Answers one HTTP request with 503 and closes.
async fn refuse(mut client: Stream, why: &(impl std::fmt::Display + ?Sized)) {
    let answered = async {
        let head_only = request_head(&mut client).await?.starts_with(b"HEAD ");
        let body = serde_json::json!({ "message": why.to_string() }).to_string();
        let mut answer = format!(
            "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nServer: Cubby\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        if !head_only {
            answer.push_str(&body);
        }
        client.write_all(answer.as_bytes()).await?;
        client.shutdown().await?;
        // Closing with unread input would take the answer back out of the client's hands.
        let mut rest = [0; 4096];
        for _ in 0..4096 {
            if client.read(&mut rest).await? == 0 {
                break;
            }
        }
        std::io::Result::Ok(())
    };
    // A client that says nothing, or never ends, gets no answer: it costs one bounded wait.
    let _ = tokio::time::timeout(Duration::from_secs(5), answered).await;
}

/// Reads to the blank line that ends a request's head, at most 16 KiB.
async fn request_head(client: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut chunk = [0; 1024];
    while head.len() < 16 * 1024 && !head.windows(4).any(|w| w == b"\r\n\r\n") {
        match client.read(&mut chunk).await? {
            0 => break,
            n => head.extend_from_slice(&chunk[..n]),
        }
    }
    Ok(head)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use super::*;
    use crate::fake::{Guest, name, wait_for};
    use crate::local::connect;
    use crate::socket::Socket;

    struct Case {
        _dir: tempfile::TempDir,
        path: PathBuf,
        access: watch::Sender<Access>,
        serving: tokio::task::JoinHandle<()>,
    }

    fn case(access: Access, limits: Limits) -> Case {
        let dir = tempfile::tempdir().unwrap();
        let path = name(dir.path(), "docker.sock");
        let socket = Socket::bind(&path).unwrap();
        let (access, receiver) = watch::channel(access);
        let serving = tokio::spawn(async move { serve(&socket.listener, receiver, limits).await });
        Case { _dir: dir, path, access, serving }
    }

    /// Upgrades like dockerd's attach: a head, then raw bytes that end with the client's half-close, then a farewell.
    fn hijacking() -> Arc<Guest> {
        Guest::new(|port, mut stream| async move {
            assert_eq!(port, ports::DOCKER_API);
            let head = request_head(&mut stream).await.unwrap();
            assert!(head.starts_with(b"POST /containers/x/attach"));
            stream.write_all(b"HTTP/1.1 101 UPGRADED\r\n\r\n").await.unwrap();
            let mut said = Vec::new();
            let _ = stream.read_to_end(&mut said).await;
            said.reverse();
            let _ = stream.write_all(&said).await;
        })
    }

    async fn request(path: &Path, head: &str) -> String {
        let mut client = connect(path).await.unwrap();
        client.write_all(format!("{head}\r\nHost: docker\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_hijacked_stream_keeps_its_half_close() {
        let guest = hijacking();
        let case = case(Access::Open(guest.clone()), Limits::default());
        let mut client = connect(&case.path).await.unwrap();
        client.write_all(b"POST /containers/x/attach HTTP/1.1\r\nUpgrade: tcp\r\n\r\n").await.unwrap();
        let mut head = [0; 25];
        client.read_exact(&mut head).await.unwrap();
        client.write_all(b"abc").await.unwrap();
        client.shutdown().await.unwrap();
        let mut rest = String::new();
        client.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "cba");
        wait_for("the stream is closed", || guest.live() == 0).await;
        case.serving.abort();
    }

    #[tokio::test]
    async fn connections_wait_for_a_machine_that_starts() {
        let case = case(Access::Starting, Limits::default());
        let client = tokio::spawn({
            let path = case.path.clone();
            async move { request(&path, "POST /containers/x/attach HTTP/1.1").await }
        });
        tokio::task::yield_now().await;
        assert!(!client.is_finished());
        let silent = Guest::new(|_, mut stream| async move {
            request_head(&mut stream).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        });
        case.access.send_replace(Access::Open(silent));
        assert!(client.await.unwrap().starts_with("HTTP/1.1 200 OK"));
    }

    #[tokio::test]
    async fn without_a_machine_the_answer_names_the_remedy() {
        let short = Limits { patience: Duration::from_millis(20), ..Limits::default() };
        let case = case(Access::Off, short);
        let answer = request(&case.path, "GET /v1.50/containers/json HTTP/1.1").await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains("cubby up"), "{answer}");
        let head = request(&case.path, "HEAD /_ping HTTP/1.1").await;
        assert!(head.starts_with("HTTP/1.1 503 ") && head.ends_with("\r\n\r\n"), "no body after HEAD: {head}");

        case.access.send_replace(Access::Failed("no QEMU".into()));
        assert!(request(&case.path, "GET /info HTTP/1.1").await.contains("no QEMU"));
        case.access.send_replace(Access::Starting);
        assert!(request(&case.path, "GET /info HTTP/1.1").await.contains("still starting"));
        let refusing = Guest::new(|_, stream| async move { drop(stream) });
        case.access.send_replace(Access::Open(refusing));
        assert_eq!(request(&case.path, "GET /info HTTP/1.1").await, "", "a hang-up stays a hang-up");
    }

    #[tokio::test]
    async fn more_connections_than_allowed_wait_their_turn() {
        let guest = hijacking();
        let case = case(Access::Open(guest.clone()), Limits { connections: 2, ..Limits::default() });
        let mut clients = Vec::new();
        for _ in 0..3 {
            let mut client = connect(&case.path).await.unwrap();
            client.write_all(b"POST /containers/x/attach HTTP/1.1\r\n\r\n").await.unwrap();
            clients.push(client);
        }
        wait_for("two are served", || guest.dialled() == 2).await;
        drop(clients.remove(0));
        wait_for("the third follows", || guest.dialled() == 3).await;
        drop(clients);
        wait_for("none is left", || guest.live() == 0).await;
    }
}
