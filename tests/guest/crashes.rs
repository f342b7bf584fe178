//! `kill -9` of every part: what ran goes on, what was kept is still there.

use std::time::Duration;

use cubby_harness::{IMAGE, Machine, busybox_archive, wait_for};

const PATIENCE: Duration = Duration::from_secs(180);

#[test]
fn a_killed_machine_comes_back_with_its_containers_and_images() {
    let machine = Machine::start();
    let docker = machine.docker();
    docker.run_with_input(["load"], &busybox_archive()).ok();
    docker.run(["run", "-d", "--name", "always", "--restart", "always", IMAGE, "sleep", "1000"]).ok();
    docker.run(["run", "--name", "once", IMAGE, "sh", "-c", "echo kept > /kept"]).ok();

    let first = machine.status()["machine"]["pid"].as_u64().expect("QEMU's pid");
    kill(first);
    wait_for("another machine", PATIENCE, || {
        let status = machine.status();
        let running = status["machine"]["phase"] == "running";
        (running && status["machine"]["pid"].as_u64() != Some(first)).then_some(())
    });
    assert!(docker.run(["images", "-q", IMAGE]).ok().len() >= 12);
    wait_for("the restart policy", PATIENCE, || {
        (docker.run(["inspect", "-f", "{{.State.Running}}", "always"]).stdout.trim() == "true").then_some(())
    });
    assert_eq!(docker.run(["start", "-a", "once"]).ok(), "");
    docker.run(["rm", "-f", "always", "once"]).ok();

    killed_daemon(&machine);
}

#[test]
fn containers_outlive_a_killed_engine() {
    let machine = Machine::start();
    let docker = machine.docker();
    docker.run_with_input(["load"], &busybox_archive()).ok();
    let script = "n=0; while :; do echo $n; n=$((n+1)); sleep 0.2; done";
    docker.run(["run", "-d", "--name", "survivor", IMAGE, "sh", "-c", script]).ok();
    let started = docker.run(["inspect", "-f", "{{.State.StartedAt}} {{.State.Pid}}", "survivor"]).ok();

    // A container in the machine's own process namespace is the only way in: the guest has no shell.
    let kill =
        "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline | grep -q 'engine --guest' && kill -9 ${p#/proc/}; done";
    docker.run(["run", "--rm", "--privileged", "--pid", "host", IMAGE, "sh", "-c", kill]);
    wait_for("the next engine", PATIENCE, || {
        (docker.run(["inspect", "-f", "{{.State.StartedAt}} {{.State.Pid}}", "survivor"]).stdout.trim() == started)
            .then_some(())
    });

    let last = |text: &str| text.lines().last().and_then(|line| line.parse::<u64>().ok());
    let seen = last(&docker.run(["logs", "survivor"]).stdout).expect("it counted");
    let lines = wait_for("further lines", PATIENCE, || {
        let text = docker.run(["logs", "survivor"]).stdout;
        (last(&text)? > seen + 3).then_some(text)
    });
    let counted: Vec<u64> = lines.lines().filter_map(|line| line.parse().ok()).collect();
    assert!(counted.windows(2).all(|pair| pair[1] == pair[0] + 1), "no line is missing or doubled: {counted:?}");
    docker.run(["kill", "survivor"]).ok();
    assert_eq!(docker.run(["wait", "survivor"]).ok(), "137");
    docker.run(["rm", "survivor"]).ok();
}

fn killed_daemon(machine: &Machine) {
    let daemon = machine.status()["daemon_pid"].as_u64().expect("the daemon's pid");
    kill(daemon);
    machine.cubby(["up"]).ok();
    assert!(machine.docker().run(["images", "-q", IMAGE]).ok().len() >= 12);
}

fn kill(pid: u64) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it can be killed");
}
