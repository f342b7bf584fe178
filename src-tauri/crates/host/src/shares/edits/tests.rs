//! Real files; an engine and an agent that are played, and a watcher that says what the test says.

use std::fs;
use std::sync::Mutex;

use cubby_wire::files::ToHost;
use cubby_wire::{PROTOCOL_VERSION, frame, ports};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::fake::{Guest, Wire, wait_for};

/// What the test says and sees.
#[derive(Clone)]
struct Stage {
    /// What the container binds.
    binds: Arc<Mutex<Vec<String>>>,
    /// A container started or ended.
    event: Arc<tokio::sync::Notify>,
    frames: mpsc::UnboundedSender<ToGuest>,
    sink: Arc<Mutex<Option<TellSink>>>,
    watched: Arc<Mutex<Vec<PathBuf>>>,
}

struct Hand(Arc<Mutex<Vec<PathBuf>>>);

impl Watches for Hand {
    fn watch(&mut self, used: &[PathBuf]) {
        *self.0.lock().unwrap() = used.to_vec();
    }
}

impl Stage {
    fn tell(&self, told: Told) {
        self.sink.lock().unwrap().as_ref().unwrap()(told);
    }

    async fn agent(self, mut stream: Wire) {
        let hello = ToHost::Hello { protocol: PROTOCOL_VERSION, agent: 7 };
        frame::write(&mut stream, &hello).await.unwrap();
        while let Ok(Some(said)) = frame::read::<ToGuest>(&mut stream).await {
            self.frames.send(said).unwrap();
            frame::write(&mut stream, &ToHost::Repeated).await.unwrap();
        }
    }

    async fn engine(self, mut stream: Wire) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = stream.read_u8().await else { return };
            head.push(byte);
        }
        if head.starts_with(b"GET /events?") {
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
            loop {
                self.event.notified().await;
                if stream.write_all(b"3\r\n{}\n\r\n").await.is_err() {
                    return;
                }
            }
        }
        let mounts: Vec<_> = self.binds.lock().unwrap().iter().map(|path| bind(path)).collect();
        let volume = serde_json::json!({"Type": "volume", "Source": "/var/lib/x"});
        let body = serde_json::json!([{"Id": "1", "Mounts": mounts}, {"Id": "2", "Mounts": [volume]}]).to_string();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

fn bind(path: &str) -> serde_json::Value {
    serde_json::json!({"Type": "bind", "Source": path, "Destination": "/x"})
}

fn in_guest(path: &std::path::Path) -> String {
    cubby_machine::share_device::paths::in_guest(path).unwrap()
}

fn modified(path: &std::path::Path) -> Change {
    Change::Modified { path: in_guest(path) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_where_containers_look_reaches_the_agent() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let src = root.join("src");
    fs::create_dir(&src).unwrap();
    let (frames, mut heard) = mpsc::unbounded_channel();
    let stage = Stage {
        binds: Arc::new(Mutex::new(vec![in_guest(&src), "/elsewhere".into()])),
        event: Arc::default(),
        frames,
        sink: Arc::default(),
        watched: Arc::default(),
    };
    let playing = stage.clone();
    let guest = Guest::new(move |port, stream| {
        let stage = playing.clone();
        async move {
            match port {
                ports::FILES => stage.agent(stream).await,
                _ => stage.engine(stream).await,
            }
        }
    });
    let (sink, watched) = (stage.sink.clone(), stage.watched.clone());
    let watcher = move |given| {
        *sink.lock().unwrap() = Some(given);
        Ok(Hand(watched.clone()))
    };
    let carrying = tokio::spawn(carry_with(Folders::new([root.clone()]).0, guest, watcher));

    assert_eq!(heard.recv().await, Some(ToGuest::Lost), "it may have missed anything before");
    wait_for("the container's folder", || *stage.watched.lock().unwrap() == [src.clone()]).await;
    let file = src.join("a");
    fs::write(&file, "1").unwrap();
    fs::write(root.join("private"), "1").unwrap();
    // Until the watch is known to the news, too: told again, an unchanged file is no news twice.
    let first = loop {
        stage.tell(Told::Entry(root.join("private")));
        stage.tell(Told::Entry(file.clone()));
        if let Ok(frame) = tokio::time::timeout(std::time::Duration::from_millis(500), heard.recv()).await {
            break frame;
        }
    };
    let mut changes = vec![modified(&src), modified(&file), Change::Written { path: in_guest(&file) }];
    changes.truncate(if cfg!(windows) { 2 } else { 3 });
    assert_eq!(first, Some(ToGuest::Repeat { changes }));

    stage.tell(Told::Lost);
    assert_eq!(heard.recv().await, Some(ToGuest::Lost));
    stage.binds.lock().unwrap().clear();
    stage.event.notify_one();
    wait_for("nothing is watched any more", || stage.watched.lock().unwrap().is_empty()).await;
    carrying.abort();
}
