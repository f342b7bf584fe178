//! What becomes of running containers: out of memory, health, waiting, restart policies; and the events that tell.

use std::{
    io::{BufRead, BufReader},
    process::Child,
    sync::{Arc, Mutex},
    time::Duration,
};

use cubby_harness::{Docker, IMAGE, request, wait_for};
use serde_json::Value;

use crate::docker;

const PATIENCE: Duration = Duration::from_secs(60);

/// The actions of one container's events, as they come.
struct Feed {
    client: Child,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Feed {
    /// From the container's first event on.
    fn of(docker: &Docker, container: &str) -> Self {
        let filter = format!("container={container}");
        let mut client = docker.spawn(["events", "--since", "1", "--filter", &filter, "--format", "{{.Action}}"]);
        let lines = BufReader::new(client.stdout.take().expect("standard output is piped")).lines();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let writer = seen.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                writer.lock().expect("nobody panics with it").push(line);
            }
        });
        Self { client, seen }
    }

    /// Those that begin with one of `wanted`, once the last of them is `last`.
    fn until(&self, wanted: &[&str], last: &str) -> Vec<String> {
        wait_for(&format!("the event {last}"), PATIENCE, || {
            let seen = self.seen.lock().expect("nobody panics with it");
            let chosen = seen.iter().filter(|action| wanted.iter().any(|one| action.starts_with(one)));
            let chosen: Vec<String> = chosen.cloned().collect();
            chosen.last().is_some_and(|action| action == last).then_some(chosen)
        })
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

#[test]
fn a_process_killed_for_lack_of_memory_is_told_of_at_once() {
    let (docker, _engine) = docker();
    let limits = ["--memory", "32m", "--memory-swap", "32m"];
    let script = "tail /dev/zero; sleep 1000";
    let feed = Feed::of(&docker, "oom-child");
    let arguments = ["run", "-d", "--name", "oom-child"].into_iter().chain(limits);
    docker.run(arguments.chain([IMAGE, "sh", "-c", script])).ok();
    wait_for("OOMKilled of a running container", PATIENCE, || {
        let state = docker.run(["inspect", "-f", "{{.State.Running}} {{.State.OOMKilled}}", "oom-child"]).ok();
        (state == "true true").then_some(())
    });
    assert_eq!(feed.until(&["create", "start", "oom", "die"], "oom"), ["create", "start", "oom"]);
    docker.run(["rm", "-f", "oom-child"]).ok();
    let arguments = ["run", "--name", "oom-first"].into_iter().chain(limits);
    let feed = Feed::of(&docker, "oom-first");
    let killed = docker.run(arguments.chain([IMAGE, "tail", "/dev/zero"]));
    assert_eq!(killed.code, 137, "{killed:?}");
    let state = docker.run(["inspect", "-f", "{{.State.OOMKilled}} {{.State.ExitCode}}", "oom-first"]).ok();
    assert_eq!(state, "true 137");
    // One or more: every process that was killed is told of.
    assert_eq!(feed.until(&["oom", "die"], "die").first().map(String::as_str), Some("oom"));
    docker.run(["rm", "oom-first"]).ok();
}

#[test]
fn health_follows_the_checks_exit_codes() {
    let (docker, _engine) = docker();
    let health = |name: &str| docker.run(["inspect", "-f", "{{.State.Health.Status}}", name]).ok();
    let check = "test -e /well || { echo ill; exit 3; }";
    let options = ["--health-cmd", check, "--health-interval", "100ms", "--health-retries", "2"];
    let feed = Feed::of(&docker, "health");
    let arguments = ["run", "-d", "--name", "health"].into_iter().chain(options);
    docker.run(arguments.chain([IMAGE, "sh", "-c", "touch /well; sleep 1000"])).ok();
    wait_for("healthy", PATIENCE, || (health("health") == "healthy").then_some(()));
    docker.run(["exec", "health", "rm", "/well"]).ok();
    wait_for("unhealthy", PATIENCE, || (health("health") == "unhealthy").then_some(()));
    let log = docker.run(["inspect", "-f", "{{json .State.Health}}", "health"]).ok();
    let log: Value = serde_json::from_str(&log).expect("JSON");
    let last = log["Log"].as_array().and_then(|log| log.last()).expect("a probe");
    assert_eq!((&last["ExitCode"], &last["Output"]), (&3.into(), &"ill\n".into()), "{log}");
    assert!(log["FailingStreak"].as_i64() >= Some(2), "{log}");
    docker.run(["exec", "health", "touch", "/well"]).ok();
    wait_for("healthy again", PATIENCE, || (health("health") == "healthy").then_some(()));
    let changes = ["healthy", "unhealthy", "healthy"].map(|state| format!("health_status: {state}"));
    wait_for("all changes", PATIENCE, || {
        (feed.until(&["health_status"], "health_status: healthy").len() == 3).then_some(())
    });
    assert_eq!(feed.until(&["health_status"], "health_status: healthy"), changes);
    assert_eq!(docker.run(["ps", "-q", "--filter", "health=healthy", "--filter", "name=^health$"]).ok().len(), 12);
    docker.run(["rm", "-f", "health"]).ok();
}

#[test]
fn a_check_that_takes_too_long_or_is_off() {
    let (docker, _engine) = docker();
    let slow = ["--health-cmd", "sleep 100", "--health-interval", "50ms", "--health-timeout", "200ms"];
    let slow = slow.into_iter().chain(["--health-retries", "1", "--health-start-period", "100ms"]);
    docker.run(["run", "-d", "--name", "slow-check"].into_iter().chain(slow).chain([IMAGE, "sleep", "1000"])).ok();
    let last = "{{.State.Health.Status}} {{range .State.Health.Log}}{{.ExitCode}} {{.Output}}\n{{end}}";
    let shown = wait_for("unhealthy", PATIENCE, || {
        let shown = docker.run(["inspect", "-f", last, "slow-check"]).ok();
        shown.starts_with("unhealthy").then_some(shown)
    });
    assert!(shown.contains("-1 Health check exceeded timeout (200ms)"), "{shown}");
    docker.run(["run", "-d", "--name", "no-check", "--no-healthcheck", IMAGE, "sleep", "1000"]).ok();
    assert_eq!(docker.run(["inspect", "-f", "{{.State.Health}}", "no-check"]).ok(), "<nil>");
    docker.run(["rm", "-f", "slow-check", "no-check"]).ok();
}

#[test]
fn waits_end_with_what_they_wait_for() {
    let (docker, engine) = docker();
    let wait = |condition: &str| {
        let (socket, path) = (engine.socket(), format!("/containers/waits/wait?condition={condition}"));
        std::thread::spawn(move || request(&socket, "POST", &path, b"").expect("an answer").json())
    };
    docker.run(["create", "--name", "waits", IMAGE, "sh", "-c", "read line; exit 4"]).ok();
    let at_once = request(&engine.socket(), "POST", "/containers/waits/wait", b"").expect("an answer");
    assert_eq!(at_once.json()["StatusCode"], 0);
    let (exit, removal) = (wait("next-exit"), wait("removed"));
    docker.run(["start", "-a", "waits"]);
    assert_eq!(exit.join().expect("no panic")["StatusCode"], 4);
    assert!(!removal.is_finished());
    docker.run(["rm", "waits"]).ok();
    assert_eq!(removal.join().expect("no panic")["StatusCode"], 4);
    let unknown = request(&engine.socket(), "POST", "/containers/waits/wait?condition=bored", b"").expect("an answer");
    assert_eq!(unknown.message(), "invalid condition: \"bored\"");
}

#[test]
fn restart_policies_restart_as_often_as_they_say() {
    let (docker, _engine) = docker();
    let feed = Feed::of(&docker, "tries");
    docker.run(["run", "-d", "--name", "tries", "--restart", "on-failure:2", IMAGE, "false"]).ok();
    let state = wait_for("the last try", PATIENCE, || {
        let state = docker.run(["inspect", "-f", "{{.State.Status}} {{.RestartCount}} {{.State.ExitCode}}", "tries"]);
        Some(state.ok()).filter(|state| state.starts_with("exited"))
    });
    assert_eq!(state, "exited 2 1");
    wait_for("three ends", PATIENCE, || (feed.until(&["die"], "die").len() == 3).then_some(()));
    docker.run(["run", "-d", "--name", "again", "--restart", "always", IMAGE, "true"]).ok();
    wait_for("a second run", PATIENCE, || {
        let count = docker.run(["inspect", "-f", "{{.RestartCount}}", "again"]).ok();
        count.parse::<u32>().is_ok_and(|count| count >= 2).then_some(())
    });
    docker.run(["stop", "again"]).ok();
    assert_eq!(docker.run(["inspect", "-f", "{{.State.Running}}", "again"]).ok(), "false");
    docker.run(["update", "--restart", "no", "again"]).ok();
    assert_eq!(docker.run(["inspect", "-f", "{{.HostConfig.RestartPolicy.Name}}", "again"]).ok(), "no");
    docker.run(["rm", "tries", "again"]).ok();
}
