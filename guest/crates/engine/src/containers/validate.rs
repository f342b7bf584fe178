//! What a request may ask for, in dockerd's words, and what is filled in where it asks for nothing.
//! Source: moby daemon/container.go, daemon_unix.go, runconfig.

use std::collections::BTreeSet;

use super::{
    Containers,
    model::{Config, Healthcheck, HostConfig, Resources, RestartPolicy},
    mounts, ports, signals,
    spec::capabilities,
};
use crate::error::{Error, Result};

const MIN_MEMORY: i64 = 6 * 1024 * 1024;
const DEFAULT_SHM: i64 = 64 * 1024 * 1024;
/// Shortest time in a health check: a millisecond.
const MIN_DURATION: i64 = 1_000_000;

/// Processors and memory nodes that are there.
#[derive(Clone, Debug, Default)]
pub struct Online {
    cpus: String,
    nodes: String,
}

impl Online {
    pub fn read() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_else(|_| "0".into()).trim().to_owned();
        Self { cpus: read("/sys/devices/system/cpu/online"), nodes: read("/sys/devices/system/node/online") }
    }
}

fn refuse<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::invalid(message))
}

impl Containers {
    fn online(&self) -> &Online {
        self.online.get_or_init(Online::read)
    }

    /// Checks a request and fills in defaults. Returns warnings.
    pub(super) fn check(&self, config: &mut Config, host: &mut HostConfig) -> Result<Vec<String>> {
        check_config(config)?;
        check_modes(config, host)?;
        if host.auto_remove && !host.restart_policy.is_none() {
            return refuse("can't create 'AutoRemove' container with restart policy");
        }
        check_restart_policy(&host.restart_policy)?;
        for mount in host.mounts.iter().flatten() {
            mounts::check_spec(mount, true)?;
        }
        for target in host.tmpfs.iter().flatten().map(|(target, _)| target) {
            mounts::check_target(target)?;
        }
        check_extra_hosts(host)?;
        ports::check(host.port_bindings.as_ref())?;
        capabilities::check(host)?;
        if !matches!(host.isolation.as_str(), "" | "default") {
            return refuse(format!("invalid isolation '{}' on linux", host.isolation));
        }
        if host.annotations.iter().flatten().any(|(key, _)| key.is_empty()) {
            return refuse("invalid Annotations: the empty string is not permitted as an annotation key");
        }
        if host.shm_size < 0 {
            return refuse("SHM size can not be less than 0");
        }
        if !(-1000..=1000).contains(&host.oom_score_adj) {
            return refuse(format!("Invalid value {}, range for oom score adj is [-1000, 1000]", host.oom_score_adj));
        }
        if !matches!(host.runtime.as_str(), "" | "runc" | "io.containerd.runc.v2") {
            return refuse(format!("unknown or invalid runtime name: {}", host.runtime));
        }
        if host.resources.device_requests.as_ref().is_some_and(|requests| !requests.is_empty()) {
            return refuse("could not select device driver \"\" with capabilities: [[gpu]]");
        }
        let mut warnings = self.check_resources(&mut host.resources, false)?;
        if host.network_mode == "host" && host.port_bindings.as_ref().is_some_and(|ports| !ports.is_empty()) {
            warnings.push("Published ports are discarded when using host network mode".to_owned());
        }
        if !host.resources.cgroup_parent.is_empty() {
            warnings
                .push("This engine keeps its containers under a cgroup of its own. CgroupParent discarded.".to_owned());
            host.resources.cgroup_parent = String::new();
        }
        if host.ipc_mode.starts_with("container:") {
            warnings.push("The IPC namespace is shared, /dev/shm is not.".to_owned());
        }
        self.fill_in(host);
        Ok(warnings)
    }

    fn fill_in(&self, host: &mut HostConfig) {
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
        let private = self.parts.host.cgroup_version == 2;
        set(&mut host.cgroupns_mode, if private { "private" } else { "host" });
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
        for mode in [&mut host.pid_mode, &mut host.ipc_mode, &mut host.network_mode] {
            if let Some(name) = mode.strip_prefix("container:")
                && let Ok(container) = self.find(name)
            {
                // Why: an id stays right when the other container is renamed.
                *mode = format!("container:{}", container.id);
            }
        }
    }

