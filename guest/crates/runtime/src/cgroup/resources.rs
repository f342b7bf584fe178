//! Limits of the spec, lowered to what goes into which file.
//!
//! Sources: OCI runtime spec, config-linux.md; kernel, cgroup-v2.rst and cgroup-v1/*.rst.

use oci_spec::runtime::{LinuxBlockIo, LinuxResources, LinuxThrottleDevice};

/// One write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// v1: which hierarchy.
    pub controller: &'static str,
    pub file: String,
    pub value: String,
    /// Kernels without the file are fine (the limit is advisory, or Docker only warns).
    pub optional: bool,
}

fn must(controller: &'static str, file: impl Into<String>, value: impl ToString) -> Setting {
    Setting { controller, file: file.into(), value: value.to_string(), optional: false }
}

fn may(controller: &'static str, file: impl Into<String>, value: impl ToString) -> Setting {
    Setting { optional: true, ..must(controller, file, value) }
}

/// -1 is "no limit".
fn max(value: i64) -> String {
    if value < 0 { "max".to_owned() } else { value.to_string() }
}

/// cpu.shares (2–262144) to cpu.weight (1–10000). Source: runc, and systemd's documentation of CPUWeight=.
fn weight_of_shares(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

/// blkio weight (10–1000) to io.weight (1–10000).
fn io_weight(weight: u16) -> u64 {
    1 + (u64::from(weight.clamp(10, 1000)) - 10) * 9999 / 990
}

pub(super) fn v2(resources: &LinuxResources) -> Vec<Setting> {
    let mut all = Vec::new();
    if let Some(memory) = resources.memory() {
        // 0 is "as it is" throughout the spec.
        let limit = memory.limit().filter(|&limit| limit != 0);
        if let Some(limit) = limit {
            all.push(must("memory", "memory.max", max(limit)));
        }
        if let Some(reservation) = memory.reservation().filter(|&r| r != 0) {
            all.push(must("memory", "memory.low", max(reservation)));
        }
        // The spec's swap is memory and swap together; v2's is swap alone.
        match (memory.swap(), limit) {
            (Some(swap), _) if swap < 0 => all.push(may("memory", "memory.swap.max", "max")),
            (Some(swap), Some(limit)) if swap > 0 && limit > 0 && swap >= limit => {
                all.push(may("memory", "memory.swap.max", swap - limit));
            }
            _ => {}
        }
    }
    if let Some(cpu) = resources.cpu() {
        if let Some(shares) = cpu.shares().filter(|&shares| shares != 0) {
            all.push(must("cpu", "cpu.weight", weight_of_shares(shares)));
        }
        let quota = cpu.quota().filter(|&quota| quota != 0);
        let period = cpu.period().filter(|&period| period != 0);
        if quota.is_some() || period.is_some() {
            let quota = quota.map_or("max".to_owned(), max);
            all.push(must("cpu", "cpu.max", format!("{quota} {}", period.unwrap_or(100_000))));
        }
        if let Some(burst) = cpu.burst() {
            all.push(may("cpu", "cpu.max.burst", burst));
        }
        if let Some(idle) = cpu.idle() {
            all.push(may("cpu", "cpu.idle", idle));
        }
        all.extend(cpuset(cpu.cpus().as_deref(), cpu.mems().as_deref()));
    }
    if let Some(pids) = resources.pids() {
        all.push(must("pids", "pids.max", if pids.limit() > 0 { pids.limit().to_string() } else { "max".into() }));
    }
    if let Some(io) = resources.block_io() {
        if let Some(weight) = io.weight().filter(|&weight| weight != 0) {
            all.push(may("io", "io.bfq.weight", weight));
            all.push(may("io", "io.weight", format!("default {}", io_weight(weight))));
        }
        for device in io.weight_device().iter().flatten() {
            if let Some(weight) = device.weight().filter(|&weight| weight != 0) {
                let number = format!("{}:{}", device.major(), device.minor());
                all.push(may("io", "io.bfq.weight", format!("{number} {weight}")));
                all.push(may("io", "io.weight", format!("{number} {}", io_weight(weight))));
            }
        }
        for (devices, key) in throttles(io).into_iter().zip(["rbps", "wbps", "riops", "wiops"]) {
            for device in devices {
                let value = format!("{}:{} {key}={}", device.major(), device.minor(), device.rate());
                all.push(must("io", "io.max", value));
            }
        }
    }
    for limit in resources.hugepage_limits().iter().flatten() {
        all.push(must("hugetlb", format!("hugetlb.{}.max", limit.page_size()), max(limit.limit())));
    }
    let mut unified: Vec<_> = resources.unified().iter().flatten().collect();
    unified.sort();
    for (file, value) in unified {
        all.push(must("unified", file, value));
    }
    all
}

fn throttles(io: &LinuxBlockIo) -> [&[LinuxThrottleDevice]; 4] {
    [
        io.throttle_read_bps_device().as_deref().unwrap_or_default(),
        io.throttle_write_bps_device().as_deref().unwrap_or_default(),
        io.throttle_read_iops_device().as_deref().unwrap_or_default(),
        io.throttle_write_iops_device().as_deref().unwrap_or_default(),
    ]
}

fn cpuset(cpus: Option<&str>, mems: Option<&str>) -> Vec<Setting> {
    let given = |value: Option<&str>| value.filter(|value| !value.is_empty()).map(str::to_owned);
    let cpus = given(cpus).map(|cpus| must("cpuset", "cpuset.cpus", cpus));
    let mems = given(mems).map(|mems| must("cpuset", "cpuset.mems", mems));
    cpus.into_iter().chain(mems).collect()
}

pub(super) fn v1(resources: &LinuxResources) -> Vec<Setting> {
    let mut all = Vec::new();
    if let Some(memory) = resources.memory() {
        if let Some(limit) = memory.limit().filter(|&limit| limit != 0) {
            all.push(must("memory", "memory.limit_in_bytes", limit));
        }
        if let Some(swap) = memory.swap().filter(|&swap| swap != 0) {
            all.push(may("memory", "memory.memsw.limit_in_bytes", swap));
        }
        if let Some(reservation) = memory.reservation().filter(|&r| r != 0) {
            all.push(must("memory", "memory.soft_limit_in_bytes", reservation));
        }
        if let Some(swappiness) = memory.swappiness().filter(|&s| s <= 200) {
            all.push(may("memory", "memory.swappiness", swappiness));
        }
        if memory.disable_oom_killer() == Some(true) {
            all.push(may("memory", "memory.oom_control", 1));
        }
    }
    if let Some(cpu) = resources.cpu() {
        if let Some(shares) = cpu.shares().filter(|&shares| shares != 0) {
            all.push(must("cpu", "cpu.shares", shares.clamp(2, 262_144)));
        }
        if let Some(period) = cpu.period().filter(|&period| period != 0) {
            all.push(must("cpu", "cpu.cfs_period_us", period));
        }
        if let Some(quota) = cpu.quota().filter(|&quota| quota != 0) {
            all.push(must("cpu", "cpu.cfs_quota_us", quota));
        }
        if let Some(period) = cpu.realtime_period().filter(|&period| period != 0) {
            all.push(may("cpu", "cpu.rt_period_us", period));
        }
        if let Some(runtime) = cpu.realtime_runtime().filter(|&runtime| runtime != 0) {
            all.push(may("cpu", "cpu.rt_runtime_us", runtime));
        }
        all.extend(cpuset(cpu.cpus().as_deref(), cpu.mems().as_deref()));
    }
    if let Some(pids) = resources.pids() {
        all.push(must("pids", "pids.max", if pids.limit() > 0 { pids.limit().to_string() } else { "max".into() }));
    }
    if let Some(io) = resources.block_io() {
        if let Some(weight) = io.weight().filter(|&weight| weight != 0) {
            all.push(may("blkio", "blkio.bfq.weight", weight));
            all.push(may("blkio", "blkio.weight", weight));
        }
        for device in io.weight_device().iter().flatten() {
            if let Some(weight) = device.weight().filter(|&weight| weight != 0) {
                let value = format!("{}:{} {weight}", device.major(), device.minor());
                all.push(may("blkio", "blkio.bfq.weight_device", value.clone()));
                all.push(may("blkio", "blkio.weight_device", value));
            }
        }
        let files = ["read_bps", "write_bps", "read_iops", "write_iops"];
        for (devices, file) in throttles(io).into_iter().zip(files) {
            for device in devices {
                let value = format!("{}:{} {}", device.major(), device.minor(), device.rate());
                all.push(must("blkio", format!("blkio.throttle.{file}_device"), value));
            }
        }
    }
    for limit in resources.hugepage_limits().iter().flatten() {
        all.push(must("hugetlb", format!("hugetlb.{}.limit_in_bytes", limit.page_size()), limit.limit()));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::{
        LinuxBlockIoBuilder, LinuxCpuBuilder, LinuxMemoryBuilder, LinuxPidsBuilder, LinuxResourcesBuilder,
        LinuxThrottleDeviceBuilder,
    };
    use proptest::prelude::*;

    fn lines(all: &[Setting]) -> Vec<String> {
        all.iter().map(|s| format!("{}={}", s.file, s.value)).collect()
    }

    fn resources() -> LinuxResources {
        let disk = LinuxThrottleDeviceBuilder::default().major(8).minor(0).rate(1_000_000u64).build().unwrap();
        LinuxResourcesBuilder::default()
            .memory(LinuxMemoryBuilder::default().limit(64 << 20).swap(96 << 20).build().unwrap())
            .cpu(LinuxCpuBuilder::default().shares(512u64).quota(50_000).cpus("0-1").build().unwrap())
            .pids(LinuxPidsBuilder::default().limit(100).build().unwrap())
            .block_io(LinuxBlockIoBuilder::default().throttle_write_bps_device(vec![disk]).build().unwrap())
            .build()
            .unwrap()
    }

    #[test]
    fn v2_files() {
        assert_eq!(
            lines(&v2(&resources())),
            [
                "memory.max=67108864",
                "memory.swap.max=33554432",
                "cpu.weight=20",
                "cpu.max=50000 100000",
                "cpuset.cpus=0-1",
                "pids.max=100",
                "io.max=8:0 wbps=1000000",
            ]
        );
    }

    #[test]
    fn v1_files() {
        assert_eq!(
            lines(&v1(&resources())),
            [
                "memory.limit_in_bytes=67108864",
                "memory.memsw.limit_in_bytes=100663296",
                "cpu.shares=512",
                "cpu.cfs_quota_us=50000",
                "cpuset.cpus=0-1",
                "pids.max=100",
                "blkio.throttle.write_bps_device=8:0 1000000",
            ]
        );
    }

    #[test]
    fn no_limit_is_said_so() {
        let unlimited = LinuxResourcesBuilder::default()
            .memory(LinuxMemoryBuilder::default().limit(-1).swap(-1).build().unwrap())
            .cpu(LinuxCpuBuilder::default().quota(-1).build().unwrap())
            .pids(LinuxPidsBuilder::default().limit(-1).build().unwrap())
            .build()
            .unwrap();
        assert_eq!(
            lines(&v2(&unlimited)),
            ["memory.max=max", "memory.swap.max=max", "cpu.max=max 100000", "pids.max=max"]
        );
    }

    proptest! {
        #[test]
        fn weights_are_in_range_and_monotonic(a in any::<u64>(), b in any::<u64>(), c in any::<u16>()) {
            let (a, b) = (a.min(b), a.max(b));
            let (low, high) = (weight_of_shares(a), weight_of_shares(b));
            prop_assert!((1..=10_000).contains(&low) && low <= high && high <= 10_000);
            prop_assert!((1..=10_000).contains(&io_weight(c)));
        }
    }
}
