//! Examines everything that the machine needs. Changes nothing, starts nothing but what a probe needs for a moment.

mod disk;
mod live;
mod store;

pub(crate) use disk::{free_and_total as space, is_sound};

use std::process::Stdio;
use std::time::Duration;

use cubby_machine::{GuestImage, Hypervisor, ProbeError};
use serde::Serialize;

use crate::context::Context;
use crate::dirs::Dirs;
use crate::hardware::{self, chain};

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
    findings.extend([disk::space(dirs), disk::data_disk(dirs)]);
    live::machine(dirs, &mut findings).await;
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
            findings.push(match err {
                ProbeError::Missing { program, remedy } => fail("hypervisor", format!("{program} is missing"), remedy),
                err if cfg!(target_os = "linux") => {
                    fail("hypervisor", chain(&err), "reinstall QEMU with your system's package manager")
                }
                err => fail("hypervisor", chain(&err), "update the system, or restart the computer"),
            });
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

async fn docker_cli(dirs: &Dirs) -> Finding {
    const WHAT: &str = "docker CLI";
    let mut docker = tokio::process::Command::new("docker");
    docker.arg("--version").stdin(Stdio::null()).kill_on_drop(true);
    crate::local::windowless(docker.as_std_mut());
    let version = match tokio::time::timeout(Duration::from_secs(10), docker.output()).await {
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
