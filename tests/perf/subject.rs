//! Who is measured: Cubby's engine, natively, and the peers that `CUBBY_BENCH_PEERS` names (`name=unix:///path,…`).

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use cubby_harness::{Docker, IMAGE, NativeEngine, busybox_archive, resident_kib};
use serde_json::{Value, json};

use crate::client::Client;

pub struct Subject {
    pub name: String,
    pub socket: PathBuf,
    /// Names of its programs, for its memory.
    programs: Vec<&'static str>,
    /// Its own process, where the programs' name says too little: other engines may run here.
    pid: Option<u32>,
}

/// Cubby first.
pub fn all(engine: &NativeEngine) -> Vec<Subject> {
    let mut subjects = vec![Subject {
        name: "cubby".to_owned(),
        socket: engine.socket(),
        programs: Vec::new(),
        pid: Some(engine.pid()),
    }];
    for peer in std::env::var("CUBBY_BENCH_PEERS").unwrap_or_default().split(',').filter(|peer| !peer.is_empty()) {
        let (name, host) = peer.split_once('=').expect("CUBBY_BENCH_PEERS is name=unix:///path,…");
        let programs = match name.contains("podman") {
            true => vec!["podman", "conmon"],
            false => vec!["dockerd", "containerd", "containerd-shim", "docker-proxy"],
        };
        let socket = PathBuf::from(host.trim_start_matches("unix://"));
        subjects.push(Subject { name: name.to_owned(), socket, programs, pid: None });
    }
    for subject in &subjects {
        let host = format!("unix://{}", subject.socket.display());
        Docker::new(host, engine.dir().join("peer")).run_with_input(["load"], &busybox_archive()).ok();
    }
    subjects
}

impl Subject {
    pub fn client(&self) -> Client {
        Client::connect(&self.socket).expect("the engine listens")
    }

    /// Resident memory of all its processes: of Cubby's engine and keeper, of a peer's daemons and helpers.
    pub fn resident_kib(&self, engine: &NativeEngine) -> u64 {
        if self.pid.is_some() {
            return resident_kib(engine.pid()) + engine.keeper().map_or(0, resident_kib);
        }
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        pids.filter(|pid| {
            // The kernel cuts the name after 15 bytes.
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            let name = name.trim_end();
            !name.is_empty()
                && self.programs.iter().any(|program| program.starts_with(name) || name.starts_with(program))
        })
        .map(resident_kib)
        .sum()
    }
}

pub fn body(command: &[&str], network: &str) -> String {
    json!({ "Image": IMAGE, "Cmd": command, "HostConfig": { "NetworkMode": network } }).to_string()
}

pub fn create(client: &mut Client, body: &str) -> String {
    let reply = expect(client, "POST", "/v1.40/containers/create", body, &[201]);
    reply["Id"].as_str().expect("an id").to_owned()
}

pub fn start(client: &mut Client, id: &str) {
    expect(client, "POST", &format!("/v1.40/containers/{id}/start"), "", &[204]);
}

pub fn wait(client: &mut Client, id: &str) {
    expect(client, "POST", &format!("/v1.40/containers/{id}/wait"), "", &[200]);
}

pub fn remove(client: &mut Client, id: &str) {
    expect(client, "DELETE", &format!("/v1.40/containers/{id}?force=1"), "", &[200, 204]);
}

/// Milliseconds of one container's whole life.
pub fn cycle(socket: &Path, network: &str) -> f64 {
    let mut client = Client::connect(socket).expect("the engine listens");
    let body = body(&["true"], network);
    let begin = Instant::now();
    let id = create(&mut client, &body);
    start(&mut client, &id);
    wait(&mut client, &id);
    remove(&mut client, &id);
    begin.elapsed().as_secs_f64() * 1000.0
}

pub fn expect(client: &mut Client, method: &str, path: &str, body: &str, wanted: &[u16]) -> Value {
    let (status, reply) = client.call(method, path, body).expect("an answer");
    assert!(wanted.contains(&status), "{method} {path}: {status} {}", String::from_utf8_lossy(&reply));
    serde_json::from_slice(&reply).unwrap_or(Value::Null)
}
