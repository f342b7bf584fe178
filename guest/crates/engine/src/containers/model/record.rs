//! Everything the engine remembers of a container: one row of the state database, one immutable value in memory.

use std::{collections::BTreeMap, time::SystemTime};

use serde::{Deserialize, Serialize};

use super::{Config, Endpoint, Health, HostConfig, MountPoint, MountSpec, PortMap};

/// A container at one moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    pub id: String,
    /// Without the slash.
    pub name: String,
    pub created: SystemTime,
    pub path: String,
    pub args: Vec<String>,
    pub config: Config,
    pub host_config: HostConfig,
    /// `sha256:…`
    pub image_id: String,
    pub state: State,
    pub restart_count: u32,
    pub mounts: Vec<MountRecord>,
    pub networks: BTreeMap<String, Endpoint>,
    /// What is published now; empty while not running.
    pub ports: PortMap,
    pub sandbox_key: String,
    /// Legacy links: alias → id of the other container.
    #[serde(default)]
    pub links: BTreeMap<String, String>,
    /// Variables of the present run about them, and of the way out.
    #[serde(default)]
    pub linked_env: Vec<String>,
    #[serde(default)]
    pub started_before: bool,
    #[serde(default)]
    pub manually_stopped: bool,
    /// A start is at work: a crash then leaves things to give back.
    #[serde(default)]
    pub starting: bool,
    /// A removal is to take the anonymous volumes, too.
    #[serde(default)]
    pub remove_volumes: bool,
    /// False while create is at work: a crash then undoes it.
    #[serde(default)]
    pub complete: bool,
}

/// One mount: what inspect shows, and what start needs to make it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MountRecord {
    pub point: MountPoint,
    pub spec: MountSpec,
    /// An empty volume starts with what the image has at the destination.
    #[serde(default)]
    pub copy_up: bool,
    /// A missing source directory is made (`-v`, not `--mount`).
    #[serde(default)]
    pub create_source: bool,
    /// Made for this container alone.
    #[serde(default)]
    pub anonymous: bool,
}

/// Source: moby `container.State`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    pub running: bool,
    pub paused: bool,
    pub restarting: bool,
    pub oom_killed: bool,
    pub removing: bool,
    pub dead: bool,
    pub pid: i32,
    pub exit_code: i32,
    pub error: String,
    pub started_at: Option<SystemTime>,
    pub finished_at: Option<SystemTime>,
    pub health: Option<Health>,
}

impl State {
    /// Docker's word for it.
    pub fn status(&self) -> &'static str {
        match self {
            Self { running: true, paused: true, .. } => "paused",
            Self { running: true, restarting: true, .. } => "restarting",
            Self { running: true, .. } => "running",
            Self { removing: true, .. } => "removing",
            Self { dead: true, .. } => "dead",
            Self { started_at: None, .. } => "created",
            _ => "exited",
        }
    }

    /// True when there is a process: neither stopped nor between two runs.
    pub fn has_process(&self) -> bool {
        self.running && !self.restarting
    }

    pub fn health_status(&self) -> &str {
        self.health.as_ref().map_or("none", |health| health.status.as_str())
    }
}

impl Record {
    /// Attributes of every event about this container.
    pub fn event_attributes(&self) -> std::collections::HashMap<String, String> {
        let mut attributes: std::collections::HashMap<String, String> =
            self.config.labels().map(|(key, value)| (key.clone(), value.clone())).collect();
        if !self.config.image.is_empty() {
            attributes.insert("image".to_owned(), self.config.image.clone());
        }
        attributes.insert("name".to_owned(), self.name.clone());
        attributes
    }
}