    /// Source: moby daemon_unix.go `verifyPlatformContainerResources`.
    pub(super) fn check_resources(&self, wanted: &mut Resources, update: bool) -> Result<Vec<String>> {
        let v2 = self.parts.host.cgroup_version == 2;
        let mut warnings = Vec::new();
        check_memory(wanted, update)?;
        if wanted.memory_swappiness == Some(-1) {
            wanted.memory_swappiness = None;
        }
        if let Some(swappiness) = wanted.memory_swappiness {
            if v2 {
                warnings.push("Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.".to_owned());
                wanted.memory_swappiness = None;
            } else if !(0..=100).contains(&swappiness) {
                return refuse(format!("Invalid value: {swappiness}, valid memory swappiness range is 0-100"));
            }
        }
        if let Some(disable) = wanted.oom_kill_disable
            && v2
        {
            if disable {
                warnings.push("Your kernel does not support OomKillDisable. OomKillDisable discarded.".to_owned());
            }
            wanted.oom_kill_disable = None;
        }
        if wanted.oom_kill_disable == Some(true) && wanted.memory == 0 {
            warnings.push("OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.".to_owned());
        }
        self.check_cpu(wanted)?;
        check_ulimits(wanted)?;
        if wanted.cpu_percent > 0 {
            warnings.push("linux does not support CPU percent. Percent discarded.".to_owned());
            wanted.cpu_percent = 0;
        }
        if wanted.blkio_weight > 0 && !(10..=1000).contains(&wanted.blkio_weight) {
            return refuse("Range of blkio weight is from 10 to 1000");
        }
        if wanted.io_maximum_bandwidth != 0 || wanted.io_maximum_iops != 0 {
            return refuse("Invalid QoS settings: linux does not support Maximum IO Bandwidth or Maximum IO IOps");
        }
        Ok(warnings)
    }

    fn check_cpu(&self, wanted: &Resources) -> Result<()> {
        if wanted.nano_cpus > 0 && wanted.cpu_period > 0 {
            return refuse("Conflicting options: Nano CPUs and CPU Period cannot both be set");
        }
        if wanted.nano_cpus > 0 && wanted.cpu_quota > 0 {
            return refuse("Conflicting options: Nano CPUs and CPU Quota cannot both be set");
        }
        let count = i64::from(self.parts.host.cpus);
        if wanted.nano_cpus < 0 || wanted.nano_cpus > count * 1_000_000_000 {
            return refuse(format!(
                "range of CPUs is from 0.01 to {count}.00, as there are only {count} CPUs available"
            ));
        }
        if wanted.cpu_period != 0 && !(1000..=1_000_000).contains(&wanted.cpu_period) {
            return refuse("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)");
        }
        if wanted.cpu_realtime_period != 0 || wanted.cpu_realtime_runtime != 0 {
            return refuse("Your kernel does not support CPU real-time scheduler");
        }
        if wanted.cpu_quota > 0 && wanted.cpu_quota < 1000 {
            return refuse("CPU cfs quota can not be less than 1ms (i.e. 1000)");
        }
        let online = self.online();
        for (wanted, available, what, plural) in [
            (&wanted.cpuset_cpus, &online.cpus, "cpus", "CPUs"),
            (&wanted.cpuset_mems, &online.nodes, "mems", "memory nodes"),
        ] {
            let Some(set) = numbers(wanted) else {
                return refuse(format!("Invalid value {wanted} for cpuset {what}"));
            };
            if !set.is_subset(&numbers(available).unwrap_or_default()) {
                return refuse(format!(
                    "Requested {plural} are not available - requested {wanted}, available: {available}"
                ));
            }
        }
        Ok(())
    }
}

/// Source: go-units `Ulimit`.
fn check_ulimits(wanted: &Resources) -> Result<()> {
    const NAMES: &[&str] = &[
        "as",
        "core",
        "cpu",
        "data",
        "fsize",
        "locks",
        "memlock",
        "msgqueue",
        "nice",
        "nofile",
        "nproc",
        "rss",
        "rtprio",
        "rttime",
        "sigpending",
        "stack",
    ];
    for limit in wanted.ulimits.iter().flatten() {
        if !NAMES.contains(&limit.name.as_str()) {
            return refuse(format!("invalid ulimit type: {}", limit.name));
        }
        let unlimited = limit.hard < 0;
        if !unlimited && (limit.soft < 0 || limit.soft > limit.hard) {
            return refuse(format!(
                "ulimit soft limit must be less than or equal to hard limit: {} > {}",
                limit.soft, limit.hard
            ));
        }
    }
    Ok(())
}

