//! The QEMU backend against programs that only pretend to be QEMU: what is started, and how ends are explained.
#![cfg(target_os = "linux")]
// Why: the exemption for tests does not reach the helpers of an integration test.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cubby_machine::{
    Condition, DataDisk, DiskError, ExitReason, GuestImage, Hypervisor, Machine, MachineError, MachineSpec, Qemu,
    StopMode,
};

/// A directory with a guest image of empty words and a script in QEMU's place.
struct Host {
    dir: PathBuf,
    /// Removed with the host; `None` if somebody else does that.
    _owned: Option<tempfile::TempDir>,
}

/// Answers `--version`, refuses the accelerator probe, records its arguments and its working directory, then does
/// `then`. Its QMP socket has the number that the command line names.
fn script(then: &str) -> String {
    format!(
        r#"#!/bin/bash
if [ "$1" = --version ]; then echo "QEMU emulator version 99.0"; exit 0; fi
if ! [[ "$*" =~ id=qmp,fd=([0-9]+) ]]; then echo "no kvm today" >&2; exit 1; fi
qmp=${{BASH_REMATCH[1]}}
printf '%s\n' "$@" > arguments
echo "console text"
say() {{ echo "$1" >&$qmp; }}
{then}
"#
    )
}

impl Host {
    fn new(then: &str) -> Host {
        let owned = tempfile::tempdir().unwrap();
        let host = Host { dir: owned.path().into(), _owned: Some(owned) };
        host.be(then);
        std::fs::create_dir(host.path("run")).unwrap();
        let template = zstd::encode_all(&[1u8; 4096][..], 1).unwrap();
        let mut manifest = serde_json::json!({
            "format": 1, "arch": std::env::consts::ARCH, "version": "0", "kernel_release": "0", "cmdline": "quiet",
        });
        for (part, bytes) in [("kernel", &b"k"[..]), ("initramfs", b"i"), ("data_template", &template)] {
            std::fs::write(host.path(part), bytes).unwrap();
            manifest[part] = serde_json::json!({"file": part, "bytes": bytes.len(), "sha256": ""});
        }
        std::fs::write(host.path("manifest.json"), manifest.to_string()).unwrap();
        host
    }

    /// One that another process has set up.
    fn at(dir: &Path) -> Host {
        Host { dir: dir.into(), _owned: None }
    }

    fn dir(&self) -> &Path {
        &self.dir
    }

