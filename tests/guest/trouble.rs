//! Trouble that users have: a full disk, a second machine, something to report.

use std::time::Duration;

use cubby_harness::{IMAGE, Machine, busybox_archive, wait_for};
use serde_json::Value;

#[test]
fn a_full_disk_is_said_and_survived() {
    let mut machine = Machine::start_with([("CUBBY_DISK_GIB", "1")]);
    let docker = machine.docker();
    docker.run_with_input(["load"], &busybox_archive()).ok();
    docker.run(["run", "--name", "kept", IMAGE, "sh", "-c", "echo kept > /kept"]).ok();
    let fill = "n=0; while fallocate -l 16M /fill-$n 2>/dev/null; do n=$((n+1)); done; dd if=/dev/zero of=/rest bs=4k 2>&1; sleep 1000";
    docker.run(["run", "-d", "--name", "filler", IMAGE, "sh", "-c", fill]).ok();
    // Its own complaint cannot be logged any more.
    wait_for("a full disk", Duration::from_secs(120), || {
        let refused = docker.run(["exec", "filler", "sh", "-c", "echo more > /more"]);
        refused.stderr.contains("No space left").then_some(())
    });

    let refused = docker.run(["run", "--rm", IMAGE, "sh", "-c", "dd if=/dev/zero of=/x bs=1M count=64"]);
    assert_ne!(refused.code, 0, "{refused:?}");
    let said = format!("{}{}", refused.stdout, refused.stderr).to_lowercase();
    assert!(said.contains("no space left on device") || said.contains("disk is full"), "{refused:?}");
    assert_eq!(docker.run(["ps", "-q", "--filter", "name=filler"]).ok().lines().count(), 1, "the engine still answers");
    let doctor = machine.cubby(["doctor", "--json"]);
    let finding = finding(&doctor.stdout, "guest");
    assert_ne!(finding["verdict"], "ok", "{finding}");

    docker.run(["rm", "-f", "filler"]).ok();
    assert_eq!(docker.run(["run", "--rm", IMAGE, "echo", "works"]).ok(), "works");
    assert_eq!(docker.run(["cp", "kept:/kept", "-"]).code, 0, "nothing was lost");

    // A larger disk is there at the next start, and its filesystem with it.
    let total = |machine: &Machine| machine.status()["figures"]["disk_total_bytes"].as_u64().expect("a disk");
    let before = total(&machine);
    machine.cubby(["down"]).ok();
    machine.set("CUBBY_DISK_GIB", "2");
    machine.cubby(["up"]).ok();
    assert!(total(&machine) > before + (900 << 20), "{} of {before}", total(&machine));
    assert_eq!(docker.run(["start", "-a", "kept"]).code, 0);
}

#[test]
fn two_machines_run_side_by_side_and_can_be_examined() {
    let machine = Machine::start();
    let docker = machine.docker();
    docker.run_with_input(["load"], &busybox_archive()).ok();
    docker.run(["run", "-d", "--name", "web", "-p", "127.0.0.1:0:80", IMAGE, "httpd", "-f", "-p", "80"]).ok();

    machine.cubby(["--profile", "second", "up"]).ok();
    let second: Value =
        serde_json::from_str(&machine.cubby(["--profile", "second", "status", "--json"]).ok()).expect("JSON");
    let first = machine.status();
    for field in ["docker_host", "daemon_pid"] {
        assert_ne!(first[field], second[field], "{field}");
    }
    assert_ne!(first["machine"]["pid"], second["machine"]["pid"]);
    assert_eq!((&second["containers"]["total"], &first["containers"]["total"]), (&0.into(), &1.into()));
    machine.cubby(["--profile", "second", "down"]).ok();
    assert_eq!(machine.status()["machine"]["phase"], "running", "the other one goes on");

    examined(&machine);
    reported(&machine);
}

fn examined(machine: &Machine) {
    let doctor = machine.cubby(["doctor", "--json"]);
    assert_eq!(doctor.code, 0, "{doctor:?}");
    for what in
        ["guest image", "hypervisor", "data disk", "docker socket", "machine", "vsock", "guest", "ports", "store"]
    {
        assert_eq!(finding(&doctor.stdout, what)["verdict"], "ok", "{what}: {doctor:?}");
    }
    assert!(finding(&doctor.stdout, "ports")["found"].as_str().expect("text").starts_with("1 published"));
}

/// What `cubby support` writes has the facts and none of the secrets that went through the machine.
fn reported(machine: &Machine) {
    let secret = "hunter2-in-the-environment";
    let variable = format!("DB_PASSWORD={secret}");
    machine.docker().run(["run", "--rm", "-e", &variable, IMAGE, "true"]).ok();
    let bundle = machine.home().join("bundle.tar.gz");
    machine.cubby(["support", "--output", bundle.to_str().expect("UTF-8")]).ok();
    let listed = std::process::Command::new("tar").args(["-xzOf"]).arg(&bundle).output().expect("tar runs");
    let text = String::from_utf8_lossy(&listed.stdout);
    assert!(text.contains("accelerator") && text.contains("machine on"), "{text}");
    assert!(!text.contains(secret), "{text}");
}

fn finding(json: &str, what: &str) -> Value {
    let findings: Vec<Value> = serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"));
    findings.into_iter().find(|finding| finding["what"] == what).unwrap_or_else(|| panic!("no finding {what}: {json}"))
}
