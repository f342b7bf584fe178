//! Clients that mean harm or know no better: the engine answers each in bounded time and words, serves the others meanwhile,
//! and keeps nothing of them.

mod body;
mod mutate;

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    panic::AssertUnwindSafe,
    path::Path,
    time::Duration,
};

use cubby_harness::{IMAGE, Memory, NativeEngine, Reply, Traces, busybox_archive, request, request_with, wait_for};
use serde_json::json;

use crate::{settled, size};

const IDLE: usize = 3000;

fn engine() -> NativeEngine {
    let engine = NativeEngine::start();
    let docker = engine.docker();
    docker.run_with_input(["load"], &busybox_archive()).ok();
    // Why: pools (spare network namespaces, journal files) fill with the first container.
    docker
        .run(["run", "--rm", "-v", "/data", "-p", "127.0.0.1:0:80", IMAGE, "sh", "-c", "echo out; echo err >&2"])
        .ok();
    engine
}

/// Nobody else is kept waiting, and nothing panicked.
fn still_serves(engine: &NativeEngine) {
    let reply = request(&engine.socket(), "GET", "/_ping", b"").expect("an answer");
    assert_eq!(reply.status, 200);
    assert!(!engine.log().contains("panicked"), "{}", engine.log());
}

/// Waits until no more is there than before.
fn nothing_stays(engine: &NativeEngine, before: &Traces) {
    let mut last = Traces::default();
    let given_back = std::panic::catch_unwind(AssertUnwindSafe(|| {
        wait_for("everything to be given back", Duration::from_secs(30), || {
            last = Traces::of(engine, &BTreeSet::new());
            last.at_most(before).then_some(())
        });
    }));
    assert!(given_back.is_ok(), "something is left: before {before:?}, after {last:?}");
    still_serves(engine);
}

#[test]
fn thousands_of_idle_connections_cost_little_and_delay_nobody() {
    let engine = engine();
    let before = (settled(&engine, &BTreeSet::new()), Memory::of(&engine));
    // This process has as many descriptors as the engine for them.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).expect("the limit can be raised");
    let idle: Vec<UnixStream> =
        (0..IDLE).map(|_| UnixStream::connect(engine.socket()).expect("a connection is taken")).collect();
    // Half of them have begun a request and do not go on.
    for stream in idle.iter().step_by(2) {
        let _ = (&mut &*stream).write(b"GET /_ping HTT");
    }
    still_serves(&engine);
    assert_eq!(engine.docker().run(["run", "--rm", IMAGE, "sh", "-c", "ulimit -Sn"]).ok(), "1024");
    let with = Memory::of(&engine);
    println!("{IDLE} idle connections: {} → {with}", before.1);
    assert!(with.engine_kib < before.1.engine_kib + 20 * IDLE as u64, "{} → {with}", before.1);
    drop(idle);
    nothing_stays(&engine, &before.0);
}

#[test]
fn broken_off_requests_leave_nothing() {
    let engine = engine();
    let before = settled(&engine, &BTreeSet::new());
    let create = json!({ "Image": IMAGE, "Cmd": ["true"] }).to_string();
    let whole = format!(
        "POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{create}",
        create.len()
    );
    // A request cut off after each of its bytes creates nothing.
    for cut in (0..whole.len()).step_by(7) {
        let mut stream = UnixStream::connect(engine.socket()).expect("a connection");
        stream.write_all(&whole.as_bytes()[..cut]).expect("room in the socket");
    }
    assert_eq!(request(&engine.socket(), "GET", "/containers/json?all=1", b"").expect("an answer").json(), json!([]));
    // A client that has said all it has to say and only listens gets its answer.
    let mut stream = UnixStream::connect(engine.socket()).expect("a connection");
    stream.write_all(b"GET /version HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n").expect("room in the socket");
    stream.shutdown(Shutdown::Write).expect("half a connection");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("ApiVersion"), "{answer}");
    // Archives and images that end in the middle, streams that nobody reads.
    let archive = busybox_archive();
    for part in [1, 511, 513, archive.len() / 2] {
        let head = format!("POST /images/load HTTP/1.1\r\nHost: d\r\nContent-Length: {}\r\n\r\n", archive.len());
        let mut stream = UnixStream::connect(engine.socket()).expect("a connection");
        stream.write_all(head.as_bytes()).expect("room in the socket");
        let _ = stream.write_all(&archive[..part]);
    }
    for path in ["/events", "/images/get?names=cubby-test/busybox", "/info"] {
        let mut stream = UnixStream::connect(engine.socket()).expect("a connection");
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: d\r\n\r\n").as_bytes()).expect("room in the socket");
    }
    nothing_stays(&engine, &before);
}

