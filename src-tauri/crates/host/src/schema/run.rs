//! What the run form asks for: the `docker run` flags that people use, as plain data.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::{MountKind, Protocol};

/// A door to open. Host port 0 (or absent) lets the host choose a free one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct PortRequest {
    pub container_port: u16,
    pub protocol: Protocol,
    pub host_port: Option<u16>,
    /// Absent: every address of this computer.
    #[serde(default)]
    #[ts(optional = nullable)]
    pub host_ip: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct EnvVar {
    pub name: String,
    pub value: String,
}

// Why: values are often secrets and must not reach a log through `Debug`.
impl std::fmt::Debug for EnvVar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}=…", self.name)
    }
}

/// A place in the container that is kept elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct MountRequest {
    pub kind: MountKind,
    /// Volume name (empty: an unnamed one), folder of the host, empty for tmpfs.
    pub source: String,
    pub target: String,
    pub read_only: bool,
}

/// Create and start. Absent and empty fields take the image's own settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct RunContainer {
    pub image: String,
    pub name: Option<String>,
    pub ports: Vec<PortRequest>,
    /// Every port that the image exposes gets a free door (`-P`).
    pub publish_all: bool,
    pub env: Vec<EnvVar>,
    /// Empty: the image's command.
    pub command: Vec<String>,
    /// Absent: the image's; one empty word: none.
    pub entrypoint: Option<Vec<String>>,
    pub mounts: Vec<MountRequest>,
    pub memory_bytes: Option<u64>,
    pub cpus: Option<f64>,
    pub pids_limit: Option<i64>,
    pub shm_bytes: Option<u64>,
    /// Docker's name: `no`, `always`, `unless-stopped`, `on-failure`.
    pub restart: Option<String>,
    /// For `on-failure`; absent: without end.
    pub restart_retries: Option<u32>,
    /// Docker's network mode: a name, `host`, `none`, `container:…`.
    pub network: Option<String>,
    pub network_aliases: Vec<String>,
    pub hostname: Option<String>,
    pub user: Option<String>,
    pub workdir: Option<String>,
    pub labels: Vec<EnvVar>,
    pub tty: bool,
    pub interactive: bool,
    pub init: bool,
    /// Removed by the engine when it ends (`--rm`).
    pub auto_remove: bool,
    pub read_only: bool,
    pub privileged: bool,
    pub cap_add: Vec<String>,
    pub cap_drop: Vec<String>,
    /// `/dev/x[:/dev/y[:rwm]]`
    pub devices: Vec<String>,
    pub security_opt: Vec<String>,
    pub group_add: Vec<String>,
    pub dns: Vec<String>,
    /// `name:address`
    pub extra_hosts: Vec<String>,
    pub pid_mode: Option<String>,
    pub ipc_mode: Option<String>,
    pub sysctls: Vec<EnvVar>,
    /// `nofile=1024:2048`
    pub ulimits: Vec<String>,
    pub stop_signal: Option<String>,
    pub stop_timeout_s: Option<i64>,
    /// `linux/amd64`
    pub platform: Option<String>,
    /// A shell line that says whether it is well; `NONE` switches the image's own off.
    pub health_command: Option<String>,
}
