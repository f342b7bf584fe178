//! Docker's shapes as the schema's rows. Absent fields become the harmless value: an engine may leave out what it likes.

use std::collections::BTreeMap;

use bollard::models::{
    ContainerInspectResponse, ContainerState as DockerState, ContainerStateStatusEnum as Status, HealthStatusEnum,
    ImageInspect, ImageSummary, MountPoint, MountPointTypeEnum, PortMap,
};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::bin;
use crate::schema::{Container, ContainerState, Health, Image, Mount, MountKind, Port, Protocol, StopReason};

/// What Docker does not tell about a container.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known {
    /// Somebody stopped or killed it since its last start, as far as the events told.
    pub asked: bool,
    /// When the machine was powered on.
    pub booted_unix_ms: Option<u64>,
}

pub fn container(found: ContainerInspectResponse, known: Known) -> Container {
    let config = found.config.unwrap_or_default();
    let docker_state = found.state.unwrap_or_default();
    let state = state(&docker_state);
    let runs = matches!(state, ContainerState::Running | ContainerState::Paused | ContainerState::Restarting);
    let started = docker_state.started_at.as_deref().and_then(unix_ms);
    let labels = config.labels.unwrap_or_default();
    let published = found.network_settings.and_then(|settings| settings.ports).unwrap_or_default();
    let command =
        found.path.into_iter().filter(|path| !path.is_empty()).chain(found.args.unwrap_or_default()).collect();
    let restart = found.host_config.and_then(|host| host.restart_policy).and_then(|policy| policy.name);
    let restart = restart.map(|name| name.to_string()).filter(|name| !name.is_empty());
    let name = found.name.unwrap_or_default().trim_start_matches('/').to_owned();
    let binned = bin::containers::read(&name);
    Container {
        id: found.id.unwrap_or_default(),
        name: binned.as_ref().map_or(name, |binned| binned.name.clone()),
        // Who started it takes it for one in use.
        binned: binned.filter(|_| !runs),
        image: config.image.unwrap_or_default(),
        image_id: found.image.unwrap_or_default(),
        state,
        health: health(&docker_state),
        created_unix_ms: found.created.as_deref().and_then(unix_ms).unwrap_or_default(),
        started_unix_ms: started,
        finished_unix_ms: docker_state.finished_at.as_deref().and_then(unix_ms),
        exit_code: (!runs && started.is_some()).then(|| docker_state.exit_code.unwrap_or_default() as i32),
        stop_reason: (!runs).then(|| stop_reason(&docker_state, started, known)),
        ports: ports(published, config.exposed_ports.unwrap_or_default().into_keys()),
        mounts: found.mounts.unwrap_or_default().into_iter().map(mount).collect(),
        command,
        tty: config.tty.unwrap_or_default(),
        restart_policy: restart.unwrap_or_else(|| "no".to_owned()),
        compose_project: labels.get("com.docker.compose.project").cloned(),
        compose_service: labels.get("com.docker.compose.service").cloned(),
    }
}

fn state(state: &DockerState) -> ContainerState {
    match state.status {
        Some(Status::RUNNING) => ContainerState::Running,
        Some(Status::PAUSED) => ContainerState::Paused,
        Some(Status::RESTARTING) => ContainerState::Restarting,
        Some(Status::REMOVING) => ContainerState::Removing,
        Some(Status::EXITED) => ContainerState::Exited,
        Some(Status::DEAD) => ContainerState::Dead,
        Some(Status::CREATED | Status::EMPTY) | None => ContainerState::Created,
    }
}

fn health(state: &DockerState) -> Option<Health> {
    match state.health.as_ref()?.status? {
        HealthStatusEnum::STARTING => Some(Health::Starting),
        HealthStatusEnum::HEALTHY => Some(Health::Healthy),
        HealthStatusEnum::UNHEALTHY => Some(Health::Unhealthy),
        HealthStatusEnum::NONE | HealthStatusEnum::EMPTY => None,
    }
}

fn stop_reason(state: &DockerState, started: Option<u64>, known: Known) -> StopReason {
    let error = state.error.as_deref().unwrap_or_default();
    match state.exit_code.unwrap_or_default() as i32 {
        _ if state.oom_killed == Some(true) => StopReason::OutOfMemory,
        127 if !error.is_empty() => StopReason::ProgramNotFound,
        126 if !error.is_empty() => StopReason::ProgramNotExecutable,
        _ if !error.is_empty() => StopReason::StartFailed { detail: error.to_owned() },
        _ if started.is_none() => StopReason::NotStarted,
        // An engine gives 255 to what did not survive; a container from before this boot cannot have ended by itself since.
        255 if went_with_machine(state, started, known) => StopReason::MachineStopped,
        _ if known.asked => StopReason::Stopped,
        0 => StopReason::Finished,
        // A shell says the same of a program that its script named.
        127 => StopReason::ProgramNotFound,
        126 => StopReason::ProgramNotExecutable,
        code @ 129..=192 => StopReason::Signal { signal: code - 128 },
        exit_code => StopReason::Failed { exit_code },
    }
}

