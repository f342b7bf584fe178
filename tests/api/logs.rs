//! `docker logs`: what was printed, when, by which stream; following to the end.

use std::{io::Read, time::Duration};

use cubby_harness::{IMAGE, wait_for};

use crate::docker;

#[test]
fn both_streams_are_kept_apart() {
    let (docker, _engine) = docker();
    docker.run(["run", "--name", "logs-both", IMAGE, "sh", "-c", "echo 1; echo 2 >&2; echo 3; printf unfinished"]);
    let output = docker.run(["logs", "logs-both"]);
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("1\n3\nunfinished", "2\n"));
    docker.run(["rm", "logs-both"]).ok();
}

// One stream only: which of two streams is logged first is up to who reads its pipe first, here as with dockerd.
#[test]
fn tail_counts_lines_and_timestamps_come_before_each() {
    let (docker, _engine) = docker();
    docker.run(["run", "--name", "logs-tail", IMAGE, "sh", "-c", "echo 1; echo 2; printf unfinished"]);
    assert_eq!(docker.run(["logs", "--tail", "1", "logs-tail"]).stdout, "unfinished");
    let stamped = docker.run(["logs", "-t", "--tail", "2", "logs-tail"]).stdout;
    let lines: Vec<&str> = stamped.lines().collect();
    assert!(lines.len() == 2 && lines.iter().all(|line| line.contains("Z ")), "{stamped}");
    docker.run(["rm", "logs-tail"]).ok();
}

#[test]
fn following_ends_with_the_container() {
    let (docker, _engine) = docker();
    docker
        .run(["run", "-d", "--name", "logs-follow", IMAGE, "sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.2; done"])
        .ok();
    let output = docker.run(["logs", "-f", "logs-follow"]);
    assert_eq!(output.ok(), "1\n2\n3");
    docker.run(["rm", "logs-follow"]).ok();
}

#[test]
fn a_follower_that_leaves_does_not_disturb_the_container() {
    let (docker, _engine) = docker();
    docker.run(["run", "-d", "--name", "logs-left", IMAGE, "sh", "-c", "while :; do echo tick; sleep 0.05; done"]).ok();
    let mut follower = docker.spawn(["logs", "-f", "logs-left"]);
    let mut first = [0; 5];
    follower.stdout.take().expect("stdout is piped").read_exact(&mut first).expect("a line arrives");
    assert_eq!(&first, b"tick\n");
    follower.kill().expect("the follower can be killed");
    follower.wait().expect("the follower is ours to reap");
    let count = || docker.run(["logs", "logs-left"]).stdout.lines().count();
    let before = count();
    wait_for("more lines", Duration::from_secs(60), || (count() > before + 3).then_some(()));
    docker.run(["rm", "-f", "logs-left"]).ok();
}
