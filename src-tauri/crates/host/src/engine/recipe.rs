//! A container, read back as what the run form would ask for to make the same again.
//!
//! What the image says by itself is left out, so that the command line stays as short as the one that a person would write.

use std::collections::HashMap;

use bollard::Docker;
use bollard::models::{ContainerInspectResponse, HostConfig, ImageConfig, MountPointTypeEnum};
use bollard::query_parameters::InspectContainerOptions;

use super::bin;
use super::convert::port_name;
use super::errors::app_error;
use crate::schema::{AppError, EnvVar, MountKind, MountRequest, PortRequest, RunContainer};

pub async fn of(docker: &Docker, id: &str) -> Result<RunContainer, AppError> {
    let failed = |err| app_error("It could not be inspected", err);
    let found = docker.inspect_container(id, None::<InspectContainerOptions>).await.map_err(failed)?;
    // An image that is gone leaves nothing to compare with: then all is told.
    let image = match found.image.as_deref() {
        Some(image) => docker.inspect_image(image).await.ok().and_then(|image| image.config).unwrap_or_default(),
        None => ImageConfig::default(),
    };
    Ok(recipe(found, image))
}

fn recipe(found: ContainerInspectResponse, image: ImageConfig) -> RunContainer {
    let mounts = mounts(&found, &image);
    let id = found.id.unwrap_or_default();
    let config = found.config.unwrap_or_default();
    let host = found.host_config.unwrap_or_default();
    let name = found.name.unwrap_or_default().trim_start_matches('/').to_owned();
    let name = bin::containers::read(&name).map_or(name, |binned| binned.name);
    let restart = host.restart_policy.as_ref().and_then(|policy| policy.name).map(|name| name.to_string());
    let retries = host.restart_policy.as_ref().and_then(|policy| policy.maximum_retry_count);
    let network = host.network_mode.clone().filter(|mode| !matches!(mode.as_str(), "" | "default" | "bridge"));
    let aliases = found.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
    let aliases = network.as_ref().and_then(|name| aliases.get(name)?.aliases.clone()).unwrap_or_default();
    let entrypoint = unless_same(config.entrypoint, image.entrypoint.as_ref());
    // Another entry point takes the image's command away; the container's own must then be told.
    let command = if entrypoint.is_some() { config.cmd } else { unless_same(config.cmd, image.cmd.as_ref()) };
    RunContainer {
        image: config.image.unwrap_or_default(),
        name: Some(name),
        ports: ports(&host),
        publish_all: host.publish_all_ports == Some(true),
        env: added(config.env, image.env),
        command: command.unwrap_or_default(),
        entrypoint,
        mounts,
        memory_bytes: positive(host.memory),
        cpus: host.nano_cpus.filter(|nano| *nano > 0).map(|nano| nano as f64 / 1e9),
        pids_limit: host.pids_limit.filter(|limit| *limit > 0),
        shm_bytes: positive(host.shm_size).filter(|bytes| *bytes != 64 << 20),
        restart: restart.filter(|name| !matches!(name.as_str(), "" | "no")),
        restart_retries: retries.and_then(|times| u32::try_from(times).ok()).filter(|times| *times > 0),
        network,
        // The engine adds the short id by itself.
        network_aliases: aliases.into_iter().filter(|alias| !id.starts_with(alias.as_str())).collect(),
        hostname: config.hostname.filter(|name| !name.is_empty() && !id.starts_with(name.as_str())),
        user: unless_same(config.user, image.user.as_ref()).filter(|user| !user.is_empty()),
        workdir: unless_same(config.working_dir, image.working_dir.as_ref()).filter(|dir| !dir.is_empty()),
        labels: new_labels(config.labels, image.labels),
        tty: config.tty == Some(true),
        interactive: config.open_stdin == Some(true),
        init: host.init == Some(true),
        auto_remove: host.auto_remove == Some(true),
        read_only: host.readonly_rootfs == Some(true),
        privileged: host.privileged == Some(true),
        cap_add: host.cap_add.unwrap_or_default(),
        cap_drop: host.cap_drop.unwrap_or_default(),
        devices: host.devices.unwrap_or_default().into_iter().map(device).collect(),
        security_opt: host.security_opt.unwrap_or_default(),
        group_add: host.group_add.unwrap_or_default(),
        dns: host.dns.unwrap_or_default(),
        extra_hosts: host.extra_hosts.unwrap_or_default(),
        pid_mode: host.pid_mode.filter(|mode| !mode.is_empty()),
        ipc_mode: host.ipc_mode.filter(|mode| !matches!(mode.as_str(), "" | "private")),
        sysctls: pairs(host.sysctls.unwrap_or_default()),
        ulimits: host.ulimits.unwrap_or_default().into_iter().map(ulimit).collect(),
        stop_signal: unless_same(config.stop_signal, image.stop_signal.as_ref()).filter(|signal| !signal.is_empty()),
        stop_timeout_s: config.stop_timeout,
        platform: None,
        health_command: match (config.healthcheck, image.healthcheck) {
            (own, image) if own == image => None,
            (own, _) => own.and_then(|own| own.test).and_then(health_command),
        },
    }
}

