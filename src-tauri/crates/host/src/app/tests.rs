//! The whole host in one process: daemon, supervisor, proxy and App are the real ones, only the machine is played, with an
//! engine of a few lines in it.

use std::convert::Infallible;
use std::sync::Mutex;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use cubby_machine::ExitReason;
use serde_json::{Value, json};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::BroadcastStream;

use super::*;
use crate::daemon::{self, Options};
use crate::fake::machine::{FakeHardware, Rig};
use crate::fake::wait_for;
use crate::schema::{
    ContainerState, ErrorCode, Event, FileSource, FileTarget, JobKind, JobState, LogSource, StopReason, StreamItem,
    UpkeepCommand, UpkeepReply,
};

/// Containers `a`, `b`, … of which `running` tells which run.
#[derive(Clone)]
struct FakeEngine {
    running: Arc<Mutex<Vec<(String, bool)>>>,
    events: broadcast::Sender<Value>,
    /// What `since` would have told: all of it, a client may be told twice.
    told: Arc<Mutex<Vec<Value>>>,
}

impl FakeEngine {
    fn new() -> Self {
        let running = vec![("a".to_owned(), true), ("b".to_owned(), false)];
        Self { running: Arc::new(Mutex::new(running)), events: broadcast::channel(64).0, told: Arc::default() }
    }

    fn set(&self, id: &str, runs: bool) {
        let mut all = self.running.lock().unwrap();
        match all.iter_mut().find(|(known, _)| known == id) {
            Some((_, running)) => *running = runs,
            None => all.push((id.to_owned(), runs)),
        }
    }

    fn say(&self, action: &str, id: &str) {
        let event = json!({ "Type": "container", "Action": action, "Actor": { "ID": id } });
        let mut told = self.told.lock().unwrap();
        told.push(event.clone());
        let _ = self.events.send(event);
    }

    fn routes(&self) -> axum::Router {
        let not_found = || (StatusCode::NOT_FOUND, Json(json!({ "message": "No such container" })));
        axum::Router::new()
            .route("/_ping", get(|| async { "OK" }))
            .route(
                "/containers/json",
                get(|State(engine): State<FakeEngine>| async move {
                    let all = engine.running.lock().unwrap();
                    Json(all.iter().map(|(id, _)| json!({ "Id": id })).collect::<Vec<_>>())
                }),
            )
            .route(
                "/containers/{id}/json",
                get(move |State(engine): State<FakeEngine>, Path(id): Path<String>| async move {
                    let all = engine.running.lock().unwrap();
                    match all.iter().find(|(known, _)| *known == id) {
                        Some((_, runs)) => Json(inspected(&id, *runs)).into_response(),
                        None => not_found().into_response(),
                    }
                }),
            )
            .route(
                "/containers/{id}/stop",
                post(|State(engine): State<FakeEngine>, Path(id): Path<String>| async move {
                    engine.set(&id, false);
                    engine.say("kill", &id);
                    engine.say("die", &id);
                    StatusCode::NO_CONTENT
                }),
            )
            .route(
                "/containers/{id}/logs",
                get(|| async {
                    let mut frames = Vec::new();
                    for (kind, text) in [(1_u8, "2026-11-21T04:00:00Z one\n"), (2, "2026-11-21T04:00:01Z two\n")] {
                        frames.extend([kind, 0, 0, 0]);
                        frames.extend((text.len() as u32).to_be_bytes());
                        frames.extend(text.as_bytes());
                    }
                    frames
                }),
            )
            .route("/images/json", get(|| async { Json(json!([])) }))
            .route(
                "/events",
                get(|State(engine): State<FakeEngine>| async move {
                    let told = engine.told.lock().unwrap();
                    let live = BroadcastStream::new(engine.events.subscribe()).filter_map(Result::ok);
                    let events = tokio_stream::iter(told.clone()).chain(live);
                    Body::from_stream(events.map(|event| Ok::<_, Infallible>(format!("{event}\n"))))
                }),
            )
            .with_state(self.clone())
    }
}

fn inspected(id: &str, runs: bool) -> Value {
    let status = if runs { "running" } else { "exited" };
    json!({
        "Id": id, "Name": format!("/{id}"), "Created": "2026-11-21T04:00:00Z",
        "State": { "Status": status, "Running": runs, "StartedAt": "2026-11-21T04:00:01Z", "ExitCode": if runs { 0 } else { 137 } },
    })
}

