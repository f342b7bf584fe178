//! The machine while it runs: background process, sockets, link, guest, published ports.

use std::time::{Duration, Instant};

use super::{Finding, Verdict, fail, ok, store, warn};
use crate::daemon::{Client, ClientError};
use crate::dirs::Dirs;
use crate::hardware::chain;
use crate::local;
use crate::schema::MachinePhase;

pub(super) async fn machine(dirs: &Dirs, findings: &mut Vec<Finding>) {
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
        findings.push(match local::openness(&socket) {
            Ok(None) => match local::connect(&socket).await {
                Ok(_) => ok(what, format!("{}, only yours", socket.display())),
                Err(err) => fail(what, format!("{}: {err}", socket.display()), "restart it: cubby down, cubby up"),
            },
            Ok(Some(why)) => fail(what, format!("{} {why}", socket.display()), "restart it: cubby down, cubby up"),
            Err(err) => fail(what, format!("{}: {err}", socket.display()), "restart it: cubby down, cubby up"),
        });
    }
    if status.version != env!("CARGO_PKG_VERSION") {
        let found = format!("of version {}, this is {}", status.version, env!("CARGO_PKG_VERSION"));
        findings.push(warn("daemon", found, "restart it: cubby down, cubby up"));
    }
    match (status.machine.phase, status.machine.problem) {
        (MachinePhase::Running, _) if status.machine.sleeping => {
            findings.push(ok(WHAT, "running, and asleep; woken for what follows"));
        }
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
    if let Some(notice) = status.machine.notice {
        findings.push(warn("upgrade", notice, "install the newest version; tell us with cubby support"));
    }
    let answers = round_trip(dirs).await;
    let reachable = answers.verdict == Verdict::Ok;
    findings.push(answers);
    if reachable {
        findings.extend([guest(dirs).await, ports(dirs).await, store::examine(&dirs.docker_socket()).await]);
    }
}

/// The control protocol, seen through the daemon: the guest's clock and its disk.
async fn guest(dirs: &Dirs) -> Finding {
    const WHAT: &str = "guest";
    let restart = "restart the machine: cubby restart";
    let asked = async { Client::connect(dirs).await?.ok_or(ClientError::Gone)?.figures().await };
    let figures = match asked.await {
        Ok(figures) if figures.uptime_ms > 0 => figures,
        Ok(_) => return fail(WHAT, "does not answer on its control port", restart),
        Err(err) => return fail(WHAT, chain(&err), restart),
    };
    let free_mib = figures.disk_total_bytes.saturating_sub(figures.disk_used_bytes) >> 20;
    let found = format!("{free_mib} MiB free on its disk, its clock {} ms off", figures.clock_off_ms);
    if figures.clock_off_ms.abs() > 1000 {
        return fail(WHAT, found, restart);
    }
    if free_mib < 512 {
        return warn(WHAT, found, "make room: docker system prune; or give it more: CUBBY_DISK_GIB");
    }
    ok(WHAT, found)
}

/// Whether something listens on every TCP port that a running container publishes.
async fn ports(dirs: &Dirs) -> Finding {
    const WHAT: &str = "ports";
    let listed = match crate::engine::client(dirs) {
        Ok(docker) => {
            docker
                .with_timeout(Duration::from_secs(10))
                .list_containers(None::<bollard::query_parameters::ListContainersOptions>)
                .await
        }
        Err(err) => return fail(WHAT, chain(&err), "restart the machine: cubby restart"),
    };
    let containers = match listed {
        Ok(containers) => containers,
        Err(err) => return fail(WHAT, chain(&err), "see cubby logs daemon"),
    };
    let published = containers.iter().flat_map(|container| container.ports.iter().flatten());
    let tcp = published.filter(|port| port.typ.is_some_and(|kind| kind.as_ref() == "tcp"));
    let (mut open, mut closed) = (0, Vec::new());
    for port in tcp {
        let Some(number) = port.public_port else { continue };
        let address = match port.ip.as_deref() {
            None | Some("" | "0.0.0.0") => "127.0.0.1",
            Some("::") => "::1",
            Some(address) => address,
        };
        let connect = tokio::net::TcpStream::connect((address, number));
        match tokio::time::timeout(Duration::from_secs(3), connect).await {
            Ok(Ok(_)) => open += 1,
            _ => closed.push(format!("{address}:{number}")),
        }
    }
    if closed.is_empty() {
        ok(WHAT, format!("{open} published, all open"))
    } else {
        fail(
            WHAT,
            format!("nobody listens on {}", closed.join(", ")),
            "restart those containers; see cubby logs daemon",
        )
    }
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn dirs(home: &Path) -> Dirs {
        Dirs { profile: "t".into(), state: home.join("state"), runtime: home.join("run") }
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
