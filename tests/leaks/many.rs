//! Many containers at once and one after another: started, listed, stopped, removed, and nothing is left.

use std::{collections::BTreeSet, path::Path, time::Duration};

use cubby_harness::{IMAGE, Memory, NativeEngine, Traces, busybox_archive, request, wait_for};
use serde_json::json;

use crate::{settled, size};

/// What the engine's memory may have grown by: caches of allocators, not containers.
const MEMORY_BACK_WITHIN_KIB: u64 = 2048;
const AT_ONCE: usize = 8;

#[test]
fn a_crowd_of_containers_leaves_no_trace() {
    let crowd = size("CUBBY_LEAKS_CONTAINERS", 100);
    let engine = NativeEngine::start();
    engine.docker().run_with_input(["load"], &busybox_archive()).ok();
    // Why twice: the first crowd grows tables and pools to the size that a crowd needs. What the second one leaves is a leak.
    let mut ids = crowded(&engine, crowd);
    let before = (settled(&engine, &ids), Memory::of(&engine));
    ids.extend(crowded(&engine, crowd));
    let after = settled(&engine, &ids);
    let memory = wait_for("memory to come back", Duration::from_secs(60), || {
        let memory = Memory::of(&engine);
        (memory.total_kib() <= before.1.total_kib() + MEMORY_BACK_WITHIN_KIB).then_some(memory)
    });
    println!("before {:?}; {}\nafter  {after:?}; {memory}", before.0, before.1);
    assert!(after.at_most(&before.0), "something is left: before {:?}, after {after:?}", before.0);
}

#[test]
fn containers_with_ports_and_volumes_one_after_another_leave_no_trace() {
    let engine = NativeEngine::start();
    let docker = engine.docker();
    docker.run_with_input(["load"], &busybox_archive()).ok();
    let life = |count: usize| {
        for _ in 0..count {
            docker.run(["run", "--rm", "-p", "127.0.0.1:0:80", "-v", "/data", IMAGE, "true"]).ok();
        }
    };
    life(3);
    let before = settled(&engine, &BTreeSet::new());
    life(30);
    let after = settled(&engine, &BTreeSet::new());
    println!("before {before:?}\nafter  {after:?}");
    assert!(after.at_most(&before), "something is left: before {before:?}, after {after:?}");
    assert_eq!(docker.run(["volume", "ls", "-q"]).ok(), "");
}

/// Starts `count` sleepers, lists, stops and removes them. Returns their ids.
fn crowded(engine: &NativeEngine, count: usize) -> BTreeSet<String> {
    let socket = engine.socket();
    let ids = in_parallel(count, |_| start(&socket));
    let list = request(&socket, "GET", "/containers/json", b"").expect("an answer").json();
    assert_eq!(list.as_array().map(Vec::len), Some(count));
    println!("{count} running: {:?}; {}", Traces::of(engine, &ids.iter().cloned().collect()), Memory::of(engine));
    in_parallel(count, |n| expect(&socket, "POST", &format!("/containers/{}/stop?t=0", ids[n]), b"", 204));
    in_parallel(count, |n| expect(&socket, "DELETE", &format!("/containers/{}", ids[n]), b"", 204));
    let list = request(&socket, "GET", "/containers/json?all=1", b"").expect("an answer").json();
    assert_eq!(list, json!([]));
    ids.into_iter().collect()
}

fn start(socket: &Path) -> String {
    let body = json!({ "Image": IMAGE, "Cmd": ["sleep", "100000"] }).to_string();
    let created = expect(socket, "POST", "/containers/create", body.as_bytes(), 201);
    let id = created["Id"].as_str().expect("an id").to_owned();
    expect(socket, "POST", &format!("/containers/{id}/start"), b"", 204);
    id
}

fn expect(socket: &Path, method: &str, path: &str, body: &[u8], status: u16) -> serde_json::Value {
    let reply = request(socket, method, path, body).expect("an answer");
    assert_eq!(reply.status, status, "{method} {path}: {}", String::from_utf8_lossy(&reply.body));
    if reply.body.is_empty() { serde_json::Value::Null } else { reply.json() }
}

/// `work` for 0..count on a few threads; results in order.
fn in_parallel<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let work = &work;
    let mut done: Vec<(usize, T)> = std::thread::scope(|scope| {
        let threads = (0..AT_ONCE).map(|first| {
            scope.spawn(move || (first..count).step_by(AT_ONCE).map(|n| (n, work(n))).collect::<Vec<_>>())
        });
        let threads: Vec<_> = threads.collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no thread fails")).collect()
    });
    done.sort_by_key(|(n, _)| *n);
    done.into_iter().map(|(_, value)| value).collect()
}
