//! Limits.

use std::os::unix::fs::MetadataExt;

use oci_spec::runtime::{
    LinuxBlockIo, LinuxCpu, LinuxDeviceCgroup, LinuxMemory, LinuxPids, LinuxResources, LinuxThrottleDevice,
    LinuxThrottleDeviceBuilder, LinuxWeightDevice, LinuxWeightDeviceBuilder,
};

use crate::containers::model::{HostConfig, Resources, ThrottleDevice, WeightDevice};

/// Period against which `--cpus` is measured.
const PERIOD_US: u64 = 100_000;

/// # Errors
/// A text, for block devices that are not there.
pub fn of(host: &HostConfig, rules: Vec<LinuxDeviceCgroup>) -> Result<LinuxResources, String> {
    let asked = &host.resources;
    let mut resources = LinuxResources::default();
    resources
        .set_devices(Some(rules))
        .set_memory(Some(memory(asked)))
        .set_cpu(Some(cpu(asked)))
        .set_block_io(Some(block_io(asked)?))
        .set_pids(asked.pids_limit.map(|limit| {
            let mut pids = LinuxPids::default();
            pids.set_limit(limit);
            pids
        }));
    Ok(resources)
}

fn memory(asked: &Resources) -> LinuxMemory {
    let mut memory = LinuxMemory::default();
    let given = |value: i64| (value != 0).then_some(value);
    memory
        .set_limit(given(asked.memory))
        .set_reservation(given(asked.memory_reservation))
        .set_swap(given(asked.memory_swap))
        .set_swappiness(asked.memory_swappiness.and_then(|value| u64::try_from(value).ok()))
        .set_disable_oom_killer(asked.oom_kill_disable);
    memory
}

fn cpu(asked: &Resources) -> LinuxCpu {
    let mut cpu = LinuxCpu::default();
    let positive = |value: i64| u64::try_from(value).ok().filter(|value| *value > 0);
    let text = |value: &str| (!value.is_empty()).then(|| value.to_owned());
    cpu.set_shares(positive(asked.cpu_shares))
        .set_period(positive(asked.cpu_period))
        .set_quota((asked.cpu_quota != 0).then_some(asked.cpu_quota))
        .set_cpus(text(&asked.cpuset_cpus))
        .set_mems(text(&asked.cpuset_mems))
        .set_realtime_period(positive(asked.cpu_realtime_period))
        .set_realtime_runtime((asked.cpu_realtime_runtime != 0).then_some(asked.cpu_realtime_runtime));
    if asked.nano_cpus > 0 {
        let quota = i128::from(asked.nano_cpus) * i128::from(PERIOD_US) / 1_000_000_000;
        cpu.set_period(Some(PERIOD_US)).set_quota(i64::try_from(quota).ok());
    }
    cpu
}

fn block_io(asked: &Resources) -> Result<LinuxBlockIo, String> {
    let mut block_io = LinuxBlockIo::default();
    let weights = asked.blkio_weight_device.iter().flatten().map(weight).collect::<Result<Vec<_>, _>>()?;
    block_io
        .set_weight((asked.blkio_weight > 0).then_some(asked.blkio_weight))
        .set_weight_device(Some(weights))
        .set_throttle_read_bps_device(Some(throttles(&asked.blkio_device_read_bps)?))
        .set_throttle_write_bps_device(Some(throttles(&asked.blkio_device_write_bps)?))
        .set_throttle_read_iops_device(Some(throttles(&asked.blkio_device_read_iops)?))
        .set_throttle_write_iops_device(Some(throttles(&asked.blkio_device_write_iops)?));
    Ok(block_io)
}

fn weight(device: &WeightDevice) -> Result<LinuxWeightDevice, String> {
    let (major, minor) = numbers(&device.path)?;
    let built = LinuxWeightDeviceBuilder::default().major(major).minor(minor).weight(device.weight).build();
    built.map_err(|error| error.to_string())
}

fn throttles(devices: &Option<Vec<ThrottleDevice>>) -> Result<Vec<LinuxThrottleDevice>, String> {
    let throttle = |device: &ThrottleDevice| {
        let (major, minor) = numbers(&device.path)?;
        let built = LinuxThrottleDeviceBuilder::default().major(major).minor(minor).rate(device.rate).build();
        built.map_err(|error| error.to_string())
    };
    devices.iter().flatten().map(throttle).collect()
}

fn numbers(path: &str) -> Result<(i64, i64), String> {
    let found = std::fs::metadata(path).map_err(|_| format!("stat {path}: no such file or directory"))?;
    Ok((rustix::fs::major(found.rdev()).into(), rustix::fs::minor(found.rdev()).into()))
}
