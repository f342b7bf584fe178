//! Examines everything that the machine needs. Changes nothing, starts nothing but what a probe needs for a moment.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use cubby_machine::{GuestImage, Hypervisor};
use serde::Serialize;

use crate::context::Context;
use crate::daemon::Client;
use crate::dirs::Dirs;
use crate::hardware::{self, chain};
use crate::schema::MachinePhase;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Ok,
    /// Odd, but the machine works.
    Warn,
    Fail,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at; stable, for scripts.
    pub what: &'static str,
    pub verdict: Verdict,
    /// A sentence or less.
    pub found: String,
    /// What to do, unless all is well.
    pub remedy: Option<String>,
}

fn ok(what: &'static str, found: impl Into<String>) -> Finding {
    Finding { what, verdict: Verdict::Ok, found: found.into(), remedy: None }
}

fn warn(what: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding { what, verdict: Verdict::Warn, found: found.into(), remedy: Some(remedy.into()) }
}

fn fail(what: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding { what, verdict: Verdict::Fail, found: found.into(), remedy: Some(remedy.into()) }
}

/// All findings, in the order in which they depend on each other.
pub async fn examine(dirs: &Dirs) -> Vec<Finding> {
    let mut findings = Vec::new();
    let image = guest_image(&mut findings).await;
    if let Some(image) = image {
        let hypervisor = hardware::hypervisor(image, dirs);
        accelerator(hypervisor.as_ref(), &mut findings).await;
    } else {
        findings.push(warn("hypervisor", "not examined: that needs the guest image", "see above"));
    }
    findings.extend([space(dirs), data_disk(dirs)]);
    machine(dirs, &mut findings).await;
    findings.push(docker_cli(dirs).await);
    findings
}

async fn guest_image(findings: &mut Vec<Finding>) -> Option<GuestImage> {
    const WHAT: &str = "guest image";
    let image = match hardware::open_image().await {
        Ok(image) => image,
        Err(problem) => {
            findings.push(fail(WHAT, problem.detail, "build it (cargo xtask image) or install Cubby again"));
            return None;
        }
    };
    let verified = tokio::task::spawn_blocking({
        let image = image.clone();
        move || image.verify()
    });
    match verified.await {
        Ok(Ok(())) => {
            let found = format!("cubbyd {}, kernel {}, digests right", image.version, image.kernel_release);
            findings.push(ok(WHAT, found));
        }
        Ok(Err(err)) => {
            findings.push(fail(WHAT, chain(&err), "install Cubby again, or build the image: cargo xtask image"))
        }
        Err(err) => findings.push(fail(WHAT, chain(&err), "try again")),
    }
    match hardware::demo_image() {
        Some(_) => findings.push(ok("demo image", "there")),
        None => findings.push(warn("demo image", "not part of this installation", "build it: cargo xtask demo")),
    }
    Some(image)
}

async fn accelerator(hypervisor: &dyn Hypervisor, findings: &mut Vec<Finding>) {
    match hypervisor.probe().await {
        Err(err) => {
            let remedy = match &err {
                cubby_machine::ProbeError::Missing { remedy, .. } => remedy.clone(),
                _ => "reinstall QEMU with your system's package manager".to_owned(),
            };
            findings.push(fail("hypervisor", chain(&err), remedy));
        }
        Ok(found) => {
            findings.push(ok("hypervisor", &found.version));
            let accelerator = found.accelerator.to_string();
            findings.push(match found.slow_because {
                None => ok("accelerator", accelerator),
                Some(why) => warn("accelerator", accelerator, why),
            });
        }
    }
}

fn space(dirs: &Dirs) -> Finding {
    const WHAT: &str = "disk space";
    // The directory may not exist yet; its nearest ancestor does.
    let place = dirs.state.ancestors().find(|dir| dir.is_dir()).unwrap_or(Path::new("/"));
    let Ok(disk) = rustix::fs::statvfs(place) else {
        return warn(WHAT, format!("{} cannot be asked", place.display()), "check that disk");
    };
    let free_mib = disk.f_bavail.saturating_mul(disk.f_frsize) >> 20;
    let found = format!("{free_mib} MiB free in {}", place.display());
    match free_mib {
        0..256 => fail(WHAT, found, "make room: the machine does not start with less than 256 MiB"),
        256..2048 => warn(WHAT, found, "make room: images need it"),
        _ => ok(WHAT, found),
    }
}

fn data_disk(dirs: &Dirs) -> Finding {
    const WHAT: &str = "data disk";
    let path = dirs.data_disk();
    match fs::symlink_metadata(&path) {
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => ok(WHAT, "not made yet; the first start makes it"),
        Err(err) => fail(WHAT, format!("{}: {err}", path.display()), "make it readable for you"),
        Ok(meta) if !meta.is_file() => fail(WHAT, format!("{} is not a file", path.display()), "move it away"),
        Ok(meta) => match magic(&path) {
            Some(true) => {
                ok(WHAT, format!("{}, {} MiB of {} GiB in use", path.display(), meta.blocks() / 2048, meta.len() >> 30))
            }
            Some(false) => fail(
                WHAT,
                format!("{} holds no ext4 filesystem", path.display()),
                "put a backup in its place, or move it away for an empty one (containers, images and volumes are on it)",
            ),
            None => fail(WHAT, format!("{} cannot be read", path.display()), "make it readable for you"),
        },
    }
}

