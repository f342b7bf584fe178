//! Mirrors, and registries of the first API that can be searched.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    thread,
};

use serde_json::json;

use super::{allow_plain, archive, change_settings, host, plain, send};
use crate::docker;

#[test]
fn a_mirror_serves_what_it_has_for_a_registry_that_is_not_there() {
    let (docker, engine) = docker();
    let (_mirror, address) = plain(&engine);
    let (pushed, asked) = (format!("{address}/team/mirrored:1"), "mirrored.invalid:5000/team/mirrored:1");
    docker.run_with_input(["load"], &archive(&pushed, 10_000, 8)).ok();
    docker.run(["push", &pushed]).ok();
    let id = docker.run(["image", "inspect", "-f", "{{.Id}}", &pushed]).ok();
    docker.run(["rmi", &pushed]).ok();
    let lacks = docker.run(["pull", asked]);
    assert!(lacks.stderr.contains("mirrored.invalid"), "{lacks:?}");
    // Why the first that answers nothing: a dead mirror is passed over.
    let mirrors = json!(["http://127.0.0.1:1", format!("http://{address}")]);
    change_settings(&engine, |stored| stored["mirrors-of"]["mirrored.invalid:5000"] = mirrors);
    docker.run(["pull", asked]).ok();
    assert_eq!(docker.run(["image", "inspect", "-f", "{{.Id}}", asked]).ok(), id);
    let unknown = docker.run(["pull", "mirrored.invalid:5000/team/unknown:1"]);
    assert!(unknown.stderr.contains("mirrored.invalid"), "the registry itself is asked last: {unknown:?}");
    let digest =
        send(&engine, "GET", &format!("/distribution/{pushed}/json"), None).json()["Descriptor"]["digest"].clone();
    let told = send(&engine, "GET", &format!("/distribution/{asked}/json"), None);
    assert_eq!((told.status, &told.json()["Descriptor"]["digest"]), (200, &digest), "{told:?}");
    docker.run(["rmi", asked]).ok();
    docker.run(["pull", "--all-tags", "mirrored.invalid:5000/team/mirrored"]).ok();
    assert_eq!(docker.run(["image", "inspect", "-f", "{{.Id}}", asked]).ok(), id, "the mirror lists the tags, too");
    docker.run(["rmi", asked]).ok();
    let wrong = send(&engine, "PUT", "/cubby/registries", Some(&json!({ "registry-mirrors": ["no address"] })));
    assert_eq!(wrong.status, 400, "{wrong:?}");
}

/// Answers searches as a registry of the first API does, and nothing else.
fn searchable() -> u16 {
    let listener = TcpListener::bind("0.0.0.0:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            thread::spawn(move || answer(client));
        }
    });
    port
}

fn answer(mut client: TcpStream) -> Option<()> {
    let mut request = BufReader::new(client.try_clone().ok()?);
    let mut first = String::new();
    request.read_line(&mut first).ok()?;
    let mut line = String::new();
    while request.read_line(&mut line).ok()? > 2 {
        line.clear();
    }
    let hit = |name: &str, stars: u32, official: bool| json!({ "name": name, "description": "d", "star_count": stars, "is_official": official, "is_automated": false });
    let found =
        json!({ "num_results": 2, "query": "app", "results": [hit("app", 7, true), hit("team/app", 2, false)] });
    let (status, body) = match first.starts_with("GET /v1/search?q=app&n=25 ") {
        true => ("200 OK", found.to_string()),
        false => ("404 Not Found", "{}".to_owned()),
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    client.write_all(format!("{head}{body}").as_bytes()).ok()
}

#[test]
fn a_registry_that_can_be_searched_is_and_filters_hold() {
    let (docker, engine) = docker();
    let address = format!("{}:{}", host(&engine), searchable());
    allow_plain(&engine, &address);
    let search = |filters: &[&str]| {
        let term = format!("{address}/app");
        let filters = filters.iter().flat_map(|filter| ["--filter", *filter]);
        let arguments = ["search", "--format", "{{.Name}} {{.StarCount}}"].into_iter().chain(filters);
        docker.run(arguments.chain([term.as_str()]))
    };
    assert_eq!(search(&[]).ok(), "app 7\nteam/app 2");
    assert_eq!(search(&["stars=3"]).ok(), "app 7");
    assert_eq!(search(&["is-official=false"]).ok(), "team/app 2");
    assert!(search(&["nonsense=1"]).stderr.contains("invalid filter 'nonsense'"));
}
