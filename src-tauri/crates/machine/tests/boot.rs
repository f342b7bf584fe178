//! The real guest image on this host's real hypervisor: boot stages over the BOOT port, dials, the end.
//!
//! Wants an image in `CUBBY_GUEST_IMAGE`, or where `cargo xtask image` puts it. Without one it says so and passes,
//! unless `CUBBY_REQUIRE_GUEST` is set, as CI does.
// Why: the exemption for tests does not reach the helpers of an integration test.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cubby_machine::{
    DataDisk, DialError, Dialer, ExitReason, GuestImage, Hypervisor, Listener, Machine, MachineSpec, StopMode, Stream,
};
use cubby_wire::boot::{BootMessage, Stage};
use cubby_wire::control::{Reply, Request};
use cubby_wire::{frame, ports};

const PATIENCE: Duration = Duration::from_secs(120);

fn image() -> Option<GuestImage> {
    let built = || {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
        target.join("guest").join(std::env::consts::ARCH)
    };
    let dir = std::env::var_os("CUBBY_GUEST_IMAGE").map_or_else(built, PathBuf::from);
    match GuestImage::open(&dir) {
        Ok(image) => Some(image),
        Err(err) if std::env::var_os("CUBBY_REQUIRE_GUEST").is_none() => {
            eprintln!("\n*** SKIPPED: no boot was tested: {err} ***\n");
            None
        }
        Err(err) => panic!("{err}"),
    }
}

#[cfg(target_os = "linux")]
fn hypervisor(image: GuestImage, state_dir: &Path) -> impl Hypervisor {
    cubby_machine::Qemu::new(image, state_dir)
}

#[cfg(target_os = "macos")]
fn hypervisor(_image: GuestImage, _state_dir: &Path) -> impl Hypervisor {
    cubby_machine::Vz
}

#[cfg(windows)]
fn hypervisor(_image: GuestImage, _state_dir: &Path) -> impl Hypervisor {
    cubby_machine::Hcs
}

struct Booted {
    machine: Box<dyn Machine>,
    boot: Listener,
    dir: tempfile::TempDir,
}

impl Booted {
    async fn create(image: GuestImage) -> Booted {
        let dir = tempfile::tempdir().unwrap();
        let spec = MachineSpec {
            name: "boot-test".into(),
            runtime_dir: dir.path().into(),
            image: image.clone(),
            extra_cmdline: String::new(),
            cpus: 2,
            memory_mib: 512,
            data_disk: DataDisk {
                path: dir.path().join(if cfg!(windows) { "data.vhdx" } else { "data.raw" }),
                size_bytes: 4 << 30,
            },
            shares: Default::default(),
            console_log: dir.path().join("console.log"),
        };
        image.verify().unwrap();
        let machine = hypervisor(image, dir.path()).create(spec).await.unwrap();
        let boot = machine.listen(ports::BOOT).unwrap();
        Booted { machine, boot, dir }
    }

    fn console(&self) -> String {
        let text = std::fs::read_to_string(self.dir.path().join("console.log")).unwrap_or_default();
        text.lines().rev().take(40).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Starts and follows the boot to `Ready`; the stream that pid 1 keeps open.
    async fn boot(&mut self) -> Stream {
        let started = Instant::now();
        self.machine.start().await.unwrap();
        match tokio::time::timeout(PATIENCE, follow(&mut self.boot, &mut self.machine, started)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(problem)) => panic!("{problem}\n{}", self.console()),
            Err(_) => panic!("the guest did not boot in {PATIENCE:?}\n{}", self.console()),
        }
    }
}

async fn follow(boot: &mut Listener, machine: &mut Box<dyn Machine>, started: Instant) -> Result<Stream, String> {
    let mut stream = tokio::select! {
        stream = boot.accept() => stream.ok_or("the device is gone")?,
        reason = machine.wait() => return Err(format!("the machine went off: {reason}")),
    };
    let mut stages = Vec::new();
    loop {
        let message = frame::read(&mut stream).await.map_err(|err| err.to_string())?;
        match message.ok_or("pid 1 closed the boot stream")? {
            BootMessage::Hello { protocol, kernel, guest_version } => {
                println!("{:?}: cubbyd {guest_version} on {kernel}", started.elapsed());
                assert_eq!(protocol, cubby_wire::PROTOCOL_VERSION);
            }
            BootMessage::Stage { stage, clock_us } => {
                println!("{:?}: {stage:?}, guest clock {clock_us} us", started.elapsed());
                stages.push(stage);
                if stage == Stage::Ready {
                    assert_eq!(stages, [Stage::Init, Stage::Disk, Stage::Engine, Stage::Ready]);
                    return Ok(stream);
                }
            }
            failed => return Err(format!("{failed:?}")),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_guest_boots_answers_and_boots_again() {
    let Some(image) = image() else { return };
    let mut booted = Booted::create(image).await;
    let first = booted.boot().await;
    let dialer = booted.machine.dialer();
    assert!(matches!(dialer.dial(9).await, Err(DialError::Refused(9))));
    for port in [ports::DOCKER_API, ports::CONTROL] {
        dialer.dial(port).await.unwrap_or_else(|err| panic!("{err}\n{}", booted.console()));
    }
    let figures = booted.machine.figures();
    println!("{figures:?}");
    assert!(figures.disk_allocated_bytes > 0);
    // Elsewhere the guest is in a process of the system's.
    assert!(figures.resident_bytes > 0 || cfg!(not(target_os = "linux")));

    // A power cut: the next boot finds the same disk, and the old streams have ended.
    booted.machine.stop(StopMode::Kill).await;
    assert_eq!(booted.machine.wait().await, ExitReason::Stopped);
    assert!(matches!(dialer.dial(ports::CONTROL).await, Err(DialError::Off)));
    drop(first);
    booted.boot().await;
    ask_to_power_off(&dialer).await;
    booted.machine.stop(StopMode::AskedGuest { grace: PATIENCE }).await;
    assert_eq!(booted.machine.wait().await, ExitReason::PoweredOff, "{}", booted.console());
}

async fn ask_to_power_off(dialer: &Dialer) {
    let mut control = dialer.dial(ports::CONTROL).await.unwrap();
    for request in [Request::Hello { protocol: cubby_wire::PROTOCOL_VERSION }, Request::Shutdown { stop_timeout_s: 1 }]
    {
        frame::write(&mut control, &request).await.unwrap();
        let reply: Option<Reply> = frame::read(&mut control).await.unwrap();
        assert!(!matches!(reply, None | Some(Reply::Failed { .. })), "{request:?}: {reply:?}");
    }
}

/// How often the machine type boots. `CUBBY_BOOTS=50 cargo test -p cubby-machine --test boot -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "minutes; run by hand when the machine type changes"]
async fn boots_without_a_hang() {
    let Some(image) = image() else { return };
    let boots = std::env::var("CUBBY_BOOTS").ok().and_then(|n| n.parse().ok()).unwrap_or(20);
    let mut booted = Booted::create(image).await;
    for number in 1..=boots {
        println!("boot {number} of {boots}");
        booted.boot().await;
        booted.machine.stop(StopMode::Quit).await;
    }
}
