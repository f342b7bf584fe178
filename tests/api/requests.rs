//! Raw requests: statuses, headers and messages that the CLI hides.

use cubby_harness::request;

use crate::engine;

#[test]
fn ping_tells_what_is_spoken() {
    let engine = engine();
    for method in ["GET", "HEAD"] {
        let reply = request(&engine.socket(), method, "/_ping", b"").expect("an answer");
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("api-version"), Some("1.50"));
        assert_eq!(reply.header("ostype"), Some("linux"));
    }
}

#[test]
fn versions_outside_the_range_are_refused_in_dockerds_words() {
    let engine = engine();
    let newer = request(&engine.socket(), "GET", "/v1.99/info", b"").expect("an answer");
    assert_eq!(newer.status, 400);
    assert_eq!(newer.message(), "client version 1.99 is too new. Maximum supported API version is 1.50");
    let unknown = request(&engine.socket(), "GET", "/v1.43/no-such-page", b"").expect("an answer");
    assert_eq!((unknown.status, unknown.message().as_str()), (404, "page not found"));
}

#[test]
fn what_is_not_there_is_named() {
    let engine = engine();
    for (path, message) in [
        ("/containers/nobody/json", "No such container: nobody"),
        ("/images/nobody/json", "No such image: nobody:latest"),
        ("/exec/nobody/json", "No such exec instance: nobody"),
        ("/volumes/nobody", "get nobody: no such volume"),
        ("/networks/nobody", "network nobody not found"),
    ] {
        let reply = request(&engine.socket(), "GET", path, b"").expect("an answer");
        assert_eq!((reply.status, reply.message().as_str()), (404, message), "{path}");
    }
}

#[test]
fn bodies_that_are_not_json_are_refused() {
    let engine = engine();
    let reply = request(&engine.socket(), "POST", "/containers/create", b"{not json").expect("an answer");
    assert_eq!(reply.status, 400);
    assert!(reply.message().starts_with("invalid JSON:"), "{}", reply.message());
    let empty = request(&engine.socket(), "POST", "/containers/create", b"").expect("an answer");
    assert_eq!(empty.status, 400);
}

#[test]
fn info_and_version_have_what_clients_read() {
    let engine = engine();
    let info = request(&engine.socket(), "GET", "/info", b"").expect("an answer").json();
    assert_eq!(info["OSType"], "linux");
    assert!(info["NCPU"].as_u64().is_some_and(|n| n > 0) && info["MemTotal"].as_u64().is_some_and(|n| n > 0));
    let version = request(&engine.socket(), "GET", "/version", b"").expect("an answer").json();
    assert_eq!(version["ApiVersion"], "1.50");
    assert_eq!(version["MinAPIVersion"], "1.24");
}
