//! The real Compose brings a web application with a database and a cache up, scales it, and takes it down again.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use cubby_harness::{Docker, IMAGE, Output, wait_for};

use crate::docker;

const PROJECT: &str = "cmp-shop";

/// `docker-compose` on the application, with `arguments`.
fn compose(docker: &Docker, arguments: &[&str]) -> Output {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("shop.yaml");
    std::fs::write(&file, include_str!("shop.yaml")).expect("the application can be written");
    let mut command = docker.command(["compose", "--project-name", PROJECT, "--ansi", "never", "--progress", "plain"]);
    command.env("IMAGE", IMAGE).env("GREETING", "welcome").arg("--file").arg(&file).args(arguments);
    let output = command.output().expect("the docker CLI starts");
    Output {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The page of the web server number `index`: who greets, what the database has, how often the cache was asked.
fn page(docker: &Docker, index: usize) -> Vec<String> {
    let at = compose(docker, &["port", "--index", &index.to_string(), "web", "80"]).ok();
    let text = wait_for("the page", Duration::from_secs(60), || {
        let mut stream = TcpStream::connect(&at).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
        stream.write_all(b"GET /cgi-bin/page HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
    });
    text.lines().map(|line| line.trim().to_owned()).collect()
}

#[test]
fn an_application_comes_up_in_order_scales_keeps_its_records_and_goes() {
    let (docker, _engine) = docker();
    // Why first: a case that failed half-way on a machine that is kept must not fail the next run.
    compose(&docker, &["down", "--volumes"]);
    compose(&docker, &["up", "--detach"]).ok();

    let first = page(&docker, 1);
    assert!(first[0].starts_with("welcome from "), "{first:?}");
    assert_eq!(first[1], "records: migrated", "the database was healthy before it was asked");
    assert_eq!(first[2], "hits: 1");
    let states = compose(&docker, &["ps", "--all", "--format", "{{.Service}} {{.State}} {{.Health}}"]).ok();
    let mut states: Vec<&str> = states.lines().map(str::trim).collect();
    states.sort_unstable();
    assert_eq!(states, ["cache running", "db running healthy", "migrate exited", "web running"]);
    assert!(compose(&docker, &["logs", "migrate"]).ok().contains("added"));
    assert_eq!(compose(&docker, &["exec", "-T", "db", "cat", "/records/all"]).ok(), "migrated");

    compose(&docker, &["up", "--detach", "--no-deps", "--scale", "web=3", "web"]).ok();
    let greeters: std::collections::BTreeSet<String> = (1..=3).map(|n| page(&docker, n).swap_remove(0)).collect();
    assert_eq!(greeters.len(), 3, "three servers answer, each on a port of its own: {greeters:?}");
    let script = "nslookup web 127.0.0.11 | grep -c '^Address: '";
    assert_eq!(compose(&docker, &["exec", "-T", "cache", "sh", "-c", script]).ok(), "3");

    // Another database container on the same volume: what it kept is still there.
    compose(&docker, &["up", "--detach", "--no-deps", "--force-recreate", "--wait", "db"]).ok();
    assert_eq!(page(&docker, 2)[1], "records: migrated");

    compose(&docker, &["down", "--volumes", "--timeout", "1"]).ok();
    let label = format!("label=com.docker.compose.project={PROJECT}");
    for list in [&["ps", "-aq"][..], &["volume", "ls", "-q"], &["network", "ls", "-q"]] {
        let left = docker.run([list, &["--filter", &label]].concat()).ok();
        assert_eq!(left, "", "{list:?}");
    }
}
