//! What a volume is: the part that is kept.

use std::collections::HashMap;

use bollard_stubs::models::{Volume, VolumeScopeEnum, VolumeUsageData};
use serde::{Deserialize, Serialize};

/// Label of volumes that nobody named. Source: moby volume/service.
pub const ANONYMOUS: &str = "com.docker.volume.anonymous";

/// One object of `kind = "volume"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeRecord {
    pub name: String,
    /// RFC 3339, to the second as dockerd shows it.
    pub created: String,
    pub labels: HashMap<String, String>,
    /// Of the `local` driver: `type`, `device`, `o`.
    pub options: HashMap<String, String>,
}

impl VolumeRecord {
    pub fn is_anonymous(&self) -> bool {
        self.labels.contains_key(ANONYMOUS)
    }

    /// Docker's shape.
    pub fn describe(&self, mountpoint: String, usage: Option<VolumeUsageData>) -> Volume {
        Volume {
            name: self.name.clone(),
            driver: "local".to_owned(),
            mountpoint,
            created_at: Some(self.created.clone()),
            status: None,
            labels: self.labels.clone(),
            scope: Some(VolumeScopeEnum::LOCAL),
            cluster_volume: None,
            options: self.options.clone(),
            usage_data: usage,
        }
    }
}
