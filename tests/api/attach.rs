//! Attached clients: WebSockets, and the keys that leave a container or an exec without ending it.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    time::Duration,
};

use cubby_harness::{IMAGE, request, wait_for};
use serde_json::{Value, json};

use crate::{docker, engine};

const PATIENCE: Duration = Duration::from_secs(60);

/// Takes a connection over; what follows the answer's head is the streams'.
fn take_over(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (UnixStream, String) {
    let mut stream = UnixStream::connect(engine().socket()).expect("the engine listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket has timeouts");
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: docker\r\nContent-Length: {}\r\n", body.len()).expect("sent");
    for (name, value) in headers {
        write!(stream, "{name}: {value}\r\n").expect("sent");
    }
    write!(stream, "\r\n{body}").expect("sent");
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("an answer's head");
        head.push(byte[0]);
    }
    (stream, String::from_utf8_lossy(&head).into_owned())
}

fn hijack(path: &str, body: &str) -> UnixStream {
    let headers = [("Connection", "Upgrade"), ("Upgrade", "tcp"), ("Content-Type", "application/json")];
    let (stream, head) = take_over("POST", path, &headers, body);
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    stream
}

fn websocket(path: &str) -> UnixStream {
    let headers = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let (stream, head) = take_over("GET", path, &headers, "");
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    stream
}

/// A short text in one masked frame, as clients send it (RFC 6455 §5.2); the mask is zero.
fn send_frame(stream: &mut UnixStream, text: &str) {
    let mut frame = vec![0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
    frame.extend_from_slice(text.as_bytes());
    stream.write_all(&frame).expect("sent");
}

/// Opcode and payload of one short frame.
fn read_frame(stream: &mut UnixStream) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    stream.read_exact(&mut head).expect("a frame");
    let mut payload = vec![0; usize::from(head[1] & 0x7f)];
    stream.read_exact(&mut payload).expect("its payload");
    (head[0] & 0x0f, payload)
}

/// Reads on until `text` has come.
fn read_until(stream: &mut UnixStream, text: &str) {
    let mut seen = Vec::new();
    let mut byte = [0];
    while !String::from_utf8_lossy(&seen).contains(text) {
        assert_eq!(stream.read(&mut byte).expect("output"), 1, "ended after {:?}", String::from_utf8_lossy(&seen));
        seen.push(byte[0]);
    }
}

fn inspect(path: &str) -> Value {
    request(&engine().socket(), "GET", path, b"").expect("an answer").json()
}

#[test]
fn a_websocket_carries_input_and_output() {
    let (docker, _engine) = docker();
    docker.run(["run", "-di", "--name", "attach-socket", IMAGE, "cat"]).ok();
    let streams = "stream=1&stdin=1&stdout=1&stderr=1";
    let mut modern = websocket(&format!("/containers/attach-socket/attach/ws?{streams}"));
    send_frame(&mut modern, "one\n");
    assert_eq!(read_frame(&mut modern), (2, b"one\n".to_vec()), "a binary frame");
    // Older clients get text, and every stream without asking for it.
    let mut old = websocket("/v1.27/containers/attach-socket/attach/ws?stream=1");
    send_frame(&mut old, "two\n");
    assert_eq!(read_frame(&mut old), (1, b"two\n".to_vec()), "a frame of text");
    assert_eq!(read_frame(&mut modern), (2, b"two\n".to_vec()), "both are attached");
    docker.run(["rm", "-f", "attach-socket"]).ok();
    assert_eq!(read_frame(&mut modern).0, 8, "the end of the container closes the socket");
}

