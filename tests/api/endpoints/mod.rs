//! Every endpoint that is served, once: what is asked and what is answered, held against Docker's published API.
//!
//! [`table`] has a row for each; the types of bodies are those that `bollard-stubs` generates from Docker's own description
//! of its API. A route of the engine without a row fails the test, and so does a row without a route.

mod objects;
mod routes;
mod shape;
mod table;

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use cubby_harness::{Engine, IMAGE, Reply, handshake, request_with, wait_for};
use serde_json::Value;

use crate::engine;
use table::{Expect, Row};

#[test]
fn every_route_has_a_row_and_every_row_a_route() {
    let routes = routes::served();
    let rows = table::rows();
    let known = |method: &str, route: &str| {
        routes.iter().any(|(verb, path)| path == route && (verb == "ANY" || verb == method))
    };
    let strangers: Vec<_> = rows.iter().filter(|row| !known(row.method, row.route)).map(|row| row.route).collect();
    assert!(strangers.is_empty(), "rows for what is not served: {strangers:?}");
    let missing: Vec<_> = routes
        .iter()
        .filter(|(verb, path)| !rows.iter().any(|row| row.route == path && (verb == "ANY" || row.method == verb)))
        .collect();
    assert!(missing.is_empty(), "routes without a row in tests/api/endpoints/table.rs: {missing:?}");
}

#[test]
fn every_endpoint_answers_as_docker_publishes() {
    let engine = engine();
    let mut names = fixtures(&engine);
    let mut faults = Vec::new();
    for row in table::rows() {
        let reply = ask(&engine, &row, &names);
        let found = row.faults(&reply);
        if !found.is_empty() {
            faults.push(format!("{} {}: {}\n    {}", row.method, row.path, found.join("\n  "), shown(&reply)));
        }
        if let Some(name) = row.remember {
            let id = reply.json()["Id"].as_str().unwrap_or_default().to_owned();
            names.insert(name, id);
        }
    }
    clean_up(&engine);
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// What the rows speak of in braces: a container in each state, and the image.
fn fixtures(engine: &Engine) -> BTreeMap<&'static str, String> {
    let docker = engine.docker();
    let run = ["run", "-d", "--name", "endpoints-run", "--label", "endpoints=1", "-v", "endpoints-used:/data", IMAGE];
    docker.run([run.as_slice(), &["sh", "-c", "echo out; echo err >&2; sleep 100000"]].concat()).ok();
    docker.run(["run", "--name", "endpoints-done", "--label", "endpoints=1", IMAGE, "sh", "-c", "touch /new; exit 3"]);
    docker.run(["create", "--name", "endpoints-idle", "--label", "endpoints=1", IMAGE, "true"]).ok();
    docker.run(["network", "create", "--label", "endpoints=1", "endpoints-other"]).ok();
    wait_for("output", Duration::from_secs(30), || (docker.run(["logs", "endpoints-run"]).ok() == "out").then_some(()));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
    BTreeMap::from([
        ("run", "endpoints-run".to_owned()),
        ("done", "endpoints-done".to_owned()),
        ("idle", "endpoints-idle".to_owned()),
        ("image", IMAGE.to_owned()),
        ("now", (now.as_secs() + 1).to_string()),
    ])
}

fn clean_up(engine: &Engine) {
    let docker = engine.docker();
    let all = docker.run(["ps", "-aq", "--filter", "label=endpoints"]).ok();
    for id in all.lines() {
        docker.run(["rm", "-f", "-v", id]);
    }
    docker.run(["network", "rm", "endpoints-other"]);
    docker.run(["volume", "rm", "endpoints-used"]);
}

