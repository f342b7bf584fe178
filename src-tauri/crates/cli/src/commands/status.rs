//! `cubby status`.

use std::time::Duration;

use cubby_host::daemon::{Client, protocol::Figures, protocol::Status};
use cubby_host::dirs::Dirs;
use cubby_host::engine;
use cubby_host::schema::{MachinePhase, MachineState};
use cubby_host::supervisor::blank_state;
use serde::Serialize;

use crate::failure::Failure;
use crate::say;
use crate::show;

/// What `--json` prints; fields are added, never renamed.
#[derive(Serialize)]
struct Report {
    version: String,
    profile: String,
    docker_host: String,
    daemon_pid: Option<u32>,
    daemon_version: Option<String>,
    machine: Machine,
    engine: Option<Engine>,
    figures: Option<Figures>,
    containers: Option<Containers>,
    images: Option<i64>,
}

#[derive(Serialize)]
struct Machine {
    #[serde(flatten)]
    state: MachineState,
    /// Of the hypervisor.
    pid: Option<u32>,
}

#[derive(Serialize)]
struct Engine {
    version: Option<String>,
    api_version: Option<String>,
}

#[derive(Serialize)]
struct Containers {
    total: i64,
    running: i64,
    paused: i64,
    stopped: i64,
}

/// Exit code 3 unless the machine runs; the report is printed in any case.
pub async fn run(dirs: &Dirs, json: bool) -> Result<(), Failure> {
    let report = report(dirs).await?;
    if json {
        say!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(&report);
    }
    if report.machine.state.phase == MachinePhase::Running { Ok(()) } else { Err(Failure::silent(3)) }
}

/// What `--json` prints.
pub async fn json(dirs: &Dirs) -> Result<String, Failure> {
    Ok(serde_json::to_string_pretty(&report(dirs).await?)?)
}

async fn report(dirs: &Dirs) -> Result<Report, Failure> {
    let mut report = Report {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        profile: dirs.profile.clone(),
        docker_host: dirs.docker_host(),
        daemon_pid: None,
        daemon_version: None,
        machine: Machine { state: blank_state(dirs), pid: None },
        engine: None,
        figures: None,
        containers: None,
        images: None,
    };
    let Some(mut client) = Client::connect(dirs).await? else { return Ok(report) };
    let Status { version, pid, machine, machine_pid } = client.status().await?;
    report.machine = Machine { state: machine, pid: machine_pid };
    (report.daemon_pid, report.daemon_version) = (Some(pid), Some(version));
    if report.machine.state.phase == MachinePhase::Running {
        report.figures = Some(client.figures().await?);
        // Asking the engine would wake it.
        if !report.machine.state.sleeping {
            engine_facts(dirs, &mut report).await;
        }
    }
    Ok(report)
}

/// An engine that does not answer leaves these out; that is what a status is for.
async fn engine_facts(dirs: &Dirs, report: &mut Report) {
    let Ok(docker) = engine::client(dirs) else { return };
    let docker = docker.with_timeout(Duration::from_secs(10));
    if let Ok(version) = docker.version().await {
        report.engine = Some(Engine { version: version.version, api_version: version.api_version });
    }
    if let Ok(info) = docker.info().await {
        report.containers = Some(Containers {
            total: info.containers.unwrap_or_default(),
            running: info.containers_running.unwrap_or_default(),
            paused: info.containers_paused.unwrap_or_default(),
            stopped: info.containers_stopped.unwrap_or_default(),
        });
        report.images = info.images;
    }
}

fn print(report: &Report) {
    let machine = &report.machine.state;
    let accelerator = machine.accelerator.as_deref().map(|it| format!(" on {it}")).unwrap_or_default();
    let phase = if machine.sleeping { "sleeping" } else { show::phase(machine.phase) };
    say!("machine      {phase}{accelerator}");
    if let Some(notice) = &machine.notice {
        say!("note         {notice}");
    }
    if let Some(problem) = &machine.problem {
        say!("             {}: {}", problem.title, problem.detail);
    }
    if let Some(took) = machine.start_took_ms {
        let stages = machine
            .stages
            .iter()
            .filter_map(|stage| stage.took_ms.map(|ms| format!("{} {}", show::stage(stage.stage), show::millis(ms))));
        say!("start        {} ({})", show::millis(took), stages.collect::<Vec<_>>().join(", "));
    }
    if let Some(engine) = &report.engine {
        let or = |text: &Option<String>| text.clone().unwrap_or_else(|| "?".to_owned());
        say!("engine       {}, API {}", or(&engine.version), or(&engine.api_version));
    }
    if let Some(kernel) = &machine.kernel {
        say!("guest        cubbyd {}, kernel {kernel}", machine.guest_version.as_deref().unwrap_or("?"));
    }
    if let Some(containers) = &report.containers {
        say!("containers   {} running, {} in all", containers.running, containers.total);
        say!("images       {}", report.images.unwrap_or_default());
    }
    if let Some(figures) = &report.figures {
        let (used, total) = (figures.memory_used_bytes, figures.memory_total_bytes);
        say!("memory       {} of {} in the guest", show::bytes(used), show::bytes(total));
        say!(
            "             engine {}, pid 1 {}",
            show::bytes(figures.engine_resident_bytes),
            show::bytes(figures.init_resident_bytes)
        );
        say!(
            "             {} held on this computer, {} of it caches that can be given back",
            show::bytes(figures.host_resident_bytes),
            show::bytes(figures.memory_reclaimable_bytes)
        );
        let (used, total) = (figures.disk_used_bytes, figures.disk_total_bytes);
        say!("disk         {} of {} in the guest", show::bytes(used), show::bytes(total));
        say!("             {} on this computer", show::bytes(figures.host_disk_bytes));
    }
    say!("docker_host  {}", report.docker_host);
    if report.daemon_version.as_deref().is_some_and(|version| version != report.version) {
        say!("note         the background process is of another version; restart it: cubby down, cubby up");
    }
}
