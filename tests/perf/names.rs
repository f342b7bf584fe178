//! The name server of a container's network: how many questions it answers a second, one after the other and 64 at a time.

use std::{
    net::UdpSocket,
    time::{Duration, Instant},
};

use cubby_harness::NativeEngine;

use crate::{page::Page, summary::Summary, within::Place};

const ROUNDS: usize = 9;
const QUESTIONS: usize = 5000;
const AT_ONCE: usize = 64;
const SERVER: &str = "127.0.0.11:53";

pub fn measure(page: &mut Page) {
    let engine = NativeEngine::start();
    let docker = engine.docker();
    docker.run_with_input(["load"], &cubby_harness::busybox_archive()).ok();
    docker.run(["network", "create", "bench-names"]).ok();
    let asked = Place::run(&docker, "bench-asked", &["--network", "bench-names"]);
    let asking = Place::run(&docker, "bench-asking", &["--network", "bench-names"]);
    for (at_once, what) in [(1, "one after the other"), (AT_ONCE, "64 at a time")] {
        let rates = (0..ROUNDS).map(|_| asking.within(|| rate(&asked.name, at_once))).collect();
        let summary = Summary::of(rates).expect("rounds were run");
        page.row(
            &format!("names: A of a container, {what}, answers/s"),
            summary,
            "",
            "UDP to 127.0.0.11 in the container's network",
        );
    }
    docker.run(["rm", "-f", &asked.name, &asking.name]).ok();
    docker.run(["network", "rm", "bench-names"]).ok();
}

/// Answers a second while so many questions are on their way.
fn rate(name: &str, at_once: usize) -> f64 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    socket.connect(SERVER).expect("loopback");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    let question = question(name);
    let begin = Instant::now();
    let mut sent = 0;
    let mut answer = [0; 512];
    for answered in 0..QUESTIONS {
        while sent < QUESTIONS && sent < answered + at_once {
            socket.send(&question).expect("sent");
            sent += 1;
        }
        let len = socket.recv(&mut answer).expect("an answer to each question");
        let (code, answers) = (answer[3] & 15, u16::from_be_bytes([answer[6], answer[7]]));
        assert!(len > question.len() && code == 0 && answers == 1, "an address");
    }
    QUESTIONS as f64 / begin.elapsed().as_secs_f64()
}

/// One question for an IPv4 address. Source: RFC 1035 §4.1.
fn question(name: &str) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).expect("a short name"));
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    message
}