fn ask(engine: &Engine, row: &Row, names: &BTreeMap<&str, String>) -> Reply {
    let filled = |text: &str| {
        let mut text = text.to_owned();
        for (name, value) in names {
            text = text.replace(&format!("{{{name}}}"), value);
        }
        text
    };
    let (kind, body) = match &row.body {
        table::Body::None => ("", Vec::new()),
        table::Body::Json(body) => ("application/json", filled(&body.to_string()).into_bytes()),
        table::Body::Tar(archive) => ("application/x-tar", archive()),
    };
    let mut headers = row.headers.to_vec();
    if !kind.is_empty() {
        headers.push(("Content-Type", kind));
    }
    let mut path = filled(row.path);
    for (character, escape) in [("{", "%7B"), ("}", "%7D"), ("[", "%5B"), ("]", "%5D"), ("\"", "%22")] {
        path = path.replace(character, escape);
    }
    let answer = match row.route {
        "/containers/{id}/attach/ws" => handshake(&engine.socket(), &path, &headers),
        _ => request_with(&engine.socket(), row.method, &path, &headers, &body),
    };
    answer.unwrap_or_else(|error| panic!("{} {}: {error}", row.method, row.path))
}

fn shown(reply: &Reply) -> String {
    let text: String = String::from_utf8_lossy(&reply.body).chars().take(600).collect();
    format!("{} {text}", reply.status)
}

impl Row {
    /// Everything that the answer has wrong.
    fn faults(&self, reply: &Reply) -> Vec<String> {
        let mut faults = Vec::new();
        if reply.status != self.status {
            faults.push(format!("status {} instead of {}", reply.status, self.status));
            return faults;
        }
        for (name, wanted) in [("api-version", "1.50"), ("docker-experimental", "false"), ("ostype", "linux")] {
            if reply.header(name) != Some(wanted) {
                faults.push(format!("header {name}: {:?}", reply.header(name)));
            }
        }
        if !reply.header("server").is_some_and(|server| server.ends_with("(linux)")) {
            faults.push(format!("header server: {:?}", reply.header("server")));
        }
        if let (table::Body::Json(body), Some(sent)) = (&self.body, self.sent) {
            faults.extend(sent(body).into_iter().map(|fault| format!("request: {fault}")));
        }
        let kind = reply.header("content-type").unwrap_or_default();
        let wanted = self.expect.content_type();
        if kind != wanted && self.method != "HEAD" {
            faults.push(format!("content-type {kind:?} instead of {wanted:?}"));
        }
        faults.extend(self.body_faults(reply));
        faults
    }

    fn body_faults(&self, reply: &Reply) -> Vec<String> {
        let lines = || -> Result<Vec<Value>, String> {
            let text = String::from_utf8_lossy(&reply.body).into_owned();
            text.lines().map(|line| serde_json::from_str(line).map_err(|error| format!("{error}: {line}"))).collect()
        };
        match &self.expect {
            Expect::Nothing if reply.body.is_empty() => Vec::new(),
            Expect::Nothing => vec!["a body".to_owned()],
            Expect::Text(text) if reply.body == text.as_bytes() || self.method == "HEAD" => Vec::new(),
            Expect::Text(text) => vec![format!("not {text:?}")],
            Expect::Raw(_) => Vec::new(),
            Expect::Json(check) => check(&reply.json()),
            Expect::List(check) => match reply.json() {
                Value::Array(entries) if entries.is_empty() => vec!["an empty list shows nothing".to_owned()],
                Value::Array(entries) => entries.iter().flat_map(check).collect(),
                other => vec![format!("no list: {other}")],
            },
            Expect::Empty => {
                if reply.json() == serde_json::json!([]) {
                    Vec::new()
                } else {
                    vec!["not []".to_owned()]
                }
            }
            Expect::Lines(check) => match lines() {
                Ok(entries) if entries.is_empty() => vec!["no lines".to_owned()],
                Ok(entries) => entries.iter().flat_map(check).collect(),
                Err(error) => vec![error],
            },
            Expect::Error(message) => {
                let mut faults = shape::is::<bollard_stubs::models::ErrorResponse>(&reply.json());
                if !reply.message().starts_with(message) {
                    faults.push(format!("message {:?} instead of {message:?}", reply.message()));
                }
                faults
            }
        }
    }
}
