//! A whole conversation against a backend whose answers are made up.

use std::time::Duration;

use tokio::sync::broadcast;
use tokio::time::timeout;

use super::*;
use crate::schema::{
    Change, Event, LogChunk, LogLine, LogSource, MachinePhase, MachineState, News, NewsKind, OpenLogs, OpenTerminal,
    Reply, Snapshot, Stream,
};

/// Logs without end, a terminal that echoes, events by hand.
struct Fake {
    events: broadcast::Sender<Change>,
    logs_sent: Arc<std::sync::atomic::AtomicUsize>,
}

fn machine() -> MachineState {
    MachineState {
        phase: MachinePhase::Running,
        sleeping: false,
        silent: false,
        notice: None,
        stages: vec![],
        problem: None,
        accelerator: None,
        running_since_unix_ms: None,
        start_took_ms: None,
        guest_version: None,
        kernel: None,
        docker_host: String::new(),
        console_log: String::new(),
        data_disk: String::new(),
    }
}

impl Backend for Fake {
    async fn call(&self, command: Command) -> Result<Reply, AppError> {
        match command {
            Command::Snapshot => {
                let snapshot = Snapshot {
                    revision: 5,
                    machine: machine(),
                    containers: vec![],
                    images: vec![],
                    volumes: vec![],
                    networks: vec![],
                    jobs: vec![],
                    engines: Default::default(),
                    app_version: String::new(),
                };
                Ok(Reply::Snapshot { snapshot: Box::new(snapshot) })
            }
            Command::MachineStart => Ok(Reply::Done),
            _ => Err(AppError::machine_off()),
        }
    }

    fn events(&self) -> broadcast::Receiver<Change> {
        self.events.subscribe()
    }

    async fn open_logs(&self, _: OpenLogs) -> Result<Stream, AppError> {
        let (to, from) = mpsc::channel(2);
        let sent = self.logs_sent.clone();
        tokio::spawn(async move {
            let line = || LogLine { source: LogSource::Out, at_unix_ms: None, text: "x".repeat(960), partial: false };
            let chunk = || LogChunk { lines: (0..64).map(|_| line()).collect() };
            while to.send(StreamItem::Logs { chunk: chunk() }).await.is_ok() {
                sent.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            }
        });
        Ok(from)
    }

    async fn open_terminal(&self, _: OpenTerminal) -> Result<Terminal, AppError> {
        let (to, output) = mpsc::channel(2);
        let (input, mut from) = mpsc::channel(2);
        tokio::spawn(async move {
            while let Some(TerminalInput::Text { text }) = from.recv().await {
                if text == "exit" {
                    drop(to.send(StreamItem::Ended { exit_code: Some(3) }).await);
                    return;
                }
                drop(to.send(StreamItem::Bytes(text.into_bytes())).await);
            }
        });
        Ok(Terminal { output, input })
    }

    async fn open_figures(&self) -> Result<Stream, AppError> {
        Err(AppError::machine_off())
    }

    async fn open_stats(&self, _: String) -> Result<Stream, AppError> {
        Err(AppError::machine_off())
    }

    async fn open_processes(&self, _: String) -> Result<Stream, AppError> {
        Err(AppError::machine_off())
    }
}

fn session() -> (Session<Fake>, mpsc::Receiver<Outgoing>, Arc<Fake>) {
    let fake = Arc::new(Fake { events: broadcast::channel(4).0, logs_sent: Arc::default() });
    let (out, incoming) = mpsc::channel(64);
    (Session::new(fake.clone(), out), incoming, fake)
}

async fn next(incoming: &mut mpsc::Receiver<Outgoing>) -> Outgoing {
    timeout(Duration::from_secs(10), incoming.recv()).await.expect("a message in time").expect("an open session")
}

async fn next_message(incoming: &mut mpsc::Receiver<Outgoing>) -> HostMessage {
    match next(incoming).await {
        Outgoing::Text(text) => serde_json::from_str(&text).expect("a message of the schema"),
        Outgoing::Binary(bytes) => panic!("unexpected bytes {bytes:?}"),
    }
}

#[tokio::test]
async fn calls_are_answered_by_id() {
    let (session, mut incoming, _fake) = session();
    session.handle(ClientMessage::Call { id: 7, command: Command::MachineStart });
    assert_eq!(next_message(&mut incoming).await, HostMessage::Reply { id: 7, reply: Reply::Done });
    session.handle(ClientMessage::Call { id: 8, command: Command::DemoRun });
    assert_eq!(next_message(&mut incoming).await, HostMessage::Error { id: 8, error: AppError::machine_off() });
}

