//! Limits, devices, ulimits.

use std::collections::BTreeMap;

use super::go::{go_struct, is_zero};

go_struct! {
    /// Source: moby `container.Resources`.
    pub struct Resources {
        "CpuShares" cpu_shares: i64,
        "Memory" memory: i64,
        "NanoCpus" nano_cpus: i64,
        "CgroupParent" cgroup_parent: String,
        "BlkioWeight" blkio_weight: u16,
        "BlkioWeightDevice" blkio_weight_device: Option<Vec<WeightDevice>>,
        "BlkioDeviceReadBps" blkio_device_read_bps: Option<Vec<ThrottleDevice>>,
        "BlkioDeviceWriteBps" blkio_device_write_bps: Option<Vec<ThrottleDevice>>,
        "BlkioDeviceReadIOps" blkio_device_read_iops: Option<Vec<ThrottleDevice>>,
        "BlkioDeviceWriteIOps" blkio_device_write_iops: Option<Vec<ThrottleDevice>>,
        "CpuPeriod" cpu_period: i64,
        "CpuQuota" cpu_quota: i64,
        "CpuRealtimePeriod" cpu_realtime_period: i64,
        "CpuRealtimeRuntime" cpu_realtime_runtime: i64,
        "CpusetCpus" cpuset_cpus: String,
        "CpusetMems" cpuset_mems: String,
        "Devices" devices: Option<Vec<Device>>,
        "DeviceCgroupRules" device_cgroup_rules: Option<Vec<String>>,
        "DeviceRequests" device_requests: Option<Vec<DeviceRequest>>,
        #[serde(skip_serializing_if = "is_zero")]
        "KernelMemory" kernel_memory: i64,
        #[serde(skip_serializing_if = "is_zero")]
        "KernelMemoryTCP" kernel_memory_tcp: i64,
        "MemoryReservation" memory_reservation: i64,
        "MemorySwap" memory_swap: i64,
        "MemorySwappiness" memory_swappiness: Option<i64>,
        "OomKillDisable" oom_kill_disable: Option<bool>,
        "PidsLimit" pids_limit: Option<i64>,
        "Ulimits" ulimits: Option<Vec<Ulimit>>,
        "CpuCount" cpu_count: i64,
        "CpuPercent" cpu_percent: i64,
        "IOMaximumIOps" io_maximum_iops: u64,
        "IOMaximumBandwidth" io_maximum_bandwidth: u64,
    }
}

go_struct! {
    pub struct WeightDevice {
        "Path" path: String,
        "Weight" weight: u16,
    }
}

go_struct! {
    pub struct ThrottleDevice {
        "Path" path: String,
        "Rate" rate: u64,
    }
}

go_struct! {
    pub struct Device {
        "PathOnHost" path_on_host: String,
        "PathInContainer" path_in_container: String,
        "CgroupPermissions" cgroup_permissions: String,
    }
}

go_struct! {
    pub struct DeviceRequest {
        "Driver" driver: String,
        "Count" count: i64,
        "DeviceIDs" device_ids: Option<Vec<String>>,
        "Capabilities" capabilities: Option<Vec<Vec<String>>>,
        "Options" options: Option<BTreeMap<String, String>>,
    }
}

go_struct! {
    pub struct Ulimit {
        "Name" name: String,
        "Hard" hard: i64,
        "Soft" soft: i64,
    }
}
