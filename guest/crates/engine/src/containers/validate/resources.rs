//! Limits. Source: moby daemon_unix.go `verifyPlatformContainerResources`.

use std::collections::BTreeSet;

use cubby_runtime::cgroup::Cgroups;

use super::refuse;
use crate::{
    containers::{Containers, model::Resources},
    error::Result,
};

const MIN_MEMORY: i64 = 6 * 1024 * 1024;

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

impl Containers {
    fn online(&self) -> &Online {
        self.online.get_or_init(Online::read)
    }

    /// Source: moby runconfig `validateQoS`, `validateResources`.
    pub(in crate::containers) fn check_quality(&self, wanted: &Resources) -> Result<()> {
        if wanted.io_maximum_bandwidth != 0 {
            return refuse("invalid option: QoS maximum bandwidth configuration is not supported on linux");
        }
        if wanted.io_maximum_iops != 0 {
            return refuse("invalid option: QoS maximum IOPs configuration is not supported on linux");
        }
        let (period, runtime) = (wanted.cpu_realtime_period, wanted.cpu_realtime_runtime);
        if (period != 0 || runtime != 0) && !self.has_realtime() {
            return refuse("kernel does not support CPU real-time scheduler");
        }
        if period != 0 && runtime != 0 && runtime > period {
            return refuse("cpu real-time runtime cannot be higher than cpu real-time period");
        }
        if wanted.cpu_shares < 0 {
            return refuse(format!("invalid CPU shares ({}): value must be a positive integer", wanted.cpu_shares));
        }
        Ok(())
    }

    /// v2 has none.
    fn has_realtime(&self) -> bool {
        self.parts.host.cgroup_version == 1 && self.parts.cgroups.has_file("cpu", "cpu.rt_period_us")
    }

    /// Checks limits and takes away, with a warning, what this kernel does not have.
    pub(in crate::containers) fn check_resources(&self, wanted: &mut Resources, update: bool) -> Result<Vec<String>> {
        let mut warnings = Vec::new();
        self.check_memory(wanted, update, &mut warnings)?;
        if wanted.pids_limit.is_some() && !self.parts.cgroups.has_controller("pids") {
            if wanted.pids_limit.is_some_and(|limit| limit > 0) {
                warnings.push(unsupported("PIDs limit capabilities", true, "PIDs limit"));
            }
            wanted.pids_limit = None;
        }
        self.check_cpu(wanted, &mut warnings)?;
        check_ulimits(wanted)?;
        self.check_block_io(wanted, &mut warnings)?;
        Ok(warnings)
    }

    fn check_memory(&self, wanted: &mut Resources, update: bool, warnings: &mut Vec<String>) -> Result<()> {
        let (cgroups, v2) = (&self.parts.cgroups, self.parts.host.cgroup_version == 2);
        let has_memory = cgroups.has_controller("memory");
        if wanted.memory_swappiness == Some(-1) {
            wanted.memory_swappiness = None;
        }
        if wanted.memory != 0 && wanted.memory < MIN_MEMORY {
            return refuse("Minimum memory limit allowed is 6MB");
        }
        if wanted.memory > 0 && !has_memory {
            warnings.push(unsupported("memory limit capabilities", true, "Limitation"));
            (wanted.memory, wanted.memory_swap) = (0, -1);
        }
        if wanted.memory > 0 && wanted.memory_swap != -1 && !cgroups.has_file("memory", "memory.memsw.limit_in_bytes") {
            warnings.push(
                "Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited \
                 without swap."
                    .to_owned(),
            );
            wanted.memory_swap = -1;
        }
        check_memory(wanted, update)?;
        if let Some(swappiness) = wanted.memory_swappiness {
            if v2 || !has_memory {
                warnings.push(unsupported("memory swappiness capabilities", true, "Memory swappiness"));
                wanted.memory_swappiness = None;
            } else if !(0..=100).contains(&swappiness) {
                return refuse(format!("Invalid value: {swappiness}, valid memory swappiness range is 0-100"));
            }
        }
        if let Some(disable) = wanted.oom_kill_disable
            && (v2 || !has_memory)
        {
            if disable {
                warnings.push("Your kernel does not support OomKillDisable. OomKillDisable discarded.".to_owned());
            }
            wanted.oom_kill_disable = None;
        }
        if wanted.oom_kill_disable == Some(true) && wanted.memory == 0 {
            warnings.push(
                "OOM killer is disabled for the container, but no memory limit is set, this can result in the system \
                 running out of resources."
                    .to_owned(),
            );
        }
        Ok(())
    }

