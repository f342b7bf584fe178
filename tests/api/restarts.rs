//! Engines that stop, start again, or never come back. Native only: the guest's engine is pid 1's to start and stop.

use std::{process::Command, time::Duration};

use cubby_harness::{Docker, IMAGE, NativeEngine, Place, binary, busybox_archive, wait_for};

const PATIENCE: Duration = Duration::from_secs(60);

fn native() -> Option<(NativeEngine, Docker)> {
    if Place::of_this_run() == Place::Guest {
        println!("not in the guest: its engine is pid 1's");
        return None;
    }
    let engine = NativeEngine::start();
    let docker = engine.docker();
    docker.run_with_input(["load"], &busybox_archive()).ok();
    Some((engine, docker))
}

#[test]
fn restart_policies_outlive_the_engine() {
    let Some((mut engine, docker)) = native() else { return };
    let script = "trap 'exit 0' TERM; while :; do sleep 0.1; done";
    for (name, policy) in [
        ("unless-runs", "unless-stopped"),
        ("unless-stopped", "unless-stopped"),
        ("always-stopped", "always"),
        ("never", "no"),
    ] {
        docker.run(["run", "-d", "--name", name, "--restart", policy, IMAGE, "sh", "-c", script]).ok();
    }
    docker.run(["stop", "unless-stopped", "always-stopped"]).ok();
    assert_eq!(engine.stop(), Some(0));
    engine.restart();
    let running = |name: &str| docker.run(["inspect", "-f", "{{.State.Running}}", name]).ok() == "true";
    for name in ["unless-runs", "always-stopped"] {
        wait_for(&format!("{name} to run again"), PATIENCE, || running(name).then_some(()));
    }
    assert!(!running("unless-stopped") && !running("never"));
    assert_eq!(docker.run(["inspect", "-f", "{{.State.ExitCode}}", "never"]).ok(), "0");
}

#[test]
fn clean_takes_away_what_a_killed_engine_left() {
    let Some((mut engine, docker)) = native() else { return };
    docker.run(["network", "create", "left"]).ok();
    docker.run(["run", "-d", "--name", "left", "--network", "left", IMAGE, "sleep", "1000"]).ok();
    let id = docker.run(["inspect", "-f", "{{.Id}}", "left"]).ok();
    let pid = docker.run(["inspect", "-f", "{{.State.Pid}}", "left"]).ok();
    let alive = || std::path::Path::new("/proc").join(&pid).exists();
    engine.kill();
    assert!(alive(), "containers outlive their engine");
    let bridges = || {
        let links = Command::new("ip").args(["-o", "link", "show", "type", "bridge"]).output().expect("ip runs");
        String::from_utf8_lossy(&links.stdout).lines().count()
    };
    let before = bridges();
    let cleaned = Command::new(binary("cubbyd"))
        .arg("clean")
        .arg("--data-root")
        .arg(engine.dir().join("data"))
        .arg("--run-dir")
        .arg(engine.dir().join("run"))
        .output()
        .expect("cubbyd runs");
    assert!(cleaned.status.success(), "{}", String::from_utf8_lossy(&cleaned.stderr));
    assert!(!alive() && !engine.dir().join("run").exists());
    assert!(bridges() < before, "the networks' bridges stay");
    let found = Command::new("find").args(["/sys/fs/cgroup", "-name", &id]).output().expect("find runs");
    assert_eq!(String::from_utf8_lossy(&found.stdout), "", "control groups stay");
    engine.restart();
    assert_eq!(docker.run(["inspect", "-f", "{{.State.Status}}", "left"]).ok(), "exited");
}
