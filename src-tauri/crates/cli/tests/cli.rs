//! What scripts rely on: exit codes, JSON, messages that name the thing and its remedy. No machine boots here.
#![allow(clippy::unwrap_used)] // A failed step of a test may panic where it stands.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::Builder::new().prefix("cubby-cli-").tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cubby"));
        command.args(args).env("CUBBY_HOME", self.path("home")).env("DOCKER_CONFIG", self.path("docker"));
        for name in ["CUBBY_PROFILE", "DOCKER_CONTEXT", "DOCKER_HOST", "CUBBY_LOG"] {
            command.env_remove(name);
        }
        command.env("CUBBY_GUEST_IMAGE", self.path("image"));
        command
    }

    fn cubby(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// A guest image of a few bytes, good enough for everything before power on.
    fn with_image(self) -> Self {
        let dir = self.path("image");
        fs::create_dir_all(&dir).unwrap();
        // An empty zstd frame and the digest of its bytes; the other parts have the same content.
        let content = [0x28, 0xb5, 0x2f, 0xfd, 0x24, 0x00, 0x01, 0x00, 0x00, 0x99, 0xe9, 0xd8, 0x51];
        let part = |file: &str| {
            fs::write(dir.join(file), content).unwrap();
            serde_json::json!({ "file": file, "bytes": content.len(), "sha256": "0".repeat(64) })
        };
        let manifest = serde_json::json!({
            "format": 1, "arch": std::env::consts::ARCH, "version": "0", "kernel_release": "0", "cmdline": "",
            "kernel": part("vmlinuz"), "initramfs": part("initramfs.img"), "data_template": part("data.zst"),
        });
        fs::write(dir.join("manifest.json"), manifest.to_string()).unwrap();
        self
    }
}

impl Drop for Home {
    /// The daemon that a test's `up` started must not outlive it.
    fn drop(&mut self) {
        let _ = self.command(&["down"]).output();
    }
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|err| panic!("{err}: {output:?}"))
}

#[test]
fn usage_and_version() {
    let home = Home::new();
    assert_eq!(code(&home.cubby(&["version"])), 0);
    for wrong in [&[][..], &["fly"], &["up", "--fast"], &["logs", "kitchen"], &["demo", "--port", "70000"]] {
        assert_eq!(code(&home.cubby(wrong)), 2, "{wrong:?}");
    }
    let profile = home.cubby(&["--profile", "../x", "status"]);
    assert_eq!(code(&profile), 1);
    assert!(stderr(&profile).contains("profile name"), "{profile:?}");
}

#[test]
fn a_machine_that_is_off_is_told_as_such() {
    let home = Home::new();
    let status = home.cubby(&["status", "--json"]);
    assert_eq!(code(&status), 3);
    let report = json(&status);
    assert_eq!(report["machine"]["phase"], "off");
    assert!(report["docker_host"].as_str().unwrap().ends_with("/docker.sock"), "{report}");
    assert_eq!(report["daemon_pid"], Value::Null);
    assert_eq!(code(&home.cubby(&["down"])), 0, "it is off, as wished");
    let logs = home.cubby(&["logs"]);
    assert_eq!(code(&logs), 1);
    assert!(stderr(&logs).contains("nothing was logged yet"), "{logs:?}");
}

#[test]
fn without_a_guest_image_up_fails_and_names_the_remedy() {
    let home = Home::new();
    let up = home.cubby(&["up"]);
    assert_eq!(code(&up), 1);
    assert!(stderr(&up).contains("cargo xtask image"), "{up:?}");
    let status = home.cubby(&["status", "--json"]);
    assert_eq!((code(&status), json(&status)["machine"]["phase"].as_str()), (3, Some("failed")), "it stays visible");
    assert!(!home.path("home/default/data.raw").exists(), "nothing half-made");

    let doctor = home.cubby(&["doctor", "--json"]);
    assert_eq!(code(&doctor), 1);
    let report = json(&doctor);
    let image = report.as_array().unwrap().iter().find(|finding| finding["what"] == "guest image").unwrap();
    assert_eq!(image["verdict"], "fail");
    assert!(image["remedy"].as_str().unwrap().contains("cargo xtask image"), "{image}");
}

#[test]
fn a_qemu_that_fails_is_quoted() {
    let home = Home::new().with_image();
    let bin = home.path("bin");
    fs::create_dir_all(&bin).unwrap();
    for name in ["qemu-system-x86_64", "qemu-system-aarch64"] {
        script(&bin.join(name), "#!/bin/sh\necho 'broken beyond repair' >&2\nexit 1\n");
    }
    let up = home.command(&["up"]).env("PATH", format!("{}:/usr/bin:/bin", bin.display())).output().unwrap();
    assert_eq!(code(&up), 1);
    assert!(stderr(&up).contains("broken beyond repair"), "{up:?}");
}

fn script(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_data_disk_that_is_no_disk_is_refused_and_left_alone() {
    let home = Home::new().with_image();
    let disk = home.path("home/default/data.raw");
    fs::create_dir_all(&disk).unwrap();
    let doctor = home.cubby(&["doctor"]);
    assert_eq!(code(&doctor), 1);
    assert!(String::from_utf8_lossy(&doctor.stdout).contains("is not a file"), "{doctor:?}");
    assert!(disk.is_dir());
}

#[test]
fn contexts_are_made_used_and_removed_on_request_only() {
    let home = Home::new();
    let status = || json(&home.cubby(&["context", "status", "--json"]));
    assert_eq!((status()["exists"].clone(), status()["current"].clone()), (false.into(), false.into()));
    assert_eq!(code(&home.cubby(&["context", "create"])), 0);
    assert_eq!((status()["exists"].clone(), status()["current"].clone()), (true.into(), false.into()));
    assert_eq!(code(&home.cubby(&["context", "use"])), 0);
    assert_eq!(status()["current"], true);
    assert_eq!(code(&home.cubby(&["context", "remove"])), 0);
    assert_eq!((status()["exists"].clone(), status()["current"].clone()), (false.into(), false.into()));
    fs::write(home.path("docker/config.json"), "{ broken").unwrap();
    let broken = home.cubby(&["context", "use"]);
    assert_eq!(code(&broken), 1);
    assert!(stderr(&broken).contains("not valid JSON"), "{broken:?}");
}