    fn check_cpu(&self, wanted: &mut Resources, warnings: &mut Vec<String>) -> Result<()> {
        if wanted.nano_cpus > 0 && wanted.cpu_period > 0 {
            return refuse("Conflicting options: Nano CPUs and CPU Period cannot both be set");
        }
        if wanted.nano_cpus > 0 && wanted.cpu_quota > 0 {
            return refuse("Conflicting options: Nano CPUs and CPU Quota cannot both be set");
        }
        let has_quota = self.parts.cgroups.has_file("cpu", "cpu.cfs_quota_us");
        if wanted.nano_cpus > 0 && !has_quota {
            return refuse(
                "NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted",
            );
        }
        let count = i64::from(self.parts.host.cpus);
        if wanted.nano_cpus < 0 || wanted.nano_cpus > count * 1_000_000_000 {
            return refuse(format!(
                "range of CPUs is from 0.01 to {count}.00, as there are only {count} CPUs available"
            ));
        }
        if wanted.cpu_shares > 0 && !self.parts.cgroups.has_controller("cpu") {
            warnings.push(unsupported("CPU shares", true, "Shares"));
            wanted.cpu_shares = 0;
        }
        if (wanted.cpu_period != 0 || wanted.cpu_quota != 0) && !has_quota {
            warnings.push(unsupported("CPU CFS scheduler", false, "CPU period/quota"));
            (wanted.cpu_period, wanted.cpu_quota) = (0, 0);
        }
        if wanted.cpu_period != 0 && !(1000..=1_000_000).contains(&wanted.cpu_period) {
            return refuse("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)");
        }
        if wanted.cpu_quota > 0 && wanted.cpu_quota < 1000 {
            return refuse("CPU cfs quota can not be less than 1ms (i.e. 1000)");
        }
        if wanted.cpu_percent > 0 {
            warnings.push("linux does not support CPU percent. Percent discarded.".to_owned());
            wanted.cpu_percent = 0;
        }
        let asks_for_set = !wanted.cpuset_cpus.is_empty() || !wanted.cpuset_mems.is_empty();
        if asks_for_set && !self.parts.cgroups.has_controller("cpuset") {
            warnings.push(unsupported("cpuset", true, "Cpuset"));
            (wanted.cpuset_cpus, wanted.cpuset_mems) = Default::default();
        }
        self.check_sets(wanted)
    }

    fn check_sets(&self, wanted: &Resources) -> Result<()> {
        let online = self.online();
        for (wanted, available, what, plural) in [
            (&wanted.cpuset_cpus, &online.cpus, "cpus", "CPUs"),
            (&wanted.cpuset_mems, &online.nodes, "mems", "memory nodes"),
        ] {
            let Some(set) = numbers(wanted) else {
                return refuse(format!("Invalid value {wanted} for cpuset {what}: invalid format: {wanted}"));
            };
            if !set.is_subset(&numbers(available).unwrap_or_default()) {
                return refuse(format!(
                    "Requested {plural} are not available - requested {wanted}, available: {available}"
                ));
            }
        }
        Ok(())
    }

    fn check_block_io(&self, wanted: &mut Resources, warnings: &mut Vec<String>) -> Result<()> {
        let cgroups = &self.parts.cgroups;
        if wanted.blkio_weight > 0 && !has_weight(cgroups, "weight") {
            warnings.push(unsupported("Block I/O weight", true, "Weight"));
            wanted.blkio_weight = 0;
        }
        if wanted.blkio_weight > 0 && !(10..=1000).contains(&wanted.blkio_weight) {
            return refuse("Range of blkio weight is from 10 to 1000");
        }
        if wanted.io_maximum_bandwidth != 0 || wanted.io_maximum_iops != 0 {
            return refuse("Invalid QoS settings: linux does not support Maximum IO Bandwidth or Maximum IO IOps");
        }
        if wanted.blkio_weight_device.as_ref().is_some_and(|list| !list.is_empty())
            && !has_weight(cgroups, "weight_device")
        {
            warnings.push(unsupported("Block I/O weight_device", true, "Weight-device"));
            wanted.blkio_weight_device = None;
        }
        for (list, file, what, discarded) in [
            (&mut wanted.blkio_device_read_bps, "read_bps", "BPS Block I/O read limit", "Block I/O BPS read limit"),
            (&mut wanted.blkio_device_write_bps, "write_bps", "BPS Block I/O write limit", "Block I/O BPS write limit"),
            (&mut wanted.blkio_device_read_iops, "read_iops", "IOPS Block read limit", "Block I/O IOPS read limit"),
            (&mut wanted.blkio_device_write_iops, "write_iops", "IOPS Block write limit", "Block I/O IOPS write limit"),
        ] {
            let file = format!("blkio.throttle.{file}_device");
            if list.as_ref().is_some_and(|list| !list.is_empty()) && !has_io(cgroups, &file) {
                warnings.push(unsupported(what, true, discarded));
                *list = None;
            }
        }
        Ok(())
    }
}

fn unsupported(what: &str, or_unmounted: bool, discarded: &str) -> String {
    let cgroup = if or_unmounted { " or the cgroup is not mounted" } else { "" };
    format!("Your kernel does not support {what}{cgroup}. {discarded} discarded.")
}

/// A file of v1's blkio, or v2's io controller, which has all of them.
fn has_io(cgroups: &Cgroups, file: &str) -> bool {
    cgroups.has_file("blkio", file) || cgroups.has_file("io", "")
}

fn has_weight(cgroups: &Cgroups, file: &str) -> bool {
    has_io(cgroups, &format!("blkio.{file}")) || cgroups.has_file("blkio", &format!("blkio.bfq.{file}"))
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
}
