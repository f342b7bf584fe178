//! `GET /info`. Source: API 1.50 `SystemInfo`.

use std::sync::Arc;

use axum::{Json, extract::State};
use cubby_engine::Engine;
use serde_json::{Value, json};

use super::version::DOCKER_VERSION;
use crate::{
    images::{proxies, registry_config},
    version::ApiVersion,
};

pub async fn info(State(engine): State<Arc<Engine>>, version: ApiVersion) -> Json<Value> {
    let host = engine.host();
    let counts = engine.counts();
    let [http_proxy, https_proxy, no_proxy] = proxies(&engine);
    let mut info = json!({
        "ID": engine.id,
        "Containers": counts.containers,
        "ContainersRunning": counts.running,
        "ContainersPaused": counts.paused,
        "ContainersStopped": counts.stopped,
        "Images": counts.images,
        "Driver": "overlay2",
        "DriverStatus": [["Supports d_type", "true"], ["Using metacopy", "false"], ["Native Overlay Diff", "true"]],
        "Plugins": {
            "Volume": ["local"],
            "Network": ["bridge", "host", "null"],
            "Authorization": null,
            "Log": ["json-file", "local", "none"],
        },
        "MemoryLimit": true,
        "SwapLimit": true,
        "CpuCfsPeriod": true,
        "CpuCfsQuota": true,
        "CPUShares": true,
        "CPUSet": true,
        "PidsLimit": true,
        "IPv4Forwarding": true,
        "Debug": false,
        "NFd": open_descriptors(),
        "OomKillDisable": host.cgroup_version == 1,
        "NGoroutines": tokio::runtime::Handle::current().metrics().num_alive_tasks(),
        "SystemTime": cubby_engine::timestamps::rfc3339_nano(std::time::SystemTime::now()),
        "LoggingDriver": "json-file",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": host.cgroup_version.to_string(),
        "NEventsListener": engine.events.listeners(),
        "KernelVersion": host.kernel,
        "OperatingSystem": host.operating_system,
        "OSVersion": host.os_version,
        "OSType": "linux",
        "Architecture": host.machine,
        "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": registry_config(&engine),
        "NCPU": host.cpus,
        "MemTotal": host.memory_bytes,
        "GenericResources": null,
        "DockerRootDir": engine.config.data_root,
        "HttpProxy": http_proxy,
        "HttpsProxy": https_proxy,
        "NoProxy": no_proxy,
        "Name": host.hostname,
        "Labels": [],
        "ExperimentalBuild": false,
        "ServerVersion": DOCKER_VERSION,
        "Runtimes": { "runc": { "path": "cubbyd" } },
        "DefaultRuntime": "runc",
        "Swarm": {
            "NodeID": "", "NodeAddr": "", "LocalNodeState": "inactive", "ControlAvailable": false, "Error": "",
            "RemoteManagers": null,
        },
        "LiveRestoreEnabled": true,
        "Isolation": "",
        "InitBinary": "cubbyd",
        "ContainerdCommit": { "ID": "" },
        "RuncCommit": { "ID": "" },
        "InitCommit": { "ID": "" },
        "SecurityOptions": security_options(host.cgroup_version),
        "FirewallBackend": { "Driver": "nftables" },
        "CDISpecDirs": [],
        "Warnings": null,
    });
    adapt(&mut info, version);
    Json(info)
}

/// What older clients expect beside it, or not at all. Source: moby `getInfo`.
fn adapt(info: &mut Value, version: ApiVersion) {
    if version < ApiVersion(50) {
        info["BridgeNfIptables"] = json!(false);
        info["BridgeNfIp6tables"] = json!(false);
    }
    if version < ApiVersion(49) {
        if let Some(members) = info.as_object_mut() {
            members.remove("FirewallBackend");
        }
        for component in ["ContainerdCommit", "RuncCommit", "InitCommit"] {
            info[component]["Expected"] = info[component]["ID"].clone();
        }
    }
    if version < ApiVersion(47) {
        info["RegistryConfig"]["AllowNondistributableArtifactsCIDRs"] = Value::Null;
        info["RegistryConfig"]["AllowNondistributableArtifactsHostnames"] = Value::Null;
    }
    if version < ApiVersion(25) {
        // Names alone: `name=seccomp,profile=builtin` is `seccomp`.
        let name = |option: &Value| option.as_str()?.strip_prefix("name=")?.split(',').next().map(str::to_owned);
        let names =
            info["SecurityOptions"].as_array().map(|options| options.iter().filter_map(name).collect::<Vec<_>>());
        info["SecurityOptions"] = json!(names);
    }
}

fn security_options(cgroup_version: u8) -> Vec<&'static str> {
    let mut options = vec!["name=seccomp,profile=builtin"];
    if cgroup_version == 2 {
        options.push("name=cgroupns");
    }
    options
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}
