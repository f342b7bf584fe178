//! What a request may ask for, in dockerd's words, and what is filled in where it asks for nothing.
//!
//! In dockerd's order: first what the request alone tells (moby daemon/internal/runconfig), then the configuration
//! (daemon/container.go), then what depends on the machine (daemon/daemon_unix.go).

mod config;
mod modes;
mod resources;
mod restart;

pub use resources::Online;
pub use restart::check_restart_policy;

use super::{
    Containers,
    model::{Config, HostConfig},
    mounts, ports,
    spec::{Security, capabilities},
};
use crate::error::{Error, Result};

const DEFAULT_SHM: i64 = 64 * 1024 * 1024;

fn refuse<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::invalid(message))
}

impl Containers {
    /// Checks a request and fills in defaults. Returns warnings.
    pub(super) fn check(&self, config: &mut Config, host: &mut HostConfig) -> Result<Vec<String>> {
        self.check_request(config, host)?;
        config::check(config)?;
        check_host(host)?;
        let mut warnings = self.check_resources(&mut host.resources, false)?;
        modes::check_valid(host)?;
        if host.shm_size < 0 {
            return refuse("SHM size can not be less than 0");
        }
        if !(-1000..=1000).contains(&host.oom_score_adj) {
            return refuse(format!("Invalid value {}, range for oom score adj is [-1000, 1000]", host.oom_score_adj));
        }
        if host.network_mode == "host" && host.port_bindings.as_ref().is_some_and(|ports| !ports.is_empty()) {
            warnings.push("Published ports are discarded when using host network mode".to_owned());
        }
        let parent = &host.resources.cgroup_parent;
        if parent.split('/').any(|part| matches!(part, "." | "..")) || parent.contains(['\0', '\n']) {
            return refuse(format!("invalid cgroup parent: {parent:?}"));
        }
        if !matches!(host.runtime.as_str(), "" | "runc" | "io.containerd.runc.v2") {
            return refuse(format!("unknown or invalid runtime name: {}", host.runtime));
        }
        for target in host.tmpfs.iter().flatten().map(|(target, _)| target) {
            mounts::check_target(target)?;
        }
        // Why not invalid: to dockerd it is an error of its own making.
        Security::parse(host).map_err(|error| Error::internal(error.message()))?;
        self.fill_in(host);
        self.check_shared(host)?;
        Ok(warnings)
    }

    /// What dockerd checks when it reads a request. Source: moby runconfig `validateCreateRequest`.
    fn check_request(&self, config: &Config, host: &HostConfig) -> Result<()> {
        modes::check_network(config, host)?;
        if !matches!(host.isolation.to_lowercase().as_str(), "" | "default") {
            return refuse(format!("invalid isolation ({}): linux only supports 'default'", host.isolation));
        }
        self.check_quality(&host.resources)
    }

    /// Containers whose namespaces are to be shared must be there; a network's is asked for at the start only.
    /// Source: moby `generateSecurityOpt`.
    fn check_shared(&self, host: &HostConfig) -> Result<()> {
        if host.privileged || host.pid_mode == "host" || host.ipc_mode == "host" {
            return Ok(());
        }
        for name in [&host.ipc_mode, &host.pid_mode].into_iter().filter_map(|mode| mode.strip_prefix("container:")) {
            self.find(name).map_err(|error| Error::invalid(error.message()))?;
        }
        Ok(())
    }

    fn fill_in(&self, host: &mut HostConfig) {
        let v2 = self.parts.host.cgroup_version == 2;
        let set = |slot: &mut String, value: &str| {
            if slot.is_empty() {
                *slot = value.to_owned();
            }
        };
        if matches!(host.network_mode.as_str(), "" | "default") {
            host.network_mode = "bridge".to_owned();
        }
        set(&mut host.restart_policy.name, "no");
        set(&mut host.ipc_mode, "private");
        set(&mut host.runtime, "runc");
        set(&mut host.cgroupns_mode, if v2 { "private" } else { "host" });
        set(&mut host.log_config.driver, "json-file");
        host.log_config.config.get_or_insert_default();
        if host.resources.memory > 0 && host.resources.memory_swap == 0 {
            host.resources.memory_swap = host.resources.memory.saturating_mul(2);
        }
        if host.shm_size == 0 {
            host.shm_size = DEFAULT_SHM;
        }
        if host.resources.pids_limit.is_some_and(|limit| limit <= 0) {
            host.resources.pids_limit = None;
        }
        host.resources.oom_kill_disable.get_or_insert(false);
        if host.privileged || host.pid_mode == "host" || host.ipc_mode == "host" {
            host.security_opt.get_or_insert_default().push("label=disable".to_owned());
        }
        for mode in [&mut host.pid_mode, &mut host.ipc_mode, &mut host.network_mode] {
            if let Some(name) = mode.strip_prefix("container:")
                && let Ok(container) = self.find(name)
            {
                // Why: an id stays right when the other container is renamed.
                *mode = format!("container:{}", container.id);
            }
        }
    }
}

/// Source: moby daemon/container.go `validateHostConfig`.
fn check_host(host: &HostConfig) -> Result<()> {
    if host.auto_remove && !host.restart_policy.is_none() {
        return refuse("can't create 'AutoRemove' container with restart policy");
    }
    for mount in host.mounts.iter().flatten() {
        // Whether a source is there is asked where it is known whose filesystem is meant.
        mounts::check_spec(mount, false)?;
    }
    check_extra_hosts(host)?;
    ports::check(host.port_bindings.as_ref())?;
    check_restart_policy(&host.restart_policy)?;
    capabilities::check(host)?;
    if host.annotations.iter().flatten().any(|(key, _)| key.is_empty()) {
        return refuse("invalid Annotations: the empty string is not permitted as an annotation key");
    }
    Ok(())
}

fn check_extra_hosts(host: &HostConfig) -> Result<()> {
    for entry in host.extra_hosts.iter().flatten() {
        let split = entry.split_once(['=', ':']).filter(|(name, _)| !name.is_empty());
        let Some((_, address)) = split else {
            return refuse(format!("bad format for add-host: {entry:?}"));
        };
        let bare = address.trim_start_matches('[').trim_end_matches(']');
        if address != "host-gateway" && bare.parse::<std::net::IpAddr>().is_err() {
            return refuse(format!("invalid IP address in add-host: {address:?}"));
        }
    }
    Ok(())
}
