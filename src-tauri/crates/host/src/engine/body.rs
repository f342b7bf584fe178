//! What the run form asks for, as the body of a create request.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, DeviceMapping, EndpointSettings, HealthConfig, HostConfig, Mount, MountTypeEnum,
    NetworkingConfig, PortBinding, PortMap, ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};

use crate::schema::{EnvVar, MountKind, MountRequest, PortRequest, Protocol, RunContainer};

pub fn body(wanted: &RunContainer) -> ContainerCreateBody {
    ContainerCreateBody {
        image: Some(wanted.image.clone()),
        env: Some(wanted.env.iter().map(|var| format!("{}={}", var.name, var.value)).collect()),
        cmd: some_list(&wanted.command),
        entrypoint: wanted.entrypoint.clone(),
        exposed_ports: Some(wanted.ports.iter().map(|wanted| (port(wanted), HashMap::new())).collect()),
        host_config: Some(host(wanted)),
        networking_config: networking(wanted),
        hostname: wanted.hostname.clone(),
        user: wanted.user.clone(),
        working_dir: wanted.workdir.clone(),
        labels: Some(wanted.labels.iter().map(|label| (label.name.clone(), label.value.clone())).collect()),
        tty: Some(wanted.tty),
        open_stdin: Some(wanted.interactive),
        stop_signal: wanted.stop_signal.clone(),
        stop_timeout: wanted.stop_timeout_s,
        healthcheck: wanted.health_command.as_deref().map(health),
        ..ContainerCreateBody::default()
    }
}

fn host(wanted: &RunContainer) -> HostConfig {
    let mut bindings: PortMap = HashMap::new();
    for wanted in &wanted.ports {
        let host_port = wanted.host_port.unwrap_or(0).to_string();
        let binding = PortBinding { host_ip: wanted.host_ip.clone(), host_port: Some(host_port) };
        bindings.entry(port(wanted)).or_default().get_or_insert_default().push(binding);
    }
    HostConfig {
        port_bindings: Some(bindings),
        publish_all_ports: Some(wanted.publish_all),
        mounts: some_list(&wanted.mounts.iter().map(mount).collect::<Vec<_>>()),
        memory: wanted.memory_bytes.and_then(|bytes| i64::try_from(bytes).ok()),
        nano_cpus: wanted.cpus.map(|cpus| (cpus * 1e9).round() as i64),
        pids_limit: wanted.pids_limit,
        shm_size: wanted.shm_bytes.and_then(|bytes| i64::try_from(bytes).ok()),
        restart_policy: wanted.restart.as_deref().map(|name| restart(name, wanted.restart_retries)),
        network_mode: wanted.network.clone(),
        init: wanted.init.then_some(true),
        auto_remove: Some(wanted.auto_remove),
        readonly_rootfs: Some(wanted.read_only),
        privileged: Some(wanted.privileged),
        cap_add: some_list(&wanted.cap_add),
        cap_drop: some_list(&wanted.cap_drop),
        devices: some_list(&wanted.devices.iter().map(|text| device(text)).collect::<Vec<_>>()),
        security_opt: some_list(&wanted.security_opt),
        group_add: some_list(&wanted.group_add),
        dns: some_list(&wanted.dns),
        extra_hosts: some_list(&wanted.extra_hosts),
        pid_mode: wanted.pid_mode.clone(),
        ipc_mode: wanted.ipc_mode.clone(),
        sysctls: some_map(&wanted.sysctls),
        ulimits: some_list(&wanted.ulimits.iter().filter_map(|text| ulimit(text)).collect::<Vec<_>>()),
        ..HostConfig::default()
    }
}

fn some_list<T: Clone>(list: &[T]) -> Option<Vec<T>> {
    (!list.is_empty()).then(|| list.to_vec())
}

fn some_map(list: &[EnvVar]) -> Option<HashMap<String, String>> {
    (!list.is_empty()).then(|| list.iter().map(|entry| (entry.name.clone(), entry.value.clone())).collect())
}

fn port(port: &PortRequest) -> String {
    let protocol = match port.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    };
    format!("{}/{protocol}", port.container_port)
}

fn mount(wanted: &MountRequest) -> Mount {
    let typ = match wanted.kind {
        MountKind::Bind => MountTypeEnum::BIND,
        MountKind::Tmpfs => MountTypeEnum::TMPFS,
        MountKind::Volume | MountKind::Other => MountTypeEnum::VOLUME,
    };
    let bind = typ == MountTypeEnum::BIND;
    Mount {
        typ: Some(typ),
        source: (!wanted.source.is_empty()).then(|| wanted.source.clone()),
        target: Some(wanted.target.clone()),
        read_only: Some(wanted.read_only),
        // As `-v` does: a folder that is not there yet is made.
        bind_options: bind
            .then(|| bollard::models::MountBindOptions { create_mountpoint: Some(true), ..Default::default() }),
        ..Mount::default()
    }
}

fn restart(name: &str, retries: Option<u32>) -> RestartPolicy {
    let (name, maximum) = match name {
        "always" => (RestartPolicyNameEnum::ALWAYS, None),
        "unless-stopped" => (RestartPolicyNameEnum::UNLESS_STOPPED, None),
        "on-failure" => (RestartPolicyNameEnum::ON_FAILURE, retries.map(i64::from)),
        _ => (RestartPolicyNameEnum::NO, None),
    };
    RestartPolicy { name: Some(name), maximum_retry_count: maximum }
}

/// Aliases belong to an endpoint of a network with a name.
fn networking(wanted: &RunContainer) -> Option<NetworkingConfig> {
    let network = wanted.network.as_ref().filter(|_| !wanted.network_aliases.is_empty())?;
    let endpoint = EndpointSettings { aliases: Some(wanted.network_aliases.clone()), ..EndpointSettings::default() };
    Some(NetworkingConfig { endpoints_config: Some(HashMap::from([(network.clone(), endpoint)])) })
}

/// `/dev/x[:/dev/y[:rwm]]`
fn device(text: &str) -> DeviceMapping {
    let mut parts = text.splitn(3, ':');
    let on_host = parts.next().unwrap_or_default();
    DeviceMapping {
        path_on_host: Some(on_host.to_owned()),
        path_in_container: Some(parts.next().unwrap_or(on_host).to_owned()),
        cgroup_permissions: Some(parts.next().unwrap_or("rwm").to_owned()),
    }
}

/// `nofile=1024[:2048]`
fn ulimit(text: &str) -> Option<ResourcesUlimits> {
    let (name, limits) = text.split_once('=')?;
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    Some(ResourcesUlimits {
        name: Some(name.to_owned()),
        soft: Some(soft.parse().ok()?),
        hard: Some(hard.parse().ok()?),
    })
}

fn health(command: &str) -> HealthConfig {
    let test = match command {
        "NONE" => vec!["NONE".to_owned()],
        command => vec!["CMD-SHELL".to_owned(), command.to_owned()],
    };
    HealthConfig { test: Some(test), ..HealthConfig::default() }
}