fn went_with_machine(state: &DockerState, started: Option<u64>, known: Known) -> bool {
    let finished = state.finished_at.as_deref().and_then(unix_ms);
    // A second for clocks that differ.
    let before = |a: Option<u64>, b: Option<u64>| a.zip(b).is_some_and(|(a, b)| a < b.saturating_add(1000));
    before(started, known.booted_unix_ms) && before(known.booted_unix_ms, finished)
}

fn ports(published: PortMap, exposed: impl Iterator<Item = String>) -> Vec<Port> {
    // Keyed, so that the IPv4 and IPv6 halves of one port are one row.
    let mut rows: BTreeMap<(u16, &'static str, Option<u16>), Port> = BTreeMap::new();
    let all = published.into_iter().chain(exposed.map(|port| (port, None)));
    for (name, bindings) in all {
        let Some((container_port, protocol)) = port_name(&name) else { continue };
        let bindings = bindings.unwrap_or_default();
        if bindings.is_empty() && !rows.keys().any(|(port, kind, _)| (*port, *kind) == (container_port, word(protocol)))
        {
            let row = Port { container_port, protocol, host_ip: None, host_port: None, url: None };
            rows.insert((container_port, word(protocol), None), row);
        }
        for binding in bindings {
            let Some(host_port) = binding.host_port.and_then(|port| port.parse().ok()) else { continue };
            rows.remove(&(container_port, word(protocol), None));
            let host_ip = binding.host_ip.filter(|ip| !ip.is_empty());
            let url = (protocol == Protocol::Tcp).then(|| url(host_ip.as_deref(), host_port));
            let row = Port { container_port, protocol, host_ip, host_port: Some(host_port), url };
            rows.entry((container_port, word(protocol), Some(host_port))).or_insert(row);
        }
    }
    rows.into_values().collect()
}

fn word(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    }
}

/// `80/tcp`
pub fn port_name(name: &str) -> Option<(u16, Protocol)> {
    let (port, protocol) = name.split_once('/').unwrap_or((name, "tcp"));
    let protocol = match protocol {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => return None,
    };
    Some((port.parse().ok()?, protocol))
}

/// What a browser on this computer can open.
pub fn url(host_ip: Option<&str>, host_port: u16) -> String {
    let host = match host_ip {
        None | Some("0.0.0.0" | "::" | "127.0.0.1" | "::1") => "localhost".to_owned(),
        Some(ip) if ip.contains(':') => format!("[{ip}]"),
        Some(ip) => ip.to_owned(),
    };
    match host_port {
        443 => format!("https://{host}/"),
        80 => format!("http://{host}/"),
        port => format!("http://{host}:{port}/"),
    }
}

fn mount(found: MountPoint) -> Mount {
    let kind = match found.typ {
        Some(MountPointTypeEnum::VOLUME) => MountKind::Volume,
        Some(MountPointTypeEnum::BIND) => MountKind::Bind,
        Some(MountPointTypeEnum::TMPFS) => MountKind::Tmpfs,
        _ => MountKind::Other,
    };
    let name = found.name.unwrap_or_default();
    let source = match kind {
        MountKind::Volume => name,
        MountKind::Tmpfs => String::new(),
        MountKind::Bind | MountKind::Other => found.source.unwrap_or_default(),
    };
    Mount {
        kind,
        anonymous: kind == MountKind::Volume && source.len() == 64 && source.bytes().all(|b| b.is_ascii_hexdigit()),
        source,
        target: found.destination.unwrap_or_default(),
        read_only: found.rw == Some(false),
    }
}

/// What only inspecting an image tells.
#[derive(Clone, Debug, Default)]
pub struct ImageDetails {
    exposed: Vec<u16>,
    volumes: Vec<String>,
    architecture: Option<String>,
}

impl ImageDetails {
    pub fn of(found: ImageInspect) -> Self {
        let config = found.config.unwrap_or_default();
        let mut volumes: Vec<_> = config.volumes.unwrap_or_default().into_keys().collect();
        volumes.sort();
        let exposed = exposed(config.exposed_ports.unwrap_or_default().keys());
        Self { exposed, volumes, architecture: found.architecture }
    }
}

