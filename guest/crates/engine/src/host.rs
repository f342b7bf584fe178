//! What the engine's machine is: the facts of `/info` and `/version` that do not change while it runs.

use std::{fs, path::Path};

/// Facts about the kernel and machine the engine runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    pub hostname: String,
    /// `uname -r`
    pub kernel: String,
    /// `uname -m`
    pub machine: String,
    /// Go's and OCI's name of the architecture.
    pub go_arch: &'static str,
    pub operating_system: String,
    pub os_version: String,
    pub cpus: u32,
    pub memory_bytes: u64,
    /// 2 when `/sys/fs/cgroup` is the unified hierarchy with controllers, else 1.
    pub cgroup_version: u8,
}

impl Host {
    pub fn read(in_guest: bool) -> Self {
        let uname = rustix::system::uname();
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let own = format!("Cubby {} (guest)", env!("CARGO_PKG_VERSION"));
        let named = os_release(&release, "PRETTY_NAME").unwrap_or_else(|| "Linux".to_owned());
        Self {
            hostname: uname.nodename().to_string_lossy().into_owned(),
            kernel: uname.release().to_string_lossy().into_owned(),
            machine: uname.machine().to_string_lossy().into_owned(),
            go_arch: go_arch(),
            operating_system: if in_guest { own } else { named },
            os_version: os_release(&release, "VERSION_ID").unwrap_or_default(),
            cpus: std::thread::available_parallelism().map_or(1, |n| n.get() as u32),
            memory_bytes: memory_total(),
            cgroup_version: if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() { 2 } else { 1 },
        }
    }
}

/// The architecture in Go's words, as image platforms are written.
pub fn go_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn memory_total() -> u64 {
    let info = rustix::system::sysinfo();
    (info.totalram as u64).saturating_mul(u64::from(info.mem_unit))
}

fn os_release(text: &str, key: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
    Some(line.trim_matches('"').to_owned())
}
