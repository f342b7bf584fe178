//! `kill -9` of the engine: containers go on, logs are whole, exit codes exact.
//!
//! Native only: the guest suite has its own way to kill the engine in the machine.

use std::time::Duration;

use cubby_harness::{Docker, IMAGE, NativeEngine, Place, busybox_archive, wait_for};

const PATIENCE: Duration = Duration::from_secs(60);

fn native() -> Option<(NativeEngine, Docker)> {
    if Place::of_this_run() == Place::Guest {
        println!("not in the guest: the guest suite kills the engine there");
        return None;
    }
    let engine = NativeEngine::start();
    let docker = engine.docker();
    docker.run_with_input(["load"], &busybox_archive()).ok();
    Some((engine, docker))
}

#[test]
fn a_running_container_is_taken_back_with_a_whole_log_and_its_exit_code() {
    let Some((mut engine, docker)) = native() else { return };
    let script = "n=0; while [ $n -lt 60 ]; do echo $n; n=$((n+1)); sleep 0.05; done; exit 9";
    docker.run(["run", "-d", "--name", "survivor", IMAGE, "sh", "-c", script]).ok();
    let identity = || docker.run(["inspect", "-f", "{{.State.Pid}} {{.State.StartedAt}}", "survivor"]).ok();
    let before = identity();
    for _ in 0..3 {
        engine.kill();
        engine.restart();
    }
    assert_eq!(identity(), before);
    assert_eq!(docker.run(["wait", "survivor"]).ok(), "9");
    let expected: Vec<String> = (0..60).map(|n| n.to_string()).collect();
    assert_eq!(docker.run(["logs", "survivor"]).ok().lines().collect::<Vec<_>>(), expected);
}

#[test]
fn an_end_during_the_engines_absence_is_known_exactly() {
    let Some((mut engine, docker)) = native() else { return };
    docker.run(["run", "-d", "--name", "ends", IMAGE, "sh", "-c", "read line; exit 5"]).ok();
    docker.run(["run", "-d", "-i", "--name", "waits", IMAGE, "sh", "-c", "sleep 0.3; echo last words; exit 6"]).ok();
    engine.kill();
    std::thread::sleep(Duration::from_millis(600));
    engine.restart();
    let code = |name: &str| {
        wait_for("the exit code", PATIENCE, || {
            let state = docker.run(["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name]).ok();
            state.strip_prefix("exited ").map(str::to_owned)
        })
    };
    assert_eq!((code("ends").as_str(), code("waits").as_str()), ("5", "6"));
    assert_eq!(docker.run(["logs", "waits"]).ok(), "last words");
}

#[test]
fn a_kill_amid_many_operations_leaves_a_consistent_state() {
    let Some((mut engine, docker)) = native() else { return };
    for round in 0..4u64 {
        std::thread::scope(|scope| {
            for n in 0..12 {
                let docker = &docker;
                scope.spawn(move || {
                    let name = format!("r{round}n{n}");
                    // Why: any of these may fail when the engine dies under it; what counts is what is there afterwards.
                    docker.run(["run", "-d", "--name", &name, IMAGE, "sleep", "1000"]);
                    docker.run(["exec", &name, "true"]);
                    docker.run(["rm", "-f", &name]);
                });
            }
            std::thread::sleep(Duration::from_millis(150 * (round + 1)));
            engine.kill();
        });
        engine.restart();
        for id in docker.run(["ps", "-aq", "--no-trunc"]).ok().lines() {
            let state = docker.run(["inspect", "-f", "{{.State.Status}} {{.State.Running}}", id]).ok();
            assert!(["running true", "created false", "exited false"].contains(&state.as_str()), "{id}: {state}");
            docker.run(["rm", "-f", id]).ok();
        }
    }
    let containers = engine.dir().join("data/containers");
    let left: Vec<_> =
        std::fs::read_dir(&containers).map(|dir| dir.flatten().map(|entry| entry.path()).collect()).unwrap_or_default();
    assert!(left.is_empty(), "directories of removed containers: {left:?}");
}
