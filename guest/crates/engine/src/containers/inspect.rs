//! Inspect: everything about one container, in the shape of `GET /containers/{id}/json`.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::{
    Containers,
    model::{Config, Endpoint, Record},
};
use crate::{
    error::Result,
    timestamps::{ZERO, rfc3339_nano},
};

impl Containers {
    /// `size`: what it has on disk, which takes a walk through the files.
    pub async fn inspect(&self, name: &str, size: bool) -> Result<Value> {
        let container = self.find(name)?;
        let record = container.record();
        let mut document = self.document(&record);
        document["ExecIDs"] = match self.execs.running_in(&record.id) {
            ids if ids.is_empty() => Value::Null,
            ids => json!(ids),
        };
        if size {
            let me = self.me();
            let sizes = tokio::task::spawn_blocking(move || me.sizes(&record)).await.unwrap_or_default();
            document["SizeRw"] = json!(sizes.0);
            document["SizeRootFs"] = json!(sizes.1);
        }
        Ok(document)
    }

    fn document(&self, record: &Record) -> Value {
        let directory = self.directory(&record.id);
        let file = |name: &str| match record.started_before {
            true => directory.join(name).display().to_string(),
            false => String::new(),
        };
        let log_path = match record.host_config.log_config.driver.as_str() {
            "json-file" if record.started_before => self.log_path(record).map(|path| path.display().to_string()),
            _ => None,
        };
        let mounts: Vec<_> = record.mounts.iter().map(|mount| &mount.point).collect();
        let mut host = record.host_config.clone();
        host.links = self.shown_links(record);
        json!({
            "Id": record.id,
            "Created": rfc3339_nano(record.created),
            "Path": record.path,
            "Args": record.args,
            "State": state(record),
            "Image": record.image_id,
            "ResolvConfPath": file("resolv.conf"),
            "HostnamePath": file("hostname"),
            "HostsPath": file("hosts"),
            "LogPath": log_path.unwrap_or_default(),
            "Name": format!("/{}", record.name),
            "RestartCount": record.restart_count,
            "Driver": "overlay2",
            "Platform": "linux",
            "MountLabel": "",
            "ProcessLabel": "",
            "AppArmorProfile": "",
            "ExecIDs": null,
            "HostConfig": host,
            "GraphDriver": { "Data": self.graph(record), "Name": "overlay2" },
            "Mounts": mounts,
            "Config": config(record),
            "NetworkSettings": network_settings(record),
        })
    }

    fn graph(&self, record: &Record) -> Value {
        let directory = self.directory(&record.id);
        let lowers = self.lowers(record).unwrap_or_default();
        let lowers: Vec<String> = lowers.iter().map(|path| path.display().to_string()).collect();
        json!({
            "ID": record.id,
            "LowerDir": lowers.join(":"),
            "MergedDir": directory.join("merged"),
            "UpperDir": directory.join("upper"),
            "WorkDir": directory.join("work"),
        })
    }
}

fn time(at: Option<SystemTime>) -> String {
    at.map_or_else(|| ZERO.to_owned(), rfc3339_nano)
}

fn state(record: &Record) -> Value {
    let state = &record.state;
    let mut document = json!({
        "Status": state.status(),
        "Running": state.running,
        "Paused": state.paused,
        "Restarting": state.restarting,
        "OOMKilled": state.oom_killed,
        "Dead": state.dead,
        "Pid": state.pid,
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": time(state.started_at),
        "FinishedAt": time(state.finished_at),
    });
    if let Some(health) = &state.health {
        document["Health"] = json!(health);
    }
    document
}

/// With the MAC that was chosen for its main network, where clients of older versions look. Source: moby daemon/inspect.go.
fn config(record: &Record) -> Config {
    let mut config = record.config.clone();
    if config.mac_address.is_empty() {
        let main = record.networks.get(&record.host_config.network_mode);
        config.mac_address = main.map(|endpoint| endpoint.chosen_mac().to_owned()).unwrap_or_default();
    }
    config
}

fn network_settings(record: &Record) -> Value {
    let default = record.networks.get("bridge").cloned().unwrap_or_default();
    let Endpoint {
        endpoint_id,
        gateway,
        global_ipv6_address,
        global_ipv6_prefix_len,
        ip_address,
        ip_prefix_len,
        ipv6_gateway,
        mac_address,
        ..
    } = default;
    let sandbox_key = match record.sandbox_key.get(..12) {
        Some(short) => format!("/var/run/docker/netns/{short}"),
        None => String::new(),
    };
    json!({
        "Bridge": "",
        "SandboxID": record.sandbox_key,
        "SandboxKey": sandbox_key,
        "Ports": record.ports,
        "HairpinMode": false,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": null,
        "SecondaryIPv6Addresses": null,
        "EndpointID": endpoint_id,
        "Gateway": gateway,
        "GlobalIPv6Address": global_ipv6_address,
        "GlobalIPv6PrefixLen": global_ipv6_prefix_len,
        "IPAddress": ip_address,
        "IPPrefixLen": ip_prefix_len,
        "IPv6Gateway": ipv6_gateway,
        "MacAddress": mac_address,
        "Networks": record.networks,
    })
}
