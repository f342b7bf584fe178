//! Mounts: as asked (`HostConfig.Mounts`) and as resolved (`Mounts` of inspect).

use std::collections::BTreeMap;

use super::go::{go_struct, is_zero};

go_struct! {
    /// Source: moby `mount.Mount`.
    pub struct MountSpec {
        #[serde(skip_serializing_if = "is_zero")]
        "Type" kind: String,
        #[serde(skip_serializing_if = "is_zero")]
        "Source" source: String,
        #[serde(skip_serializing_if = "is_zero")]
        "Target" target: String,
        #[serde(skip_serializing_if = "is_zero")]
        "ReadOnly" read_only: bool,
        #[serde(skip_serializing_if = "is_zero")]
        "Consistency" consistency: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        "BindOptions" bind_options: Option<BindOptions>,
        #[serde(skip_serializing_if = "Option::is_none")]
        "VolumeOptions" volume_options: Option<VolumeOptions>,
        #[serde(skip_serializing_if = "Option::is_none")]
        "ImageOptions" image_options: Option<ImageOptions>,
        #[serde(skip_serializing_if = "Option::is_none")]
        "TmpfsOptions" tmpfs_options: Option<TmpfsOptions>,
    }
}

go_struct! {
    pub struct BindOptions {
        #[serde(skip_serializing_if = "is_zero")]
        "Propagation" propagation: String,
        #[serde(skip_serializing_if = "is_zero")]
        "NonRecursive" non_recursive: bool,
        #[serde(skip_serializing_if = "is_zero")]
        "CreateMountpoint" create_mountpoint: bool,
        #[serde(skip_serializing_if = "is_zero")]
        "ReadOnlyNonRecursive" read_only_non_recursive: bool,
        #[serde(skip_serializing_if = "is_zero")]
        "ReadOnlyForceRecursive" read_only_force_recursive: bool,
    }
}

go_struct! {
    pub struct VolumeOptions {
        #[serde(skip_serializing_if = "is_zero")]
        "NoCopy" no_copy: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        "Labels" labels: Option<BTreeMap<String, String>>,
        #[serde(skip_serializing_if = "is_zero")]
        "Subpath" subpath: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        "DriverConfig" driver_config: Option<DriverConfig>,
    }
}

go_struct! {
    pub struct DriverConfig {
        #[serde(skip_serializing_if = "is_zero")]
        "Name" name: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        "Options" options: Option<BTreeMap<String, String>>,
    }
}

go_struct! {
    pub struct ImageOptions {
        #[serde(skip_serializing_if = "is_zero")]
        "Subpath" subpath: String,
    }
}

go_struct! {
    pub struct TmpfsOptions {
        #[serde(skip_serializing_if = "is_zero")]
        "SizeBytes" size_bytes: i64,
        #[serde(skip_serializing_if = "is_zero")]
        "Mode" mode: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        "Options" options: Option<Vec<Vec<String>>>,
    }
}

go_struct! {
    /// A mount of a container as inspect shows it. Source: moby `container.MountPoint`.
    pub struct MountPoint {
        #[serde(skip_serializing_if = "is_zero")]
        "Type" kind: String,
        #[serde(skip_serializing_if = "is_zero")]
        "Name" name: String,
        "Source" source: String,
        "Destination" destination: String,
        #[serde(skip_serializing_if = "is_zero")]
        "Driver" driver: String,
        "Mode" mode: String,
        "RW" rw: bool,
        "Propagation" propagation: String,
    }
}