struct Case {
    _home: tempfile::TempDir,
    dirs: Dirs,
    rig: Arc<Rig>,
    engine: FakeEngine,
    daemon: tokio::task::JoinHandle<()>,
    app: App,
}

fn start_daemon(dirs: &Dirs, rig: &Arc<Rig>) -> tokio::task::JoinHandle<()> {
    let (dirs, hardware) = (dirs.clone(), Arc::new(FakeHardware(rig.clone())));
    tokio::spawn(async move { daemon::run(&dirs, hardware, Options::default()).await.unwrap() })
}

async fn connected(dirs: &Dirs) -> Client {
    for _ in 0..1000 {
        if let Some(client) = Client::connect(dirs).await.unwrap() {
            return client;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("no daemon");
}

async fn case() -> Case {
    let home = tempfile::tempdir().unwrap();
    let dirs = Dirs { profile: "t".into(), state: home.path().join("state"), runtime: home.path().join("run") };
    let engine = FakeEngine::new();
    let routes = engine.routes();
    let rig = Rig::with_docker(Arc::new(move |stream| {
        let service = hyper_util::service::TowerToHyperService::new(routes.clone());
        Box::pin(async move {
            let http = hyper::server::conn::http1::Builder::new();
            let _ = http.serve_connection(hyper_util::rt::TokioIo::new(stream), service).await;
        })
    }));
    let daemon = start_daemon(&dirs, &rig);
    let app = App::with_daemon(connected(&dirs).await, dirs.clone());
    Case { _home: home, dirs, rig, engine, daemon, app }
}

impl Case {
    fn phase(&self) -> MachinePhase {
        self.app.inner.world.machine().phase
    }

    fn row(&self, id: &str) -> Option<crate::schema::Container> {
        self.app.inner.world.snapshot().containers.into_iter().find(|row| row.id == id)
    }

    async fn up(&self) {
        assert_eq!(self.app.call(Command::MachineStart).await.unwrap(), Reply::Done);
        wait_for("running", || self.phase() == MachinePhase::Running).await;
        wait_for("the model", || self.row("a").is_some()).await;
    }
}

#[tokio::test]
async fn containers_follow_the_events_and_revisions_have_no_gaps() {
    let case = case().await;
    let mut changes = case.app.events();
    case.up().await;
    assert_eq!(case.row("b").unwrap().stop_reason, Some(StopReason::Signal { signal: 9 }));

    case.engine.set("c", true);
    case.engine.say("create", "c");
    case.engine.say("exec_start: sh", "c");
    wait_for("c", || case.row("c").is_some()).await;
    case.app.call(Command::ContainerStop { id: "a".into() }).await.unwrap();
    wait_for("a stopped", || case.row("a").unwrap().state == ContainerState::Exited).await;
    assert_eq!(case.row("a").unwrap().stop_reason, Some(StopReason::Stopped), "somebody asked for it");
    case.engine.say("destroy", "b");
    wait_for("b gone", || case.row("b").is_none()).await;

    let last = case.app.inner.world.snapshot().revision;
    for revision in 1..=last {
        assert_eq!(changes.try_recv().unwrap().revision, revision);
    }
}

#[tokio::test]
async fn a_crash_empties_the_model_and_fills_it_again() {
    let case = case().await;
    case.up().await;
    let mut changes = case.app.events();
    case.rig.exit.send_replace(Some(ExitReason::Panicked));
    wait_for("gone", || case.row("a").is_none()).await;
    wait_for("back", || case.row("a").is_some()).await;
    let mut reasons = Vec::new();
    while let Ok(change) = changes.try_recv() {
        if let Event::Machine { machine } = change.event {
            reasons.extend(machine.problem.map(|problem| problem.detail));
        }
    }
    assert!(reasons.iter().any(|reason| reason.contains("panicked")), "{reasons:?}");
}

#[tokio::test]
async fn without_a_machine_commands_say_so_and_the_daemon_can_come_and_go() {
    let case = case().await;
    wait_for("off", || case.phase() == MachinePhase::Off).await;
    let err = case.app.call(Command::ContainerStart { id: "a".into() }).await.unwrap_err();
    assert_eq!(err.code, ErrorCode::MachineOff);
    case.up().await;

    // What `kill -9` of the daemon looks like to its clients.
    case.daemon.abort();
    wait_for("failed", || case.phase() == MachinePhase::Failed).await;
    wait_for("an empty model", || case.row("a").is_none()).await;
    let again = start_daemon(&case.dirs, &case.rig);
    wait_for("another daemon", || case.phase() == MachinePhase::Off).await;
    case.up().await;
    case.app.call(Command::MachineStop).await.unwrap();
    wait_for("off", || case.phase() == MachinePhase::Off).await;
    connected(&case.dirs).await.down_and_exit().await.unwrap();
    assert!(!again.is_finished(), "the App is connected, so the daemon stays");
    drop(case.app);
    wait_for("nobody is left", || case.rig.machines.load(std::sync::atomic::Ordering::SeqCst) == 0).await;
    again.abort();
}

#[tokio::test]
async fn logs_come_as_lines_with_their_source_and_time() {
    let case = case().await;
    case.up().await;
    let open =
        |container: &str| OpenLogs { container: container.into(), tail: None, since_unix_ms: None, follow: false };
    let mut stream = case.app.open_logs(open("a")).await.unwrap();
    let mut lines = Vec::new();
    while let Some(item) = stream.recv().await {
        match item {
            StreamItem::Logs { chunk } => lines.extend(chunk.lines),
            last => assert_eq!(last, StreamItem::Ended { exit_code: None }),
        }
    }
    let got: Vec<_> = lines.iter().map(|line| (line.source, line.text.as_str(), line.at_unix_ms.is_some())).collect();
    assert_eq!(got, [(LogSource::Out, "one", true), (LogSource::Err, "two", true)]);
    assert_eq!(case.app.open_logs(open("nope")).await.unwrap_err().code, ErrorCode::NotFound);
}

#[tokio::test]
async fn figures_come_at_once() {
    let case = case().await;
    case.up().await;
    let mut stream = case.app.open_figures().await.unwrap();
    match stream.recv().await {
        Some(StreamItem::Figures { figures }) => assert_eq!(figures.host_memory_bytes, Some(42)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn everything_is_copied_thrown_away_and_put_back_with_the_machine_off() {
    let case = case().await;
    let (disk, kept) = (case.dirs.data_disk(), case.dirs.state.join("kept.img"));
    let mut content = vec![0; 4096];
    content[1024 + 0x38..1024 + 0x3a].copy_from_slice(&[0x53, 0xef]);
    // What it is known by on Windows.
    content[..8].copy_from_slice(b"vhdxfile");
    std::fs::write(&disk, &content).unwrap();
    case.up().await;
    let starts = || case.rig.machines.load(std::sync::atomic::Ordering::SeqCst);
    let upkeep = |command| case.app.call(Command::Upkeep { command });
    let ended = |kind| {
        let jobs = case.app.inner.world.snapshot().jobs;
        jobs.into_iter().find(|job| job.kind == kind).filter(|job| job.state != JobState::Running)
    };

    let path = kept.display().to_string();
    upkeep(UpkeepCommand::Export { to: FileTarget::Path { path: path.clone() } }).await.unwrap();
    wait_for("the copy", || ended(JobKind::Export).is_some()).await;
    let job = ended(JobKind::Export).unwrap();
    assert_eq!(job.state, JobState::Done, "{job:?}");
    assert_eq!(std::fs::read(&kept).unwrap(), content);
    wait_for("running again", || case.phase() == MachinePhase::Running && starts() == 1).await;

    let done = Reply::Upkeep { reply: UpkeepReply::Done };
    assert_eq!(upkeep(UpkeepCommand::Reset).await.unwrap(), done);
    assert!(!disk.exists());
    wait_for("running anew", || case.phase() == MachinePhase::Running).await;

    upkeep(UpkeepCommand::Import { from: FileSource::Path { path } }).await.unwrap();
    wait_for("it is back", || ended(JobKind::Import).is_some()).await;
    assert_eq!(ended(JobKind::Import).unwrap().state, JobState::Done);
    assert_eq!(std::fs::read(&disk).unwrap(), content);
    wait_for("running as before", || case.phase() == MachinePhase::Running).await;

    let nonsense = case.dirs.state.join("images.json");
    std::fs::write(&nonsense, b"{}").unwrap();
    let from = FileSource::Path { path: nonsense.display().to_string() };
    upkeep(UpkeepCommand::Import { from }).await.unwrap();
    let refused = || case.app.inner.world.snapshot().jobs.iter().any(|job| job.state == JobState::Failed);
    wait_for("it is refused", refused).await;
    assert_eq!(std::fs::read(&disk).unwrap(), content, "and nothing was touched");
}