fn check_memory(wanted: &Resources, update: bool) -> Result<()> {
    if wanted.memory != 0 && wanted.memory < MIN_MEMORY {
        return refuse("Minimum memory limit allowed is 6MB");
    }
    if wanted.memory > 0 && wanted.memory_swap > 0 && wanted.memory_swap < wanted.memory {
        return refuse("Minimum memoryswap limit should be larger than memory limit, see usage");
    }
    if wanted.memory == 0 && wanted.memory_swap > 0 && !update {
        return refuse("You should always set the Memory limit when using Memoryswap limit, see usage");
    }
    if wanted.memory_reservation != 0 && wanted.memory_reservation < MIN_MEMORY {
        return refuse("Minimum memory reservation allowed is 6MB");
    }
    if wanted.memory > 0 && wanted.memory_reservation > 0 && wanted.memory < wanted.memory_reservation {
        return refuse("Minimum memory limit can not be less than memory reservation limit, see usage");
    }
    Ok(())
}

/// `0-2,4` as a set; empty text is the empty set.
fn numbers(text: &str) -> Option<BTreeSet<u32>> {
    let mut set = BTreeSet::new();
    for part in text.split(',').map(str::trim).filter(|_| !text.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last > 8191 {
            return None;
        }
        set.extend(first..=last);
    }
    Some(set)
}

fn check_config(config: &mut Config) -> Result<()> {
    if config.hostname.len() > 64 {
        return refuse(format!("hostname {:?} is too long (maximum 64 bytes)", config.hostname));
    }
    if config.hostname.contains('\0') || config.hostname.contains('/') {
        return refuse(format!("invalid hostname format: {}", config.hostname));
    }
    if !config.working_dir.is_empty() {
        if !config.working_dir.starts_with('/') {
            return refuse(format!(
                "the working directory '{}' is invalid, it needs to be an absolute path",
                config.working_dir
            ));
        }
        config.working_dir = mounts::clean(&config.working_dir);
    }
    if !config.stop_signal.is_empty() {
        signals::parse(&config.stop_signal)?;
    }
    if let Some(bad) = config.env().iter().find(|pair| pair.is_empty() || pair.starts_with('=')) {
        return refuse(format!("invalid environment variable: {bad}"));
    }
    if let Some(bad) = config.env().iter().find(|pair| pair.contains('\0')) {
        return refuse(format!("environment variable contains a NUL byte: {bad:?}"));
    }
    config.healthcheck.as_ref().map_or(Ok(()), check_health)
}

fn check_health(check: &Healthcheck) -> Result<()> {
    for (name, value) in [
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
    ] {
        if value != 0 && value < MIN_DURATION {
            return refuse(format!("{name} in Healthcheck cannot be less than 1ms"));
        }
    }
    if check.retries < 0 {
        return refuse("Retries in Healthcheck cannot be negative");
    }
    match check.test.first().map(String::as_str) {
        None | Some("NONE" | "CMD" | "CMD-SHELL") => Ok(()),
        Some(other) => refuse(format!("unknown type {other:?} in Healthcheck (try 'CMD')")),
    }
}

/// Source: moby `ValidateRestartPolicy`.
pub fn check_restart_policy(policy: &RestartPolicy) -> Result<()> {
    let count = policy.maximum_retry_count;
    match policy.name.as_str() {
        "always" | "unless-stopped" | "no" if count != 0 => {
            let negative = if count < 0 { " and cannot be negative" } else { "" };
            refuse(format!("invalid restart policy: maximum retry count can only be used with 'on-failure'{negative}"))
        }
        "on-failure" if count < 0 => refuse("invalid restart policy: maximum retry count cannot be negative"),
        "" | "always" | "unless-stopped" | "no" | "on-failure" => Ok(()),
        other => refuse(format!(
            "invalid restart policy: unknown policy '{other}'; use one of 'no', 'always', 'on-failure', or \
             'unless-stopped'"
        )),
    }
}