#[test]
fn what_is_too_big_is_refused() {
    let engine = engine();
    let before = (settled(&engine, &BTreeSet::new()), Memory::of(&engine));
    let socket = engine.socket();
    let huge = format!("{{\"Image\":\"{}\"}}", "x".repeat(8 << 20));
    refused(request(&socket, "POST", "/containers/create", huge.as_bytes()), "a huge body");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    refused(request(&socket, "POST", "/containers/create", deep.as_bytes()), "a deep body");
    refused(request(&socket, "GET", &format!("/containers/{}/json", "x".repeat(60_000)), b""), "a long path");
    let value = "x".repeat(600_000);
    refused(request_with(&socket, "GET", "/info", &[("X-Long", &value)], b""), "a long header");
    let filters = format!("/containers/json?filters={}", "%7B".repeat(5000));
    refused(request(&socket, "GET", &filters, b""), "deep filters");
    let memory = Memory::of(&engine);
    assert!(memory.engine_kib < before.1.engine_kib + 64 * 1024, "{} → {memory}", before.1);
    nothing_stays(&engine, &before.0);
}

/// Either an answer of the 400s or a closed connection, at once.
fn refused(reply: std::io::Result<Reply>, what: &str) {
    if let Ok(reply) = reply {
        let said = String::from_utf8_lossy(&reply.body[..reply.body.len().min(300)]).into_owned();
        assert!((400..500).contains(&reply.status), "{what}: {} {said}", reply.status);
    }
}

#[test]
fn any_create_body_is_answered_and_leaves_nothing() {
    let engine = engine();
    let socket = engine.socket();
    let before = settled(&engine, &BTreeSet::new());
    let cases = size("CUBBY_HOSTILE_CASES", 200);
    let mut random = fastrand::Rng::with_seed(size("CUBBY_LEAKS_SEED", 20) as u64);
    let mut created = 0;
    for case in 0..cases {
        let body = mutate::mutated(&body::create(), &mut random);
        let text = body.to_string();
        let reply = request(&socket, "POST", "/containers/create", text.as_bytes()).expect("an answer");
        let said = String::from_utf8_lossy(&reply.body).into_owned();
        // Why: dockerd tells of security options that make no sense as faults of its own; so do we.
        let as_dockerd = reply.status == 500 && said.contains("security-opt");
        assert!(
            as_dockerd || matches!(reply.status, 201 | 400 | 403 | 404 | 409 | 501),
            "case {case}: {} {said}\n{text}",
            reply.status
        );
        if reply.status == 201 {
            created += 1;
            start_and_remove(&socket, reply.json()["Id"].as_str().expect("an id"), case, &text);
        } else {
            assert!(!reply.message().is_empty(), "case {case}: {said}\n{text}");
        }
    }
    println!("{created} of {cases} were created");
    assert!(created > cases / 20 && created < cases, "{created} of {cases}: the cases are no mix");
    for volume in engine.docker().run(["volume", "ls", "-q"]).ok().lines() {
        engine.docker().run(["volume", "rm", volume]).ok();
    }
    nothing_stays(&engine, &before);
}

/// Whatever could be created can be started, or says why not, and goes without a trace.
fn start_and_remove(socket: &Path, id: &str, case: usize, text: &str) {
    let reply = request(socket, "POST", &format!("/containers/{id}/start"), b"").expect("an answer");
    let said = String::from_utf8_lossy(&reply.body).into_owned();
    assert!(reply.status == 204 || !reply.message().is_empty(), "case {case}: {} {said}\n{text}", reply.status);
    let reply = request(socket, "GET", &format!("/containers/{id}/json"), b"").expect("an answer");
    assert!(matches!(reply.status, 200 | 404), "case {case}: {}\n{text}", reply.status);
    let reply = request(socket, "DELETE", &format!("/containers/{id}?force=1&v=1"), b"").expect("an answer");
    let said = String::from_utf8_lossy(&reply.body).into_owned();
    // With AutoRemove it may be gone or going already.
    assert!(matches!(reply.status, 204 | 404 | 409), "case {case}: {} {said}\n{text}", reply.status);
}

#[test]
fn any_archive_is_answered_and_harms_nothing() {
    let engine = engine();
    let socket = engine.socket();
    let docker = engine.docker();
    docker.run(["create", "--name", "target", IMAGE, "true"]).ok();
    let before = settled(&engine, &BTreeSet::new());
    let mut random = fastrand::Rng::with_seed(size("CUBBY_LEAKS_SEED", 20) as u64);
    let (image, tree) = (busybox_archive(), mutate::small_tar());
    let tar = [("Content-Type", "application/x-tar")];
    for case in 0..size("CUBBY_HOSTILE_CASES", 200) {
        let bytes = mutate::damaged(&tree, &mut random);
        let reply =
            request_with(&socket, "PUT", "/containers/target/archive?path=/tmp", &tar, &bytes).expect("an answer");
        assert!(matches!(reply.status, 200 | 400 | 403 | 404 | 500), "case {case}: {}", reply.status);
        if case % 10 == 0 {
            let bytes = mutate::damaged(&image, &mut random);
            let reply = request_with(&socket, "POST", "/images/load?quiet=1", &tar, &bytes).expect("an answer");
            assert!(matches!(reply.status, 200 | 400 | 404 | 500), "case {case}: {}", reply.status);
        }
    }
    docker.run(["rm", "target"]).ok();
    nothing_stays(&engine, &before);
}
