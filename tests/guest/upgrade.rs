//! Another guest image under the same data: one that works, one that does not, one that is too old. And what a clean stop
//! means to containers, since every one of these begins with it.

use std::{fs, path::Path, path::PathBuf};

use cubby_harness::{Docker, IMAGE, Machine, busybox_archive, guest_image};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

#[test]
fn an_upgrade_keeps_the_data_and_a_bad_one_is_taken_back() {
    let mut machine = Machine::start();
    let docker = machine.docker();
    docker.run_with_input(["load"], &busybox_archive()).ok();
    run_stoppable(&docker);
    machine.cubby(["down"]).ok();

    let images = machine.home().join("installed");
    let better = installed(&images, "better", |manifest, _| manifest["version"] = json!("8.0.0"));
    boot(&mut machine, &better);
    were_stopped_in_order(&docker);
    let status = machine.status();
    assert_eq!(status["machine"]["notice"], Value::Null, "{status}");
    assert!(machine.cubby(["logs", "daemon"]).stdout.contains("boots on trial"));
    machine.cubby(["down"]).ok();

    let broken = installed(&images, "broken", |manifest, dir| {
        manifest["version"] = json!("9.0.0");
        replace(manifest, dir, "initramfs", b"no initramfs at all");
    });
    boot(&mut machine, &broken);
    let notice = machine.status()["machine"]["notice"].as_str().expect("a notice").to_owned();
    assert!(notice.contains("9.0.0") && notice.contains("8.0.0 goes on"), "{notice}");
    were_stopped_in_order(&docker);
    machine.cubby(["down"]).ok();

    let newer = installed(&images, "newer", |manifest, _| manifest["data_format"] = json!(1000));
    boot(&mut machine, &newer);
    were_stopped_in_order(&docker);
    machine.cubby(["down"]).ok();
    machine.set("CUBBY_GUEST_IMAGE", &better.display().to_string());
    let refused = machine.cubby(["up"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("newer Cubby") && refused.stderr.contains("data format 1000"), "{refused:?}");

    machine.cubby(["down"]).ok();
    boot(&mut machine, &newer);
    were_stopped_in_order(&docker);
}

/// Two containers that say how they were stopped: by TERM, and by a signal of their own choice.
fn run_stoppable(docker: &Docker) {
    for (name, signal) in [("by-term", "TERM"), ("by-usr1", "USR1")] {
        let script =
            format!("trap 'echo stopped by {signal}; exit 7' {signal}; echo waits; while :; do sleep 0.1; done");
        let stop_signal = format!("SIG{signal}");
        docker.run(["run", "-d", "--name", name, "--stop-signal", &stop_signal, IMAGE, "sh", "-c", &script]).ok();
        cubby_harness::wait_for("its trap", std::time::Duration::from_secs(60), || {
            docker.run(["logs", name]).stdout.contains("waits").then_some(())
        });
    }
}

fn were_stopped_in_order(docker: &Docker) {
    for (name, signal) in [("by-term", "TERM"), ("by-usr1", "USR1")] {
        assert_eq!(docker.run(["inspect", "-f", "{{.State.ExitCode}}", name]).ok(), "7", "{name}");
        assert_eq!(docker.run(["logs", name]).ok(), format!("waits\nstopped by {signal}"));
    }
}

fn boot(machine: &mut Machine, image: &Path) {
    machine.set("CUBBY_GUEST_IMAGE", &image.display().to_string());
    machine.cubby(["up"]).ok();
}

/// A copy of the guest image under test, changed.
fn installed(images: &Path, name: &str, change: impl FnOnce(&mut Value, &Path)) -> PathBuf {
    let dir = images.join(name);
    fs::create_dir_all(&dir).expect("a directory");
    for file in fs::read_dir(guest_image()).expect("a guest image").flatten() {
        fs::copy(file.path(), dir.join(file.file_name())).expect("a copy");
    }
    let path = dir.join("manifest.json");
    let mut manifest = serde_json::from_slice(&fs::read(&path).expect("a manifest")).expect("JSON");
    change(&mut manifest, &dir);
    fs::write(path, manifest.to_string()).expect("it can be written");
    dir
}

fn replace(manifest: &mut Value, dir: &Path, part: &str, bytes: &[u8]) {
    let file = manifest[part]["file"].as_str().expect("a file").to_owned();
    fs::write(dir.join(file), bytes).expect("it can be written");
    manifest[part]["bytes"] = json!(bytes.len());
    manifest[part]["sha256"] = json!(format!("{:x}", Sha256::digest(bytes)));
}