/// Whether an ext4 superblock is where it belongs. Source: fs/ext4/ext4.h, `s_magic` at 0x38 of the block at 1024.
fn magic(path: &Path) -> Option<bool> {
    use std::os::unix::fs::FileExt;
    let mut magic = [0; 2];
    let file = fs::File::open(path).ok()?;
    Some(file.read_exact_at(&mut magic, 1024 + 0x38).is_ok() && magic == [0x53, 0xef])
}

async fn machine(dirs: &Dirs, findings: &mut Vec<Finding>) {
    const WHAT: &str = "machine";
    let start = "start it: cubby up";
    let status = match Client::connect(dirs).await {
        Ok(None) => return findings.push(warn(WHAT, "off; sockets and vsock were not examined", start)),
        Err(err) => {
            return findings.push(fail(WHAT, chain(&err), "end the background process and start it again: cubby up"));
        }
        Ok(Some(mut client)) => match client.status().await {
            Ok(status) => status,
            Err(err) => return findings.push(fail(WHAT, chain(&err), "restart it: cubby down, cubby up")),
        },
    };
    for (what, socket) in [("docker socket", dirs.docker_socket()), ("daemon socket", dirs.daemon_socket())] {
        findings.push(match fs::metadata(&socket).map(|meta| meta.permissions().mode() & 0o777) {
            Ok(0o600) => ok(what, format!("{}, only yours", socket.display())),
            Ok(mode) => {
                fail(what, format!("{} has mode {mode:o}", socket.display()), format!("chmod 600 {}", socket.display()))
            }
            Err(err) => fail(what, format!("{}: {err}", socket.display()), "restart it: cubby down, cubby up"),
        });
    }
    if status.version != env!("CARGO_PKG_VERSION") {
        let found = format!("of version {}, this is {}", status.version, env!("CARGO_PKG_VERSION"));
        findings.push(warn("daemon", found, "restart it: cubby down, cubby up"));
    }
    match (status.machine.phase, status.machine.problem) {
        (MachinePhase::Running, _) => findings.push(ok(WHAT, "running")),
        (MachinePhase::Failed, Some(problem)) => {
            return findings.push(fail(
                WHAT,
                format!("{}: {}", problem.title, problem.detail),
                "see cubby logs console, then cubby up",
            ));
        }
        (phase, _) => return findings.push(warn(WHAT, format!("{phase:?}").to_lowercase(), start)),
    }
    findings.push(round_trip(dirs).await);
}

/// A ping through docker.sock, vsock and back.
async fn round_trip(dirs: &Dirs) -> Finding {
    const WHAT: &str = "vsock";
    let remedy = "restart the machine: cubby restart; see cubby logs daemon";
    let docker = match crate::engine::client(dirs) {
        Ok(docker) => docker.with_timeout(Duration::from_secs(10)),
        Err(err) => return fail(WHAT, chain(&err), remedy),
    };
    let began = Instant::now();
    match docker.ping().await {
        Ok(_) => ok(WHAT, format!("the engine answers in {:.1} ms", began.elapsed().as_secs_f64() * 1000.0)),
        Err(err) => fail(WHAT, chain(&err), remedy),
    }
}

async fn docker_cli(dirs: &Dirs) -> Finding {
    const WHAT: &str = "docker CLI";
    let version =
        tokio::process::Command::new("docker").arg("--version").stdin(Stdio::null()).kill_on_drop(true).output();
    let version = match tokio::time::timeout(Duration::from_secs(10), version).await {
        Ok(Ok(output)) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        _ => {
            return warn(
                WHAT,
                "not found",
                "only needed for the command line: install docker-cli from your system or docker.com",
            );
        }
    };
    match Context::of_process(dirs).map(|context| (context.status(), context)) {
        Ok((status, context)) if status.current => ok(WHAT, format!("{version}; uses context {}", context.name())),
        Ok((status, context)) if status.exists => ok(WHAT, format!("{version}; context {} exists", context.name())),
        Ok(_) => ok(WHAT, format!("{version}; no context for Cubby (cubby context create makes one)")),
        Err(err) => warn(WHAT, chain(&err), "repair docker's configuration"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dirs(home: &Path) -> Dirs {
        Dirs { profile: "t".into(), state: home.join("state"), runtime: home.join("run") }
    }

    #[test]
    fn a_data_disk_is_known_by_its_superblock() {
        let home = tempfile::tempdir().unwrap();
        let dirs = dirs(home.path());
        assert_eq!(data_disk(&dirs).verdict, Verdict::Ok, "not made yet");
        fs::create_dir(&dirs.state).unwrap();
        let mut disk = vec![0; 4096];
        fs::write(dirs.data_disk(), &disk).unwrap();
        assert_eq!(data_disk(&dirs).verdict, Verdict::Fail);
        disk[1024 + 0x38] = 0x53;
        disk[1024 + 0x39] = 0xef;
        fs::write(dirs.data_disk(), &disk).unwrap();
        assert_eq!(data_disk(&dirs).verdict, Verdict::Ok);
    }

    #[tokio::test]
    async fn a_machine_that_is_off_is_a_warning_with_a_remedy() {
        let home = tempfile::tempdir().unwrap();
        let mut findings = Vec::new();
        machine(&dirs(home.path()), &mut findings).await;
        assert_eq!((findings.len(), findings[0].verdict), (1, Verdict::Warn));
        assert!(findings[0].remedy.as_deref().unwrap().contains("cubby up"));
    }
}
