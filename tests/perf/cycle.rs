//! create + start + wait + remove of a `true` over the API; exec; the engine's memory idle and per container.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use cubby_harness::{IMAGE, NativeEngine, busybox_archive};

use crate::{client::Client, page::Page, summary::Summary};

const ROUNDS: usize = 60;
const RUNNING: usize = 50;

struct Subject {
    name: String,
    socket: PathBuf,
    bridge: Vec<f64>,
    none: Vec<f64>,
}

pub fn measure(page: &mut Page) {
    let engine = NativeEngine::start();
    let idle = resident_kib(engine.pid());
    engine.docker().run_with_input(["load"], &busybox_archive()).ok();
    let mut subjects = vec![subject("cubby (native)", engine.socket())];
    for peer in std::env::var("CUBBY_BENCH_PEERS").unwrap_or_default().split(',').filter(|peer| !peer.is_empty()) {
        let (name, host) = peer.split_once('=').expect("CUBBY_BENCH_PEERS is name=unix:///path,…");
        let socket = PathBuf::from(host.trim_start_matches("unix://"));
        cubby_harness::Docker::new(host.to_owned(), engine.dir().join("peer"))
            .run_with_input(["load"], &busybox_archive())
            .ok();
        subjects.push(subject(name, socket));
    }
    for _ in 0..ROUNDS {
        for subject in &mut subjects {
            let socket = subject.socket.clone();
            subject.bridge.push(cycle(&socket, "bridge"));
            subject.none.push(cycle(&socket, "none"));
        }
    }
    let budget = "≤ 0.1× dockerd 28";
    for subject in subjects {
        let how = "one kept-alive connection, interleaved rounds";
        let [bridge, none] =
            [subject.bridge, subject.none].map(|samples| Summary::of(samples).expect("rounds were run"));
        page.row(&format!("{}: create+start+wait+remove, bridge, ms", subject.name), bridge, budget, how);
        page.row(&format!("{}: create+start+wait+remove, no network, ms", subject.name), none, "", how);
    }
    page.row(
        "engine, idle, resident, MiB",
        format!("{:.1}", idle as f64 / 1024.0),
        "≤ 25 MiB",
        "VmRSS right after start",
    );
    per_container(page, &engine);
}

fn subject(name: &str, socket: PathBuf) -> Subject {
    Subject { name: name.to_owned(), socket, bridge: Vec::new(), none: Vec::new() }
}

/// Milliseconds of one container's whole life.
fn cycle(socket: &Path, network: &str) -> f64 {
    let mut client = Client::connect(socket).expect("the engine listens");
    let body = format!(r#"{{"Image":"{IMAGE}","Cmd":["true"],"HostConfig":{{"NetworkMode":"{network}"}}}}"#);
    let start = Instant::now();
    let id = create(&mut client, &body);
    expect(&mut client, "POST", &format!("/v1.43/containers/{id}/start"), 204);
    expect(&mut client, "POST", &format!("/v1.43/containers/{id}/wait"), 200);
    expect(&mut client, "DELETE", &format!("/v1.43/containers/{id}"), 204);
    start.elapsed().as_secs_f64() * 1000.0
}

fn create(client: &mut Client, body: &str) -> String {
    let (status, reply) = client.call("POST", "/v1.43/containers/create", body).expect("an answer");
    assert_eq!(status, 201, "{}", String::from_utf8_lossy(&reply));
    let reply: serde_json::Value = serde_json::from_slice(&reply).expect("JSON");
    reply["Id"].as_str().expect("an id").to_owned()
}

fn expect(client: &mut Client, method: &str, path: &str, wanted: u16) {
    let (status, reply) = client.call(method, path, "").expect("an answer");
    assert_eq!(status, wanted, "{method} {path}: {}", String::from_utf8_lossy(&reply));
}

fn per_container(page: &mut Page, engine: &NativeEngine) {
    let mut client = Client::connect(&engine.socket()).expect("the engine listens");
    let before = family_kib(engine.pid());
    let body = format!(r#"{{"Image":"{IMAGE}","Cmd":["sleep","1000"],"HostConfig":{{"NetworkMode":"none"}}}}"#);
    let ids: Vec<String> = (0..RUNNING)
        .map(|_| {
            let id = create(&mut client, &body);
            expect(&mut client, "POST", &format!("/v1.43/containers/{id}/start"), 204);
            id
        })
        .collect();
    let grown = family_kib(engine.pid()).saturating_sub(before);
    let how = format!("growth of engine + keeper VmRSS over {RUNNING} running containers");
    page.row("per running container, KiB", grown / RUNNING as u64, "≤ 1024 KiB", &how);
    for id in ids {
        expect(&mut client, "DELETE", &format!("/v1.43/containers/{id}?force=1"), 204);
    }
}

fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.split_whitespace().next()).and_then(|kib| kib.parse().ok()).unwrap_or(0)
}

/// The engine and its keeper, which runs the same program.
fn family_kib(engine: u32) -> u64 {
    let exe = fs::read_link(format!("/proc/{engine}/exe")).ok();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| exe.is_some() && fs::read_link(format!("/proc/{pid}/exe")).ok() == exe).map(resident_kib).sum()
}
