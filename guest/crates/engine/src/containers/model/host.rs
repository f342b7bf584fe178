//! The part that depends on the machine: limits, mounts, namespaces, ports.

use std::collections::BTreeMap;

use super::{
    go::{Sequence, go_struct, is_zero},
    mount::MountSpec,
    resources::Resources,
};

/// `80/tcp` → where it is published; null or an empty list: any free port.
pub type PortMap = BTreeMap<String, Option<Vec<PortBinding>>>;

go_struct! {
    /// Source: moby `container.HostConfig`.
    pub struct HostConfig {
        "Binds" binds: Option<Vec<String>>,
        "ContainerIDFile" container_id_file: String,
        "LogConfig" log_config: LogConfig,
        "NetworkMode" network_mode: String,
        "PortBindings" port_bindings: Option<PortMap>,
        "RestartPolicy" restart_policy: RestartPolicy,
        "AutoRemove" auto_remove: bool,
        "VolumeDriver" volume_driver: String,
        "VolumesFrom" volumes_from: Option<Vec<String>>,
        "ConsoleSize" console_size: [u32; 2],
        #[serde(skip_serializing_if = "Option::is_none")]
        "Annotations" annotations: Option<BTreeMap<String, String>>,
        "CapAdd" cap_add: Option<Sequence>,
        "CapDrop" cap_drop: Option<Sequence>,
        "CgroupnsMode" cgroupns_mode: String,
        "Dns" dns: Option<Vec<String>>,
        "DnsOptions" dns_options: Option<Vec<String>>,
        "DnsSearch" dns_search: Option<Vec<String>>,
        "ExtraHosts" extra_hosts: Option<Vec<String>>,
        "GroupAdd" group_add: Option<Vec<String>>,
        "IpcMode" ipc_mode: String,
        "Cgroup" cgroup: String,
        "Links" links: Option<Vec<String>>,
        "OomScoreAdj" oom_score_adj: i32,
        "PidMode" pid_mode: String,
        "Privileged" privileged: bool,
        "PublishAllPorts" publish_all_ports: bool,
        "ReadonlyRootfs" readonly_rootfs: bool,
        "SecurityOpt" security_opt: Option<Vec<String>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        "StorageOpt" storage_opt: Option<BTreeMap<String, String>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        "Tmpfs" tmpfs: Option<BTreeMap<String, String>>,
        "UTSMode" uts_mode: String,
        "UsernsMode" userns_mode: String,
        "ShmSize" shm_size: i64,
        #[serde(skip_serializing_if = "Option::is_none")]
        "Sysctls" sysctls: Option<BTreeMap<String, String>>,
        #[serde(skip_serializing_if = "is_zero")]
        "Runtime" runtime: String,
        "Isolation" isolation: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        "Mounts" mounts: Option<Vec<MountSpec>>,
        "MaskedPaths" masked_paths: Option<Vec<String>>,
        "ReadonlyPaths" readonly_paths: Option<Vec<String>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        "Init" init: Option<bool>,
        ; flatten resources: Resources
    }
}

go_struct! {
    pub struct LogConfig {
        "Type" driver: String,
        "Config" config: Option<BTreeMap<String, String>>,
    }
}

go_struct! {
    pub struct RestartPolicy {
        "Name" name: String,
        "MaximumRetryCount" maximum_retry_count: i64,
    }
}

go_struct! {
    pub struct PortBinding {
        "HostIp" host_ip: String,
        "HostPort" host_port: String,
    }
}

impl RestartPolicy {
    pub fn is_none(&self) -> bool {
        matches!(self.name.as_str(), "" | "no")
    }
}

impl HostConfig {
    /// The container whose network this one shares.
    pub fn network_container(&self) -> Option<&str> {
        self.network_mode.strip_prefix("container:")
    }

    pub fn security_opts(&self) -> &[String] {
        self.security_opt.as_deref().unwrap_or_default()
    }
}