fn unless_same<T: PartialEq>(own: Option<T>, image: Option<&T>) -> Option<T> {
    own.filter(|own| Some(own) != image)
}

fn positive(bytes: Option<i64>) -> Option<u64> {
    bytes.and_then(|bytes| u64::try_from(bytes).ok()).filter(|bytes| *bytes > 0)
}

fn added(own: Option<Vec<String>>, image: Option<Vec<String>>) -> Vec<EnvVar> {
    let image = image.unwrap_or_default();
    let own = own.unwrap_or_default().into_iter().filter(|entry| !image.contains(entry));
    own.map(|entry| {
        let (name, value) = entry.split_once('=').unwrap_or((&entry, ""));
        EnvVar { name: name.to_owned(), value: value.to_owned() }
    })
    .collect()
}

fn new_labels(own: Option<HashMap<String, String>>, image: Option<HashMap<String, String>>) -> Vec<EnvVar> {
    let image = image.unwrap_or_default();
    pairs(own.unwrap_or_default().into_iter().filter(|(name, value)| image.get(name) != Some(value)).collect())
}

fn pairs(map: HashMap<String, String>) -> Vec<EnvVar> {
    let mut pairs: Vec<_> = map.into_iter().map(|(name, value)| EnvVar { name, value }).collect();
    pairs.sort_by(|a, b| a.name.cmp(&b.name));
    pairs
}

fn ports(host: &HostConfig) -> Vec<PortRequest> {
    let mut ports: Vec<_> = host
        .port_bindings
        .iter()
        .flatten()
        .flat_map(|(name, bindings)| {
            let named = port_name(name);
            bindings.iter().flatten().filter_map(move |binding| {
                let (container_port, protocol) = named?;
                let host_port =
                    binding.host_port.as_deref().and_then(|port| port.parse().ok()).filter(|port| *port > 0);
                let host_ip = binding.host_ip.clone().filter(|ip| !ip.is_empty());
                Some(PortRequest { container_port, protocol, host_port, host_ip })
            })
        })
        .collect();
    ports.sort_by_key(|port| (port.container_port, port.host_port));
    ports
}

fn mounts(found: &ContainerInspectResponse, image: &ImageConfig) -> Vec<MountRequest> {
    let of_image = |target: &str| image.volumes.as_ref().is_some_and(|volumes| volumes.contains_key(target));
    let mut mounts: Vec<_> = found
        .mounts
        .iter()
        .flatten()
        .filter_map(|point| {
            let target = point.destination.clone()?;
            let read_only = point.rw == Some(false);
            let name = point.name.clone().unwrap_or_default();
            let anonymous = name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit());
            let (kind, source) = match point.typ? {
                MountPointTypeEnum::BIND => (MountKind::Bind, point.source.clone().unwrap_or_default()),
                MountPointTypeEnum::VOLUME if anonymous && of_image(&target) => return None,
                MountPointTypeEnum::VOLUME => (MountKind::Volume, if anonymous { String::new() } else { name }),
                MountPointTypeEnum::TMPFS => (MountKind::Tmpfs, String::new()),
                _ => return None,
            };
            Some(MountRequest { kind, source, target, read_only })
        })
        .collect();
    for target in found.host_config.iter().flat_map(|host| host.tmpfs.iter().flatten()).map(|(target, _)| target) {
        if !mounts.iter().any(|mount| mount.target == *target) {
            let target = target.clone();
            mounts.push(MountRequest { kind: MountKind::Tmpfs, source: String::new(), target, read_only: false });
        }
    }
    mounts.sort_by(|a, b| a.target.cmp(&b.target));
    mounts
}

