//! Clients that wait for something that does not happen, and go.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    os::unix::net::UnixStream,
    time::Duration,
};

use cubby_harness::{IMAGE, NativeEngine, Traces, busybox_archive, request, wait_for};

use crate::settled;

const EACH: usize = 30;
/// Tasks that come and go behind everybody's back.
const SPARE: u64 = 8;

/// Of each kind of client that may wait for ever; `101` and `200` are the answers that begin at once.
const WAITING: [(&str, &str, &str); 7] = [
    ("GET", "/events", ""),
    ("POST", "/containers/silent/wait?condition=next-exit", ""),
    ("GET", "/containers/silent/logs?stdout=1&follow=1", ""),
    ("POST", "/containers/silent/attach?stream=1&stdout=1", "Connection: Upgrade\r\nUpgrade: tcp\r\n"),
    ("POST", "/containers/silent/attach?stream=1&stdout=1", ""),
    ("POST", "/containers/silent/attach?stream=1&stdin=1&stdout=1", "Connection: Upgrade\r\nUpgrade: tcp\r\n"),
    ("GET", "/containers/silent/stats", ""),
];

#[test]
fn clients_that_went_while_nothing_happened_leave_nothing() {
    let engine = NativeEngine::start();
    let docker = engine.docker();
    docker.run_with_input(["load"], &busybox_archive()).ok();
    docker.run(["run", "-di", "--name", "silent", IMAGE, "sleep", "1000000"]).ok();
    drop(waiting(&engine, 1));
    let before = (settled(&engine, &BTreeSet::new()), figure(&engine, "NGoroutines"));
    let clients = waiting(&engine, EACH);
    assert_eq!(figure(&engine, "NEventsListener"), EACH as u64);
    drop(clients);
    let mut last = (Traces::default(), 0);
    let noticed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait_for("everybody's departure to be noticed", Duration::from_secs(60), || {
            last = (Traces::of(&engine, &BTreeSet::new()), figure(&engine, "NGoroutines"));
            let tasks = last.1 <= before.1 + SPARE;
            (last.0.at_most(&before.0) && tasks && figure(&engine, "NEventsListener") == 0).then_some(())
        });
    }));
    println!("before {before:?}\nafter  {last:?}");
    assert!(noticed.is_ok(), "somebody who went is still served: before {before:?}, after {last:?}");
}

/// Connections of [`WAITING`] whose answers have begun.
fn waiting(engine: &NativeEngine, each: usize) -> Vec<UnixStream> {
    let mut clients = Vec::new();
    for (method, path, headers) in WAITING.iter().cycle().take(each * WAITING.len()) {
        let mut client = UnixStream::connect(engine.socket()).expect("a connection");
        write!(client, "{method} {path} HTTP/1.1\r\nHost: d\r\n{headers}\r\n").expect("room in the socket");
        clients.push(client);
    }
    for client in &mut clients {
        client.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
        let mut begun = [0; 12];
        client.read_exact(&mut begun).expect("an answer");
        assert!(matches!(&begun, b"HTTP/1.1 200" | b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&begun));
    }
    clients
}

fn figure(engine: &NativeEngine, member: &str) -> u64 {
    request(&engine.socket(), "GET", "/info", b"").expect("an answer").json()[member].as_u64().expect("a number")
}
