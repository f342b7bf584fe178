//! `top` and `stats`: what clients read of them.

use std::time::Duration;

use cubby_harness::{IMAGE, request, wait_for};

use crate::docker;

#[test]
fn processes_are_listed_as_ps_does() {
    let (docker, engine) = docker();
    docker.run(["run", "-d", "--name", "top", IMAGE, "sh", "-c", "sleep 1000 & sleep 2000"]).ok();
    let top = wait_for("both processes", Duration::from_secs(60), || {
        let top = request(&engine.socket(), "GET", "/containers/top/top", b"").expect("an answer").json();
        let processes = top["Processes"].as_array().cloned().unwrap_or_default();
        let runs = |command: &str| processes.iter().any(|process| process[7] == command);
        (runs("sleep 1000") && runs("sleep 2000")).then_some(top)
    });
    assert_eq!(top["Titles"], serde_json::json!(["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]));
    let path = "/containers/top/top?ps_args=-o+pid,comm";
    let chosen = request(&engine.socket(), "GET", path, b"").expect("an answer").json();
    assert_eq!(chosen["Titles"], serde_json::json!(["PID", "COMMAND"]), "{chosen}");
    docker.run(["rm", "-f", "top"]).ok();
    docker.run(["create", "--name", "top-off", IMAGE, "true"]).ok();
    let off = request(&engine.socket(), "GET", "/containers/top-off/top", b"").expect("an answer");
    assert_eq!(off.status, 409, "{off:?}");
    docker.run(["rm", "top-off"]).ok();
}

#[test]
fn figures_have_dockers_shape_and_grow() {
    let (docker, engine) = docker();
    docker.run(["run", "-d", "--name", "stats", "--memory", "64m", IMAGE, "sh", "-c", "while :; do :; done"]).ok();
    let sample = |query: &str| {
        let path = format!("/containers/stats/stats?{query}");
        request(&engine.socket(), "GET", &path, b"").expect("an answer").json()
    };
    let stats = sample("stream=false");
    let number = |pointer: &str| stats.pointer(pointer).and_then(serde_json::Value::as_u64).unwrap_or_default();
    assert_eq!(stats["name"], "/stats");
    assert_eq!(number("/memory_stats/limit"), 64 << 20, "{stats}");
    assert!(number("/memory_stats/usage") > 0 && number("/pids_stats/current") > 0, "{stats}");
    let total = "/cpu_stats/cpu_usage/total_usage";
    assert!(number(total) > number("/precpu_stats/cpu_usage/total_usage"), "{stats}");
    assert!(number("/cpu_stats/system_cpu_usage") > number("/precpu_stats/system_cpu_usage"), "{stats}");
    assert!(number("/cpu_stats/online_cpus") > 0 && stats["networks"]["eth0"]["rx_bytes"].is_u64(), "{stats}");
    assert!(stats["blkio_stats"].get("io_service_bytes_recursive").is_some(), "{stats}");
    let once = sample("stream=false&one-shot=true");
    assert_eq!(once["precpu_stats"]["cpu_usage"]["total_usage"], 0, "{once}");
    let both = request(&engine.socket(), "GET", "/containers/stats/stats?stream=true&one-shot=true", b"");
    assert_eq!(both.expect("an answer").message(), "cannot have stream=true and one-shot=true");
    docker.run(["rm", "-f", "stats"]).ok();
}
