//! What dockerd says of image requests that make no sense, of archives with nothing in them, and of what was made.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    time::Duration,
};

use cubby_harness::{IMAGE, Reply, request, request_with, sha256};
use serde_json::{Value, json};

use crate::{docker, engine};

fn ask(method: &str, path: &str) -> Reply {
    request(&engine().socket(), method, path, b"").expect("an answer")
}

fn encoded(value: &Value) -> String {
    value.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn refused(method: &str, path: &str) -> String {
    let reply = ask(method, path);
    assert_eq!(reply.status, 400, "{method} {path}: {}", String::from_utf8_lossy(&reply.body));
    reply.message()
}

#[test]
fn what_is_no_platform_is_refused_in_dockerds_words() {
    let _engine = engine();
    let unknown = "\"foobar\": unknown operating system or architecture: invalid argument";
    assert_eq!(refused("POST", "/images/create?fromImage=words/none&tag=1&platform=foobar"), unknown);
    assert_eq!(refused("POST", "/images/create?fromSrc=-&platform=foobar"), unknown);
    assert!(refused("POST", "/images/create?fromSrc=-&platform=%2F").contains("is an invalid OS component"));
    let elsewhere = refused("POST", "/images/create?fromSrc=-&platform=macos%2Farm64");
    assert_eq!(elsewhere, "operating system is not supported");
    let text = "failed to parse platform: invalid character 'l' looking for beginning of value";
    for path in ["get", "json", "history"] {
        assert_eq!(refused("GET", &format!("/images/{IMAGE}/{path}?platform=linux%2Famd64")), text, "{path}");
    }
    let half = encoded(&json!({ "os": "linux" }));
    assert_eq!(refused("POST", &format!("/images/load?platform={half}")), "both OS and Architecture must be provided");
    let one = encoded(&json!({ "os": "linux", "architecture": "amd64" }));
    let two = refused("GET", &format!("/images/get?names={IMAGE}&platform={one}&platform={one}"));
    assert_eq!(two, "multiple platform parameters not supported");
    let several = refused("DELETE", &format!("/images/{IMAGE}?platforms={one}&platforms={one}"));
    assert_eq!(several, "multiple platforms are not supported");
    // Clients from before there was such a parameter may send anything.
    assert_eq!(ask("GET", &format!("/v1.47/images/{IMAGE}/history?platform=linux")).status, 200);
}

#[test]
fn a_name_that_could_be_an_id_is_not_given() {
    let _engine = engine();
    let ambiguous = "refusing to create an ambiguous tag using digest algorithm as name";
    assert_eq!(refused("POST", &format!("/images/{IMAGE}/tag?repo=sha256&tag=words")), ambiguous);
    assert_eq!(refused("POST", "/images/create?fromSrc=-&repo=sha256&tag=words"), ambiguous);
    let digest = format!("words@sha256:{}", sha256(b"x"));
    let named = refused("POST", &format!("/images/{IMAGE}/tag?repo={digest}"));
    assert_eq!(named, "cannot import digest reference");
    assert_eq!(ask("GET", "/images/sha256:words/json").status, 404);
}

fn archive(files: &[(&str, &Value)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, document) in files {
        let bytes = document.to_string().into_bytes();
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, bytes.as_slice()).expect("memory does not fail");
    }
    tar.into_inner().expect("memory does not fail")
}

/// What a load says, line after line.
fn loaded(archive: &[u8]) -> String {
    let kind = [("Content-Type", "application/x-tar")];
    let reply = request_with(&engine().socket(), "POST", "/images/load", &kind, archive).expect("an answer");
    String::from_utf8_lossy(&reply.body).into_owned()
}