fn check_modes(config: &Config, host: &HostConfig) -> Result<()> {
    let named = |mode: &str| mode.strip_prefix("container:").is_some_and(|name| !name.is_empty());
    if !(matches!(host.ipc_mode.as_str(), "" | "none" | "private" | "shareable" | "host") || named(&host.ipc_mode)) {
        return refuse(format!("invalid IPC mode: {}", host.ipc_mode));
    }
    if !(matches!(host.pid_mode.as_str(), "" | "host") || named(&host.pid_mode)) {
        return refuse(format!("invalid PID mode: {}", host.pid_mode));
    }
    if !matches!(host.uts_mode.as_str(), "" | "host") {
        return refuse(format!("invalid UTS mode: {}", host.uts_mode));
    }
    if !matches!(host.userns_mode.as_str(), "" | "host") {
        return refuse(format!("invalid user namespace mode: {}", host.userns_mode));
    }
    if !matches!(host.cgroupns_mode.as_str(), "" | "private" | "host") {
        return refuse(format!("invalid cgroup namespace mode: {}", host.cgroupns_mode));
    }
    if host.uts_mode == "host" && !config.hostname.is_empty() {
        return refuse("conflicting options: hostname and the UTS mode");
    }
    check_network_mode(config, host)
}

fn check_network_mode(config: &Config, host: &HostConfig) -> Result<()> {
    let some = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
    let shares = match host.network_container() {
        Some("") => return refuse("invalid container format container:<name|id>"),
        Some(_) => true,
        None => false,
    };
    if host.network_mode == "host" && some(&host.links) {
        return refuse(
            "conflicting options: host type networking can't be used with links. This would result in undefined behavior",
        );
    }
    if (shares || host.network_mode == "host") && !config.mac_address.is_empty() {
        return refuse("conflicting options: mac-address and the network mode");
    }
    if !shares {
        return Ok(());
    }
    let conflicts = [
        (!config.hostname.is_empty(), "hostname and the network mode"),
        (some(&host.links), "container type network can't be used with links. This would result in undefined behavior"),
        (some(&host.dns), "dns and the network mode"),
        (some(&host.extra_hosts), "custom host-to-IP mapping and the network mode"),
        (
            host.publish_all_ports || host.port_bindings.as_ref().is_some_and(|ports| !ports.is_empty()),
            "port publishing and the container type network mode",
        ),
        (
            config.exposed_ports.as_ref().is_some_and(|ports| !ports.is_empty()),
            "port exposing and the container type network mode",
        ),
    ];
    match conflicts.iter().find(|(conflict, _)| *conflict) {
        Some((_, what)) => refuse(format!("conflicting options: {what}")),
        None => Ok(()),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_numbers() {
        assert_eq!(numbers("0-2,4").unwrap(), BTreeSet::from([0, 1, 2, 4]));
        assert_eq!(numbers("").unwrap(), BTreeSet::new());
        for bad in ["a", "1-", "2-1", "0,", "0-99999999"] {
            assert!(numbers(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn restart_policies_are_checked() {
        let policy = |name: &str, count| RestartPolicy { name: name.into(), maximum_retry_count: count };
        assert!(check_restart_policy(&policy("on-failure", 3)).is_ok());
        assert_eq!(
            check_restart_policy(&policy("always", -1)).unwrap_err().message(),
            "invalid restart policy: maximum retry count can only be used with 'on-failure' and cannot be negative"
        );
        assert!(check_restart_policy(&policy("sometimes", 0)).is_err());
    }

    #[test]
    fn health_checks_are_checked() {
        let healthcheck = Some(Healthcheck { interval: 10, ..Healthcheck::default() });
        let mut config = Config { healthcheck, ..Config::default() };
        assert_eq!(check_config(&mut config).unwrap_err().message(), "Interval in Healthcheck cannot be less than 1ms");
    }

    #[test]
    fn paths_signals_and_environment_are_checked() {
        let mut config = Config { working_dir: "tmp".into(), ..Config::default() };
        assert!(check_config(&mut config).unwrap_err().message().contains("needs to be an absolute path"));
        let mut config = Config { working_dir: "/a/../b//c/".into(), ..Config::default() };
        check_config(&mut config).unwrap();
        assert_eq!(config.working_dir, "/b/c");
        let mut config = Config { env: Some(vec!["=x".into()]), ..Config::default() };
        assert_eq!(check_config(&mut config).unwrap_err().message(), "invalid environment variable: =x");
    }
}