#[test]
fn a_websocket_to_nobody_is_refused_as_http() {
    let headers = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")];
    let headers = [&headers[..], &[("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]].concat();
    let _engine = engine();
    let (_stream, head) = take_over("GET", "/containers/attach-nobody/attach/ws?stream=1", &headers, "");
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
}

#[test]
fn detach_keys_leave_the_container_running() {
    let (docker, engine) = docker();
    docker.run(["run", "-dit", "--name", "attach-keys", IMAGE, "cat"]).ok();
    let attach = |keys: &str| hijack(&format!("/containers/attach-keys/attach?stream=1&stdin=1&stdout=1{keys}"), "");
    let mut left = attach("");
    left.write_all(b"before\x10").expect("sent");
    read_until(&mut left, "before");
    left.write_all(b"\x11").expect("sent");
    left.read_to_end(&mut Vec::new()).expect("the default keys end the connection");
    let mut own = attach("&detachKeys=ctrl-a,x");
    own.write_all(b"\x10\x11\x01y\r\n").expect("sent");
    read_until(&mut own, "y");
    own.write_all(b"\x01x").expect("sent");
    own.read_to_end(&mut Vec::new()).expect("so do one's own, and no others");
    assert_eq!(inspect("/containers/attach-keys/json")["State"]["Running"], json!(true));
    let refused = request(&engine.socket(), "POST", "/containers/attach-keys/attach?stream=1&detachKeys=ctrl-%25", b"");
    assert_eq!(refused.expect("an answer").status, 400);
    docker.run(["rm", "-f", "attach-keys"]).ok();
}

#[test]
fn detach_keys_leave_an_exec_running() {
    let (docker, engine) = docker();
    docker.run(["run", "-d", "--name", "attach-exec", IMAGE, "sleep", "1000"]).ok();
    for (keys, left_by) in [("", &b"\x10\x11"[..]), ("ctrl-b", b"\x02")] {
        let wish =
            json!({ "Cmd": ["cat"], "Tty": true, "AttachStdin": true, "AttachStdout": true, "DetachKeys": keys });
        let created = request(&engine.socket(), "POST", "/containers/attach-exec/exec", wish.to_string().as_bytes());
        let id = created.expect("an answer").json()["Id"].as_str().expect("an id").to_owned();
        let mut stream = hijack(&format!("/exec/{id}/start"), r#"{"Tty":true}"#);
        stream.write_all(b"here\r\n").expect("sent");
        read_until(&mut stream, "here");
        stream.write_all(left_by).expect("sent");
        stream.read_to_end(&mut Vec::new()).expect("the keys end the connection");
        assert_eq!(inspect(&format!("/exec/{id}/json"))["Running"], json!(true), "{keys}");
        let pid = inspect(&format!("/exec/{id}/json"))["Pid"].as_i64().expect("a process");
        assert!(pid > 0);
    }
    docker.run(["rm", "-f", "attach-exec"]).ok();
    wait_for("the execs to end with their container", PATIENCE, || {
        (request(&engine.socket(), "GET", "/containers/attach-exec/json", b"").ok()?.status == 404).then_some(())
    });
}

#[test]
fn input_that_ends_before_it_began_is_an_end() {
    let (docker, _engine) = docker();
    let (copied, counted) = ("cat; echo ended", "wc -c");
    // The CLI closes its half of the attached connection before it starts the container.
    assert_eq!(docker.run(["run", "--rm", "-i", IMAGE, "sh", "-c", copied]).ok(), "ended");
    docker.run(["create", "-i", "--name", "attach-empty", IMAGE, "sh", "-c", counted]).ok();
    for bytes in [&b""[..], b"four", b""] {
        let said = docker.run_with_input(["start", "-ai", "attach-empty"], bytes).ok();
        assert_eq!(said, bytes.len().to_string());
    }
    docker.run(["rm", "attach-empty"]).ok();
    docker.run(["run", "-d", "--name", "attach-exec", IMAGE, "sleep", "1000"]).ok();
    assert_eq!(docker.run(["exec", "-i", "attach-exec", "sh", "-c", copied]).ok(), "ended");
    docker.run(["rm", "-f", "attach-exec"]).ok();
}