#[tokio::test]
async fn watching_gives_a_snapshot_and_then_only_what_is_newer() {
    let (session, mut incoming, fake) = session();
    session.handle(ClientMessage::Watch { on: true });
    assert!(matches!(next_message(&mut incoming).await, HostMessage::Snapshot { snapshot } if snapshot.revision == 5));
    for revision in [5, 6] {
        let event = Event::ContainerRemoved { id: revision.to_string() };
        fake.events.send(Change { revision, event }).expect("somebody watches");
    }
    let HostMessage::Changes { changes } = next_message(&mut incoming).await else { panic!("changes expected") };
    assert_eq!(changes.iter().map(|change| change.revision).collect::<Vec<_>>(), [6]);
}

#[tokio::test]
async fn a_hidden_window_is_told_news_and_nothing_else() {
    let (session, mut incoming, fake) = session();
    session.handle(ClientMessage::Watch { on: false });
    let news = News { id: 1, at_unix_ms: 2, what: NewsKind::MachineRestarted };
    for event in [Event::ContainerRemoved { id: "c".into() }, Event::News { news: news.clone() }] {
        fake.events.send(Change { revision: 6, event }).expect("somebody listens");
    }
    let HostMessage::Changes { changes } = next_message(&mut incoming).await else { panic!("changes expected") };
    assert_eq!(changes, [Change { revision: 6, event: Event::News { news } }]);
    session.handle(ClientMessage::Watch { on: true });
    assert!(matches!(next_message(&mut incoming).await, HostMessage::Snapshot { .. }));
}

#[tokio::test]
async fn falling_behind_gives_a_new_snapshot() {
    let (session, mut incoming, fake) = session();
    session.handle(ClientMessage::Watch { on: true });
    next_message(&mut incoming).await;
    // The channel holds 4; the single-threaded runtime lets nobody read meanwhile.
    for revision in 6..20 {
        let event = Event::ContainerRemoved { id: revision.to_string() };
        fake.events.send(Change { revision, event }).expect("somebody watches");
    }
    assert!(matches!(next_message(&mut incoming).await, HostMessage::Snapshot { .. }));
}

#[tokio::test]
async fn a_flood_stops_at_the_window_until_acknowledged() {
    let (session, mut incoming, fake) = session();
    let open = OpenLogs { container: "c".into(), tail: None, since_unix_ms: None, follow: true };
    session.handle(ClientMessage::OpenLogs { stream: 1, open });
    let mut taken = 0;
    while let Ok(Some(Outgoing::Text(text))) = timeout(Duration::from_millis(300), incoming.recv()).await {
        let HostMessage::Stream { weight, .. } = serde_json::from_str(&text).expect("a message of the schema") else {
            panic!("{text}")
        };
        taken += weight as usize;
    }
    assert!((LOGS_WINDOW_BYTES / 2..=LOGS_WINDOW_BYTES).contains(&taken), "{taken} bytes on the way");
    // Each item weighs 64 KiB; one message of four waits for its turn, and the channel holds two more.
    let sent = fake.logs_sent.load(std::sync::atomic::Ordering::SeqCst) * 64 * 1024;
    assert!(sent <= taken + 8 * 64 * 1024, "the source is held back: {sent} bytes sent, {taken} delivered");
    session.handle(ClientMessage::Ack { stream: 1, bytes: u32::try_from(taken).expect("a megabyte") });
    next_message(&mut incoming).await;
}

#[tokio::test]
async fn a_terminal_echoes_and_ends_with_its_exit_code() {
    let (session, mut incoming, _fake) = session();
    let open = OpenTerminal { container: "c".into(), columns: 80, rows: 24, shell: None };
    session.handle(ClientMessage::OpenTerminal { stream: 258, open });
    session.handle(ClientMessage::Input { stream: 258, input: TerminalInput::Text { text: "hi".into() } });
    assert_eq!(next(&mut incoming).await, Outgoing::Binary(vec![2, 1, 0, 0, b'h', b'i']));
    session.handle(ClientMessage::Input { stream: 258, input: TerminalInput::Text { text: "exit".into() } });
    let ended = HostMessage::Stream { stream: 258, item: StreamItem::Ended { exit_code: Some(3) }, weight: 0 };
    assert_eq!(next_message(&mut incoming).await, ended);
}

#[tokio::test]
async fn a_stream_that_cannot_open_says_why() {
    let (session, mut incoming, _fake) = session();
    session.handle(ClientMessage::OpenFigures { stream: 1 });
    let broken = StreamItem::Broken { error: AppError::machine_off() };
    assert_eq!(next_message(&mut incoming).await, HostMessage::Stream { stream: 1, item: broken, weight: 0 });
}