pub fn image(found: ImageSummary, details: ImageDetails, used_by: Vec<String>) -> Image {
    let named = |tag: &String| !tag.starts_with("<none>");
    let (tags, binned) = bin::images::read(found.repo_tags.into_iter().filter(named).collect());
    Image {
        id: found.id,
        tags,
        size_bytes: u64::try_from(found.size).unwrap_or_default(),
        // -1: not calculated.
        shared_bytes: u64::try_from(found.shared_size).ok(),
        created_unix_ms: u64::try_from(found.created).unwrap_or_default() * 1000,
        used_by,
        exposed: details.exposed,
        volumes: details.volumes,
        architecture: details.architecture,
        binned,
    }
}

/// Ports of an image's `EXPOSE`, in order.
fn exposed<'a>(names: impl Iterator<Item = &'a String>) -> Vec<u16> {
    let mut ports: Vec<u16> = names.filter_map(|name| port_name(name)).map(|(port, _)| port).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// Milliseconds of Docker's time stamps; `None` for its zero (`0001-01-01…`) and for nonsense.
pub fn unix_ms(text: &str) -> Option<u64> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok().filter(|ms| *ms > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(json: serde_json::Value) -> Container {
        container(serde_json::from_value(json).unwrap(), Known::default())
    }

    #[test]
    fn a_running_container_has_one_row_per_port_and_no_exit() {
        let row = found(serde_json::json!({
            "Id": "c1", "Name": "/web", "Created": "2026-11-21T04:00:00.5Z", "Path": "/server", "Args": ["-v"],
            "State": {"Status": "running", "Running": true, "StartedAt": "2026-11-21T04:00:01Z", "FinishedAt": "0001-01-01T00:00:00Z"},
            "Config": {"Image": "web:1", "ExposedPorts": {"80/tcp": {}, "53/udp": {}}},
            "NetworkSettings": {"Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}], "53/udp": null}},
        }));
        assert_eq!((row.name.as_str(), row.state, row.exit_code), ("web", ContainerState::Running, None));
        assert_eq!(row.finished_unix_ms, None);
        assert_eq!(row.created_unix_ms % 1000, 500);
        assert_eq!(row.command, ["/server", "-v"]);
        let ports: Vec<_> =
            row.ports.iter().map(|port| (port.container_port, port.host_port, port.url.as_deref())).collect();
        assert_eq!(ports, [(53, None, None), (80, Some(8080), Some("http://localhost:8080/"))]);
    }

    #[test]
    fn why_it_stopped() {
        let reason = |state: serde_json::Value| found(serde_json::json!({ "State": state })).stop_reason.unwrap();
        let started = "2026-11-21T04:00:01Z";
        assert_eq!(reason(serde_json::json!({"Status": "created"})), StopReason::NotStarted);
        assert_eq!(
            reason(serde_json::json!({"Status": "exited", "StartedAt": started, "ExitCode": 0})),
            StopReason::Finished
        );
        let oom = serde_json::json!({"Status": "exited", "StartedAt": started, "ExitCode": 137, "OOMKilled": true});
        assert_eq!(reason(oom), StopReason::OutOfMemory);
        let segv = serde_json::json!({"Status": "exited", "StartedAt": started, "ExitCode": 139});
        assert_eq!(reason(segv), StopReason::Signal { signal: 11 });
        let missing = serde_json::json!({"Status": "created", "ExitCode": 127, "Error": "exec: \"x\": not found"});
        assert_eq!(reason(missing), StopReason::ProgramNotFound);
        let port = serde_json::json!({"Status": "created", "ExitCode": 128, "Error": "address already in use"});
        assert_eq!(reason(port), StopReason::StartFailed { detail: "address already in use".into() });
        let stopped = serde_json::from_value(
            serde_json::json!({"State": {"Status": "exited", "StartedAt": started, "ExitCode": 137}}),
        );
        assert_eq!(
            container(stopped.unwrap(), Known { asked: true, ..Known::default() }).stop_reason,
            Some(StopReason::Stopped)
        );
    }

    #[test]
    fn what_went_with_the_machine_is_told_from_what_failed() {
        let reason = |finished: &str| {
            let state = serde_json::json!({"Status": "exited", "StartedAt": "2026-11-21T04:00:00Z", "FinishedAt": finished, "ExitCode": 255});
            let known = Known { asked: false, booted_unix_ms: unix_ms("2026-11-21T05:00:00Z") };
            container(serde_json::from_value(serde_json::json!({ "State": state })).unwrap(), known)
                .stop_reason
                .unwrap()
        };
        assert_eq!(reason("2026-11-21T05:00:02Z"), StopReason::MachineStopped);
        assert_eq!(reason("2026-11-21T04:30:00Z"), StopReason::Failed { exit_code: 255 });
    }

    #[test]
    fn an_empty_answer_is_a_row_as_well() {
        assert_eq!(found(serde_json::json!({})).state, ContainerState::Created);
    }
}