#[test]
fn archives_without_layers_or_images_are_taken_for_what_they_are() {
    let (docker, _engine) = docker();
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": { "Labels": { "words": "null" } },
        "rootfs": { "type": "layers", "diff_ids": null },
    });
    let manifest = json!([{ "Config": "config.json", "RepoTags": ["words/null:1"], "Layers": null }]);
    let said = loaded(&archive(&[("config.json", &config), ("manifest.json", &manifest)]));
    assert!(said.contains("Loaded image: words/null:1"), "{said}");
    assert_eq!(ask("GET", "/images/words/null:1/json").json()["RootFS"]["Layers"], json!([]));
    docker.run(["rmi", "words/null:1"]).ok();
    assert_eq!(loaded(&archive(&[("manifest.json", &json!([]))])), "");
    let nothing = loaded(&archive(&[("manifest.json", &Value::Null)]));
    assert!(nothing.contains("invalid manifest, manifest cannot be null (but can be [])"), "{nothing}");
}

#[test]
fn what_is_saved_is_as_old_as_the_image() {
    let _engine = engine();
    let inspected = ask("GET", &format!("/images/{IMAGE}/json")).json();
    assert_eq!(inspected.get("Descriptor"), None, "of a store with manifests of its own, which this is not");
    let saved = ask("GET", &format!("/images/{IMAGE}/get")).body;
    let mut times = BTreeMap::new();
    let mut manifest = Vec::new();
    for entry in tar::Archive::new(saved.as_slice()).entries().expect("a tar") {
        let mut entry = entry.expect("an entry");
        let path = entry.path().expect("a path").display().to_string();
        if path == "manifest.json" {
            entry.read_to_end(&mut manifest).expect("its bytes");
        }
        times.insert(path, entry.header().mtime().expect("a time"));
    }
    let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
    assert_eq!(inspected["Created"], "2026-01-01T00:00:00Z");
    for path in [&manifest[0]["Config"], &manifest[0]["Layers"][0]] {
        assert_eq!(times[path.as_str().expect("a path")], 1_767_225_600, "{path}");
    }
    assert_eq!((times["manifest.json"], times["index.json"]), (0, 0));
}

/// The first so many things told of images with this label: action and name.
fn told(label: &str, count: usize) -> Vec<(String, String)> {
    let filters = encoded(&json!({ "type": ["image"], "label": [label] }));
    let mut client = UnixStream::connect(engine().socket()).expect("a connection");
    client.set_read_timeout(Some(Duration::from_secs(120))).expect("a socket");
    write!(client, "GET /events?since=1&filters={filters} HTTP/1.1\r\nHost: d\r\n\r\n").expect("room in the socket");
    // The other lines are the head and the lengths of pieces.
    let lines = BufReader::new(client).lines().map(|line| line.expect("an event")).filter(|line| line.starts_with('{'));
    let events = lines.take(count).map(|line| serde_json::from_str::<Value>(&line).expect("JSON"));
    events.map(|event| (text(&event["Action"]), text(&event["Actor"]["Attributes"]["name"]))).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[test]
fn what_is_made_is_told_of_by_its_id() {
    let (docker, _engine) = docker();
    docker.run(["create", "--name", "words", IMAGE, "true"]).ok();
    let committed = docker.run(["commit", "-c", "LABEL words=commit", "words", "words/commit:1"]).ok();
    let expected = [("create", committed.as_str()), ("tag", "words/commit:1")];
    assert_eq!(told("words=commit", 2), expected.map(|(action, name)| (action.to_owned(), name.to_owned())));
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(1);
    header.set_mode(0o644);
    tar.append_data(&mut header, "file", &b"x"[..]).expect("memory does not fail");
    let tar = tar.into_inner().expect("memory does not fail");
    let imported = docker.run_with_input(["import", "-c", "LABEL words=import", "-", "words/import:1"], &tar).ok();
    let expected = [("tag", "words/import:1"), ("import", imported.as_str())];
    assert_eq!(told("words=import", 2), expected.map(|(action, name)| (action.to_owned(), name.to_owned())));
    docker.run(["rm", "words"]).ok();
    docker.run(["rmi", "words/commit:1", "words/import:1"]).ok();
}