    fn be(&self, then: &str) {
        // Written beside and moved: a script that is still open for writing cannot be run.
        std::fs::write(self.path("qemu.new"), script(then)).unwrap();
        std::fs::set_permissions(self.path("qemu.new"), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(self.path("qemu.new"), self.path("qemu")).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn qemu(&self) -> Qemu {
        Qemu::new(GuestImage::open(self.dir()).unwrap(), self.dir()).with_program(&self.path("qemu"))
    }

    fn spec(&self) -> MachineSpec {
        MachineSpec {
            name: "test".into(),
            runtime_dir: self.path("run"),
            image: GuestImage::open(self.dir()).unwrap(),
            extra_cmdline: String::new(),
            cpus: 1,
            memory_mib: 64,
            data_disk: DataDisk { path: self.path("data.raw"), size_bytes: 1 << 20 },
            shares: Default::default(),
            console_log: self.path("console.log"),
        }
    }

    async fn machine(&self) -> Box<dyn Machine> {
        self.qemu().create(self.spec()).await.unwrap()
    }
}

async fn end(machine: &mut Box<dyn Machine>) -> ExitReason {
    tokio::time::timeout(Duration::from_secs(20), machine.wait()).await.expect("the machine ends")
}

async fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect(what);
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Exits when it is told to quit.
const OBEDIENT: &str = r#"while read -r line <&$qmp; do
  case "$line" in *quit*) say '{"event": "SHUTDOWN", "data": {"guest": false, "reason": "host-qmp-quit"}}'; exit 0;; esac
done"#;

#[tokio::test]
async fn runs_in_its_private_directory_with_a_console_log_and_stops_when_told() {
    let host = Host::new(OBEDIENT);
    let mut machine = host.machine().await;
    assert!(!host.path("run/arguments").exists(), "create must start nothing");
    machine.start().await.unwrap();
    assert!(matches!(machine.start().await, Err(MachineError::AlreadyOn)));
    wait_for("the console reaches the log", || text(&host.path("console.log")).contains("console text")).await;
    assert!(text(&host.path("run/arguments")).contains("vhost-user-vsock-pci"));
    assert!(machine.figures().resident_bytes > 0);
    assert!(Path::new(&format!("/proc/{}", machine.pid().unwrap())).exists());
    machine.stop(StopMode::Quit).await;
    assert_eq!(end(&mut machine).await, ExitReason::Stopped);
    assert_eq!((machine.figures().resident_bytes, machine.pid()), (0, None));
    machine.start().await.unwrap();
    machine.stop(StopMode::Kill).await;
    assert_eq!(end(&mut machine).await, ExitReason::Stopped);
}

#[tokio::test]
async fn a_guest_that_was_asked_may_take_its_time() {
    let power_off = r#"sleep 0.3; say '{"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-shutdown"}}'"#;
    let host = Host::new(power_off);
    let mut machine = host.machine().await;
    machine.start().await.unwrap();
    machine.stop(StopMode::AskedGuest { grace: Duration::from_secs(20) }).await;
    assert_eq!(end(&mut machine).await, ExitReason::PoweredOff);
}

#[tokio::test]
async fn a_deaf_hypervisor_is_killed_in_the_end() {
    let host = Host::new("trap '' TERM INT; while :; do sleep 1000; done");
    let mut machine = host.machine().await;
    machine.start().await.unwrap();
    machine.stop(StopMode::AskedGuest { grace: Duration::from_millis(1) }).await;
    assert_eq!(end(&mut machine).await, ExitReason::Stopped);
}

#[tokio::test]
async fn every_unasked_end_is_explained() {
    let cases = [
        (r#"say '{"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-reset"}}'"#, ExitReason::Reset),
        (r#"say '{"event": "GUEST_PANICKED", "data": {}}'; exit 0"#, ExitReason::Panicked),
        (
            r#"sleep 0.2; echo "out of luck" >&2; exit 3"#,
            ExitReason::Died { status: "exit status: 3".into(), said: "out of luck".into() },
        ),
    ];
    for (then, reason) in cases {
        let host = Host::new(&format!("sleep 0.2; {then}"));
        let mut machine = host.machine().await;
        machine.start().await.unwrap();
        assert_eq!(end(&mut machine).await, reason);
        assert_eq!(end(&mut machine).await, reason, "the reason stays");
    }
}

#[tokio::test]
async fn a_command_line_that_qemu_refuses_fails_the_start() {
    let host = Host::new(r#"echo "-device nonsense: not found" >&2; exit 1"#);
    let mut machine = host.machine().await;
    let err = machine.start().await.unwrap_err();
    assert!(err.to_string().contains("-device nonsense"), "{err}");
}

#[tokio::test]
async fn a_hypervisor_that_gives_up_is_ended_and_named() {
    let give_up = r#"sleep 0.3; say '{"event": "STOP"}'
while read -r line <&$qmp; do
  case "$line" in *query-status*) say '{"return": {"status": "internal-error"}}';; esac
done"#;
    let host = Host::new(give_up);
    let mut machine = host.machine().await;
    machine.start().await.unwrap();
    let reason = end(&mut machine).await;
    assert!(matches!(&reason, ExitReason::HypervisorFailed { said } if said.contains("internal-error")), "{reason}");
}

#[tokio::test]
async fn a_full_host_disk_shows_as_a_condition() {
    let host = Host::new(&format!(
        "say '{}'\n{OBEDIENT}",
        r#"{"event": "BLOCK_IO_ERROR", "data": {"action": "stop", "nospace": true}}"#
    ));
    let mut machine = host.machine().await;
    let mut condition = machine.condition();
    machine.start().await.unwrap();
    condition.wait_for(|condition| *condition == Condition::PausedForSpace).await.unwrap();
    machine.stop(StopMode::Quit).await;
}

#[tokio::test]
async fn two_machines_never_share_a_disk() {
    let host = Host::new(OBEDIENT);
    let first = host.machine().await;
    let second = host.qemu().create(host.spec()).await;
    assert!(matches!(second, Err(MachineError::Disk(DiskError::InUse(_)))));
    drop(first);
    host.machine().await;
}

#[tokio::test]
async fn a_dropped_machine_leaves_no_process() {
    let host = Host::new("echo $$ > pid; while :; do sleep 1000; done");
    let mut machine = host.machine().await;
    machine.start().await.unwrap();
    wait_for("the process names itself", || text(&host.path("run/pid")).ends_with('\n')).await;
    let process = PathBuf::from(format!("/proc/{}", text(&host.path("run/pid")).trim()));
    assert!(process.exists());
    drop(machine);
    wait_for("the process is gone", || !process.exists()).await;
}

/// Where the next test's victim works; unset, the victim does nothing.
const VICTIM_DIR: &str = "CUBBY_TEST_VICTIM_DIR";

/// Not a test: the process that the next test kills while its machine is on.
#[tokio::test]
#[ignore = "run by another test"]
async fn victim() {
    let Some(dir) = std::env::var_os(VICTIM_DIR) else { return };
    let host = Host::at(Path::new(&dir));
    let mut machine = host.machine().await;
    machine.start().await.unwrap();
    machine.wait().await;
}

#[tokio::test]
async fn a_killed_host_process_takes_its_machine_along() {
    let host = Host::new("echo $$ > pid; while :; do sleep 1000; done");
    let mut victim = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "victim"])
        .env(VICTIM_DIR, host.dir())
        .spawn()
        .unwrap();
    wait_for("the machine is on", || text(&host.path("run/pid")).ends_with('\n')).await;
    let process = PathBuf::from(format!("/proc/{}", text(&host.path("run/pid")).trim()));
    assert!(process.exists());
    victim.kill().unwrap();
    victim.wait().unwrap();
    wait_for("the machine is gone", || !process.exists()).await;
    // And so is its claim to the disk.
    host.machine().await;
}

#[tokio::test]
async fn the_probe_tries_once_and_remembers() {
    let host = Host::new("");
    let first = host.qemu().probe().await.unwrap();
    assert_eq!(first.version, "QEMU emulator version 99.0");
    assert_eq!(first.accelerator.to_string(), "tcg");
    let reason = first.slow_because.clone().unwrap();
    if Path::new("/dev/kvm").exists() {
        assert!(reason.contains("no kvm today") || reason.contains("/dev/kvm"), "{reason}");
    }
    // Another QEMU that would say something else is not asked again while its version is the same.
    host.be("never reached");
    assert_eq!(host.qemu().probe().await.unwrap(), first);
}

#[tokio::test]
async fn no_qemu_is_a_clear_error() {
    let host = Host::new("");
    let err = host.qemu().with_program(Path::new("/nonexistent")).probe().await.unwrap_err();
    assert!(err.to_string().contains("/nonexistent"), "{err}");
}
