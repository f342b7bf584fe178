//! A container's life: create, start, list, inspect, stop, kill, restart, remove.

use cubby_harness::IMAGE;

use crate::docker;

#[test]
fn a_detached_container_runs_is_listed_stops_and_goes() {
    let (docker, _engine) = docker();
    let id = docker.run(["run", "-d", "--name", "detached", IMAGE, "sleep", "1000"]).ok();
    assert_eq!(id.len(), 64, "{id}");
    let listed = docker.run(["ps", "--no-trunc", "--format", "{{.ID}} {{.Image}} {{.Names}} {{.Status}}"]).ok();
    assert!(listed.contains(&format!("{id} {IMAGE} detached Up ")), "{listed}");
    docker.run(["stop", "-t", "0", "detached"]).ok();
    let state =
        docker.run(["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}} {{.State.Running}}", "detached"]).ok();
    assert_eq!(state, "exited 137 false");
    assert_eq!(docker.run(["rm", "detached"]).ok(), "detached");
    let gone = docker.run(["inspect", "detached"]);
    assert_eq!(gone.code, 1, "{gone:?}");
}

#[test]
fn stop_asks_politely_first() {
    let (docker, _engine) = docker();
    let script = "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.05; done";
    docker.run(["run", "-d", "--name", "polite", IMAGE, "sh", "-c", script]).ok();
    cubby_harness::wait_for("the trap", std::time::Duration::from_secs(60), || {
        docker.run(["logs", "polite"]).stdout.contains("ready").then_some(())
    });
    docker.run(["stop", "-t", "60", "polite"]).ok();
    assert_eq!(docker.run(["inspect", "-f", "{{.State.ExitCode}}", "polite"]).ok(), "7");
    assert_eq!(docker.run(["logs", "polite"]).ok(), "ready\nbye");
    docker.run(["rm", "polite"]).ok();
}

#[test]
fn a_name_is_taken_once() {
    let (docker, _engine) = docker();
    let id = docker.run(["create", "--name", "taken", IMAGE, "true"]).ok();
    let second = docker.run(["create", "--name", "taken", IMAGE, "true"]);
    assert_eq!(second.code, 1, "{second:?}");
    let expected = format!(
        "Conflict. The container name \"/taken\" is already in use by container \"{id}\". You have to remove (or rename) that container to be able to reuse that name."
    );
    assert!(second.stderr.contains(&expected), "{second:?}");
    docker.run(["rm", "taken"]).ok();
}

#[test]
fn a_running_container_is_removed_only_by_force() {
    let (docker, _engine) = docker();
    docker.run(["run", "-d", "--name", "forced", IMAGE, "sleep", "1000"]).ok();
    let refused = docker.run(["rm", "forced"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.stderr.contains("container is running: stop the container before removing or force remove"),
        "{refused:?}"
    );
    docker.run(["rm", "-f", "forced"]).ok();
    assert_eq!(docker.run(["ps", "-aq", "--filter", "name=forced"]).ok(), "");
}

#[test]
fn kill_wait_and_restart_tell_the_truth() {
    let (docker, _engine) = docker();
    docker.run(["run", "-d", "--name", "killed", IMAGE, "sleep", "1000"]).ok();
    docker.run(["kill", "-s", "KILL", "killed"]).ok();
    assert_eq!(docker.run(["wait", "killed"]).ok(), "137");
    let again = docker.run(["kill", "killed"]);
    assert!(again.stderr.contains("is not running"), "{again:?}");
    docker.run(["restart", "-t", "0", "killed"]).ok();
    assert_eq!(docker.run(["inspect", "-f", "{{.State.Running}}", "killed"]).ok(), "true");
    docker.run(["rm", "-f", "killed"]).ok();
}

#[test]
fn pause_freezes_and_unpause_goes_on() {
    let (docker, _engine) = docker();
    docker.run(["run", "-d", "--name", "frozen", IMAGE, "sleep", "1000"]).ok();
    docker.run(["pause", "frozen"]).ok();
    assert_eq!(docker.run(["inspect", "-f", "{{.State.Status}}", "frozen"]).ok(), "paused");
    let refused = docker.run(["exec", "frozen", "true"]);
    assert!(refused.stderr.contains("is paused, unpause the container before exec"), "{refused:?}");
    docker.run(["unpause", "frozen"]).ok();
    docker.run(["exec", "frozen", "true"]).ok();
    docker.run(["rm", "-f", "frozen"]).ok();
}

#[test]
fn a_container_keeps_its_changes_over_a_restart() {
    let (docker, _engine) = docker();
    docker.run(["run", "--name", "kept", IMAGE, "sh", "-c", "echo x >> /tmp/count; wc -l < /tmp/count"]).ok();
    assert_eq!(docker.run(["start", "-a", "kept"]).ok().trim(), "2");
    docker.run(["rm", "kept"]).ok();
}

#[test]
fn rename_and_prune() {
    let (docker, _engine) = docker();
    docker.run(["create", "--name", "before", "--label", "prune=me", IMAGE, "true"]).ok();
    docker.run(["rename", "before", "after"]).ok();
    assert_eq!(docker.run(["ps", "-a", "--filter", "label=prune=me", "--format", "{{.Names}}"]).ok(), "after");
    docker.run(["container", "prune", "-f", "--filter", "label=prune=me"]).ok();
    assert_eq!(docker.run(["ps", "-aq", "--filter", "label=prune=me"]).ok(), "");
}
