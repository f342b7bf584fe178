//! What other people's clients send: Go's leniency in bodies, older versions' shapes, names with slashes, sizes of terminals.

use cubby_harness::{IMAGE, Reply, request, request_with};
use serde_json::{Value, json};

use crate::{docker, engine};

fn ask(method: &str, path: &str, body: &str) -> Reply {
    request(&engine().socket(), method, path, body.as_bytes()).expect("an answer")
}

#[test]
fn faults_in_bodies_are_told_in_gos_words() {
    let _engine = engine();
    for page in ["/containers/create", "/containers/nobody/exec", "/containers/nobody/update", "/exec/nobody/start"] {
        for (body, fault) in [
            ("{not json", "invalid JSON: invalid character 'n' looking for beginning of object key string"),
            ("{} trailing", "unexpected content after JSON"),
            (r#"{"Image":"#, "invalid JSON: unexpected EOF"),
        ] {
            let reply = ask("POST", page, body);
            assert_eq!((reply.status, reply.message().as_str()), (400, fault), "{page}");
        }
        let text = [("Content-Type", "text/plain")];
        let reply = request_with(&engine().socket(), "POST", page, &text, b"{}").expect("an answer");
        let fault = "unsupported Content-Type header (text/plain): must be 'application/json'";
        assert_eq!((reply.status, reply.message().as_str()), (400, fault), "{page}");
        let reply = request_with(&engine().socket(), "POST", page, &[], b"{}").expect("an answer");
        assert_eq!(reply.message(), "malformed Content-Type header (): mime: no media type", "{page}");
    }
    let wrong = ask("POST", "/containers/create", r#"{"Image":"x","HostConfig":{"Memory":"much"}}"#);
    assert_eq!(
        wrong.message(),
        "invalid JSON: json: cannot unmarshal string into Go struct field HostConfig.HostConfig.Memory of type int64"
    );
    let nothing = ask("POST", "/containers/create", r#"{"HostConfig":{}}"#);
    assert_eq!(nothing.message(), "config cannot be empty in order to create a container");
    let empty = ask("POST", "/containers/create", "");
    assert_eq!((empty.status, empty.message()), (400, "invalid JSON: got EOF while reading request body".to_owned()));
}

#[test]
fn members_are_found_whatever_the_case_of_their_letters() {
    let (docker, _engine) = docker();
    let body =
        json!({ "image": IMAGE, "CMD": ["sleep", "1000"], "hostconfig": { "memory": 33_554_432, "BINDS": null } });
    let created = ask("POST", "/containers/create?name=clients-case", &body.to_string());
    assert_eq!(created.status, 201, "{}", created.json());
    let host = ask("GET", "/containers/clients-case/json", "").json()["HostConfig"].clone();
    assert_eq!((&host["Memory"], &host["OomKillDisable"]), (&json!(33_554_432), &json!(false)));
    assert_eq!(ask("POST", "/containers/clients-case/update", r#"{"memory":67108864,"memoryswap":-1}"#).status, 200);
    docker.run(["start", "clients-case"]).ok();
    let exec = ask("POST", "/containers/clients-case/exec", r#"{"cmd":["true"],"attachstdout":true}"#);
    let start = format!("/exec/{}/start", exec.json()["Id"].as_str().expect("an id"));
    assert_eq!(ask("POST", &start, r#"{"detach":true}"#).status, 200);
    let volume = ask("POST", "/volumes/create", r#"{"name":"clients-case","labels":null}"#).json();
    assert_eq!((&volume["Name"], &volume["Labels"]), (&json!("clients-case"), &Value::Null));
    let network = ask("POST", "/networks/create", r#"{"name":"clients-case","driver":"bridge"}"#);
    assert_eq!(network.status, 201, "{}", network.json());
    docker.run(["rm", "-f", "clients-case"]).ok();
    docker.run(["volume", "rm", "clients-case"]).ok();
    docker.run(["network", "rm", "clients-case"]).ok();
}

#[test]
fn older_versions_get_their_shapes() {
    let (docker, _engine) = docker();
    let has = |path: &str, member: &str| ask("GET", path, "").json().get(member).is_some();
    assert!(has("/v1.49/info", "BridgeNfIptables") && !has("/v1.50/info", "BridgeNfIptables"));
    assert!(has("/v1.49/info", "FirewallBackend") && !has("/v1.48/info", "FirewallBackend"));
    let create = |version: &str, name: &str, extra: Value| {
        let mut body = json!({ "Image": IMAGE, "Cmd": ["sleep", "1000"] });
        body.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
        ask("POST", &format!("/{version}/containers/create?name={name}"), &body.to_string())
    };
    let mac = json!({ "MacAddress": "02:42:ac:11:00:99" });
    let warned = create("v1.44", "clients-mac", mac.clone());
    assert!(warned.json()["Warnings"][0].as_str().is_some_and(|warning| warning.contains("now deprecated")));
    assert_eq!(create("v1.43", "clients-mac-old", mac).json()["Warnings"], json!([]));
    let misplaced = json!({ "HostConfig": { "Mounts": [
        { "Type": "bind", "Source": "/", "Target": "/x", "VolumeOptions": {} },
    ] } });
    let refused = create("v1.42", "clients-mount", misplaced);
    assert_eq!(refused.message(), "VolumeOptions must not be specified on mount type \"bind\"");
    let subpath = json!({ "HostConfig": { "Mounts": [
        { "Type": "volume", "Source": "v", "Target": "/x", "VolumeOptions": { "Subpath": "a" } },
    ] } });
    assert_eq!(create("v1.44", "clients-mount", subpath).message(), "VolumeOptions.Subpath needs API v1.45 or newer");
    docker.run(["start", "clients-mac-old"]).ok();
    assert_eq!(ask("POST", "/v1.39/containers/clients-mac-old/update", r#"{"PidsLimit":7}"#).status, 200);
    let limit = ask("GET", "/containers/clients-mac-old/json", "").json()["HostConfig"]["PidsLimit"].clone();
    assert_eq!(limit, Value::Null);
    docker.run(["rm", "-f", "clients-mac", "clients-mac-old"]).ok();
}

#[test]
fn an_image_of_another_platform_is_not_the_one_asked_for() {
    let _engine = engine();
    let body = json!({ "Image": IMAGE, "Cmd": ["true"] }).to_string();
    let refused = ask("POST", "/containers/create?platform=linux/s390x", &body);
    assert_eq!(refused.status, 404);
    assert!(refused.message().contains("does not match the specified platform (linux/s390x)"), "{}", refused.message());
    assert_eq!(ask("POST", "/containers/create?platform=a/b/c/d", &body).status, 400);
}

#[test]
fn names_may_have_slashes() {
    let (docker, _engine) = docker();
    let id = docker.run(["run", "-d", "--name", "clients-db", IMAGE, "sleep", "1000"]).ok();
    docker.run(["create", "--name", "clients-app", "--link", "clients-db:store", IMAGE, "true"]).ok();
    for path in ["/containers//clients-db/json", "/containers/%2Fclients-db/json", "/containers/clients-app/store/json"]
    {
        assert_eq!(ask("GET", path, "").json()["Id"], json!(id), "{path}");
    }
    docker.run(["rm", "-f", "clients-app", "clients-db"]).ok();
}

#[test]
fn sizes_of_terminals_are_checked() {
    let (docker, _engine) = docker();
    docker.run(["run", "-dt", "--name", "clients-size", IMAGE, "sleep", "1000"]).ok();
    let exec = ask("POST", "/containers/clients-size/exec", r#"{"Cmd":["sleep","1000"],"Tty":true}"#);
    let exec = format!("/exec/{}", exec.json()["Id"].as_str().expect("an id"));
    for page in ["/containers/clients-size", &exec] {
        for (height, width, fault) in [
            ("", "1", "invalid resize height \"\": invalid syntax"),
            ("1", "wide", "invalid resize width \"wide\": invalid syntax"),
            ("-1", "1", "invalid resize height \"-1\": value out of range"),
            ("1", "4294967296", "invalid resize width \"4294967296\": value out of range"),
            ("%2B1", "1", "invalid resize height \"+1\": invalid syntax"),
        ] {
            let reply = ask("POST", &format!("{page}/resize?h={height}&w={width}"), "");
            assert_eq!((reply.status, reply.message().as_str()), (400, fault), "{page}");
        }
    }
    assert_eq!(ask("POST", "/containers/clients-size/resize?h=33&w=77", "").status, 200);
    let size = docker.run(["exec", "clients-size", "stty", "-F", "/proc/1/fd/0", "size"]).ok();
    assert_eq!(size.trim(), "33 77");
    docker.run(["rm", "-f", "clients-size"]).ok();
    let gone = ask("POST", "/containers/clients-size/resize?h=1&w=1", "");
    assert_eq!((gone.status, gone.message().as_str()), (404, "No such container: clients-size"));
}

#[test]
fn a_start_takes_no_body_and_an_update_without_warnings_says_null() {
    let (docker, _engine) = docker();
    docker.run(["create", "--name", "clients-start", IMAGE, "sleep", "1000"]).ok();
    let refused = ask("POST", "/containers/clients-start/start", r#"{"Binds":[]}"#);
    assert!(refused.message().starts_with("starting container with non-empty request body"), "{}", refused.message());
    let updated = ask("POST", "/containers/clients-start/update", r#"{"RestartPolicy":{"Name":"no"}}"#);
    assert_eq!(updated.json(), json!({ "Warnings": null }));
    let killed = ask("POST", "/containers/clients-nobody/kill", "");
    assert_eq!(killed.message(), "cannot kill container: clients-nobody: No such container: clients-nobody");
    docker.run(["rm", "clients-start"]).ok();
}

#[test]
fn a_chosen_mac_outlives_a_restart_and_is_where_older_clients_look() {
    let (docker, _engine) = docker();
    let mac = "02:42:ac:11:00:77";
    docker.run(["run", "-d", "--name", "clients-chosen", "--mac-address", mac, IMAGE, "sleep", "1000"]).ok();
    docker.run(["run", "-d", "--name", "clients-made", IMAGE, "sleep", "1000"]).ok();
    let shown = |name: &str| {
        let shown = ask("GET", &format!("/v1.43/containers/{name}/json"), "").json();
        (shown["Config"]["MacAddress"].clone(), shown["NetworkSettings"]["Networks"]["bridge"]["MacAddress"].clone())
    };
    assert_eq!(shown("clients-chosen"), (json!(mac), json!(mac)));
    assert_eq!(shown("clients-made").0, Value::Null, "nobody chose it");
    docker.run(["stop", "-t", "0", "clients-chosen"]).ok();
    docker.run(["start", "clients-chosen"]).ok();
    assert_eq!(shown("clients-chosen"), (json!(mac), json!(mac)));
    let inside = docker.run(["exec", "clients-chosen", "cat", "/sys/class/net/eth0/address"]).ok();
    assert_eq!(inside.trim(), mac);
    docker.run(["rm", "-f", "clients-chosen", "clients-made"]).ok();
}

#[test]
fn what_is_not_paused_cannot_go_on() {
    let (docker, _engine) = docker();
    let id = docker.run(["create", "--name", "clients-unpause", IMAGE, "true"]).ok();
    let refused = ask("POST", "/containers/clients-unpause/unpause", "");
    assert_eq!((refused.status, refused.message()), (500, format!("Container {id} is not paused")));
    docker.run(["rm", "clients-unpause"]).ok();
}

#[test]
fn files_come_compressed_to_clients_that_ask() {
    let (docker, _engine) = docker();
    docker.run(["create", "--name", "clients-archive", IMAGE, "true"]).ok();
    let asked = |accepted: &str| {
        let headers = [("Accept-Encoding", accepted)];
        let path = "/containers/clients-archive/archive?path=/bin";
        request_with(&engine().socket(), "GET", path, &headers, b"").expect("an answer")
    };
    let plain = asked("identity");
    assert_eq!(plain.header("content-encoding"), None);
    let gzip = asked("gzip, deflate");
    assert_eq!((gzip.header("content-encoding"), &gzip.body[..2]), (Some("gzip"), &b"\x1f\x8b"[..]));
    assert!(gzip.body.len() < plain.body.len() && gzip.header("x-docker-container-path-stat").is_some());
    assert_eq!(asked("deflate").header("content-encoding"), Some("deflate"));
    docker.run(["rm", "clients-archive"]).ok();
}