fn device(found: bollard::models::DeviceMapping) -> String {
    let on_host = found.path_on_host.unwrap_or_default();
    let inside = found.path_in_container.unwrap_or_default();
    let permissions = found.cgroup_permissions.unwrap_or_default();
    match permissions.as_str() {
        "" | "rwm" if inside.is_empty() || inside == on_host => on_host,
        "" | "rwm" => format!("{on_host}:{inside}"),
        _ => format!("{on_host}:{inside}:{permissions}"),
    }
}

fn ulimit(found: bollard::models::ResourcesUlimits) -> String {
    let (soft, hard) = (found.soft.unwrap_or_default(), found.hard.unwrap_or_default());
    format!("{}={soft}:{hard}", found.name.unwrap_or_default())
}

fn health_command(test: Vec<String>) -> Option<String> {
    match test.split_first()? {
        (kind, _) if kind == "NONE" => Some("NONE".to_owned()),
        (kind, [line]) if kind == "CMD-SHELL" => Some(line.clone()),
        (kind, words) if kind == "CMD" => Some(words.join(" ")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_image_says_is_left_out_and_the_rest_is_told() {
        let image = json!({
            "Env": ["PATH=/bin", "MODE=plain"], "Cmd": ["serve"], "Entrypoint": ["/entry"], "WorkingDir": "/app",
            "Labels": {"made": "by us"}, "Volumes": {"/data": {}},
        });
        let found = json!({
            "Id": "abcdef0123456789", "Name": "/web", "Image": "sha256:1",
            "Config": {
                "Image": "web:1", "Hostname": "abcdef012345", "Env": ["PATH=/bin", "MODE=loud=very"], "Cmd": ["serve"],
                "Entrypoint": ["/entry"], "WorkingDir": "/app", "Labels": {"made": "by us", "team": "blue"},
            },
            "HostConfig": {
                "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}], "53/udp": [{"HostIp": "127.0.0.1", "HostPort": ""}]},
                "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}, "Memory": 268435456, "NanoCpus": 1500000000,
                "NetworkMode": "bridge", "CapAdd": ["NET_ADMIN"], "Tmpfs": {"/scratch": ""}, "ShmSize": 67108864, "IpcMode": "private",
            },
            "Mounts": [
                {"Type": "volume", "Name": "a".repeat(64), "Destination": "/data", "RW": true},
                {"Type": "volume", "Name": "shop", "Destination": "/shop", "RW": false},
                {"Type": "bind", "Source": "/home/me", "Destination": "/me", "RW": true},
            ],
        });
        let made = recipe(serde_json::from_value(found).unwrap(), serde_json::from_value(image).unwrap());
        assert_eq!((made.image.as_str(), made.name.as_deref(), made.hostname), ("web:1", Some("web"), None));
        assert_eq!(made.env, [EnvVar { name: "MODE".into(), value: "loud=very".into() }]);
        assert_eq!(made.labels, [EnvVar { name: "team".into(), value: "blue".into() }]);
        assert_eq!((made.command.len(), made.entrypoint, made.workdir), (0, None, None));
        assert_eq!((made.memory_bytes, made.cpus, made.shm_bytes), (Some(268_435_456), Some(1.5), None));
        assert_eq!((made.restart.as_deref(), made.restart_retries), (Some("on-failure"), Some(3)));
        assert_eq!((made.network, made.ipc_mode, made.cap_add), (None, None, vec!["NET_ADMIN".to_owned()]));
        let targets: Vec<_> = made.mounts.iter().map(|mount| (mount.target.as_str(), mount.read_only)).collect();
        assert_eq!(targets, [("/me", false), ("/scratch", false), ("/shop", true)]);
        let ports: Vec<_> = made.ports.iter().map(|port| (port.container_port, port.host_port)).collect();
        assert_eq!(ports, [(53, None), (80, Some(8080))]);
    }
}
