//! The image config: what an image says about itself. Docker's and OCI's documents share it.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::{digest::Digest, platform::Platform};

/// An object whose keys matter and whose values are `{}`: ports and volumes.
pub type KeySet = BTreeMap<String, Empty>;

/// `{}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// Defaults for containers of an image.
///
/// Null and absent are one. Source: OCI image spec `config`, and moby `container.Config` for what OCI lacks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageConfig {
    #[serde(deserialize_with = "null_as_default")]
    pub user: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exposed_ports: Option<KeySet>,
    #[serde(deserialize_with = "null_as_default")]
    pub env: Vec<String>,
    pub entrypoint: Option<Vec<String>>,
    pub cmd: Option<Vec<String>>,
    pub volumes: Option<KeySet>,
    #[serde(deserialize_with = "null_as_default")]
    pub working_dir: String,
    pub labels: Option<HashMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<HealthConfig>,
    pub on_build: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub args_escaped: Option<bool>,
}

/// How to tell whether a container is well. Durations in nanoseconds; 0 means inherit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HealthConfig {
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub test: Vec<String>,
    #[serde(skip_serializing_if = "is_zero")]
    pub interval: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub timeout: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub start_period: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub start_interval: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub retries: i64,
}

fn is_zero(value: &i64) -> bool {
    *value == 0
}

/// The whole config document. Its digest is the image's id, so the bytes are kept as they came; this is their reading.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageFile {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "String::is_empty")]
    pub author: String,
    #[serde(deserialize_with = "null_as_default")]
    pub architecture: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    #[serde(deserialize_with = "null_as_default")]
    pub os: String,
    #[serde(rename = "os.version", skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "String::is_empty")]
    pub comment: String,
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "String::is_empty")]
    pub docker_version: String,
    #[serde(deserialize_with = "null_as_default")]
    pub config: ImageConfig,
    #[serde(deserialize_with = "null_as_default")]
    pub rootfs: RootFs,
    #[serde(deserialize_with = "null_as_default")]
    pub history: Vec<History>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RootFs {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(deserialize_with = "null_as_default")]
    pub diff_ids: Vec<Digest>,
}

/// One step of how the image came to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "String::is_empty")]
    pub created_by: String,
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "String::is_empty")]
    pub author: String,
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "String::is_empty")]
    pub comment: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
}

impl ImageFile {
    pub fn parse(bytes: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(bytes)
    }

    pub fn platform(&self) -> Platform {
        Platform { os: self.os.clone(), architecture: self.architecture.clone(), variant: self.variant.clone() }
    }

    /// The chain id of the topmost layer.
    pub fn chain_id(&self) -> Option<Digest> {
        self.rootfs.diff_ids.iter().fold(None, |parent, diff| Some(Digest::chain(parent.as_ref(), diff)))
    }
}

/// A member of the config document as it came, for answers that have more than we read.
pub fn raw_member(document: &[u8], name: &str) -> Option<Box<RawValue>> {
    serde_json::from_slice::<HashMap<String, Box<RawValue>>>(document).ok()?.remove(name)
}

fn null_as_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_and_unknown_members_are_tolerated() {
        let file = ImageFile::parse(
            br#"{"architecture":"amd64","os":"linux","config":{"User":null,"Env":null,"Cmd":["sh"],"ExposedPorts":
            {"80/tcp":{}},"Healthcheck":{"Test":["CMD","true"],"Interval":5},"Future":1},"rootfs":{"type":"layers",
            "diff_ids":null},"history":null,"author":null}"#,
        )
        .unwrap();
        assert_eq!(file.config.cmd.as_deref(), Some(["sh".to_owned()].as_slice()));
        assert!(file.config.exposed_ports.unwrap().contains_key("80/tcp"));
        assert_eq!(file.config.healthcheck.unwrap().interval, 5);
        assert!(file.rootfs.diff_ids.is_empty());
    }
}
