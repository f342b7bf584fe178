//! What the host pushes.
//!
//! Consistency: a client first listens, then asks for [`Snapshot`], then drops every [`Change`] whose revision the snapshot
//! already has. A client that fell behind (a lagged broadcast receiver) asks for a snapshot again.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::{Container, Engines, Image, Job, MachineState, Network, News, Volume};

/// One event; revisions grow by one each and start anew with the process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Change {
    pub revision: u64,
    pub event: Event,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    Machine {
        machine: MachineState,
    },
    /// New or changed: replaces the row with this id.
    Container {
        container: Container,
    },
    ContainerRemoved {
        id: String,
    },
    /// The whole list, after the engine (re)connected or went away (empty).
    Containers {
        containers: Vec<Container>,
    },
    /// The whole list: images are few and change rarely.
    Images {
        images: Vec<Image>,
    },
    /// The whole list.
    Volumes {
        volumes: Vec<Volume>,
    },
    /// The whole list.
    Networks {
        networks: Vec<Network>,
    },
    /// New or changed: replaces the job with this id.
    Job {
        job: Job,
    },
    JobRemoved {
        id: u32,
    },
    Engines {
        engines: Engines,
    },
    /// Told once; not part of the snapshot.
    News {
        news: News,
    },
}

/// Everything the UI shows, at one revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Snapshot {
    pub revision: u64,
    pub machine: MachineState,
    pub containers: Vec<Container>,
    pub images: Vec<Image>,
    pub volumes: Vec<Volume>,
    pub networks: Vec<Network>,
    pub jobs: Vec<Job>,
    pub engines: Engines,
    pub app_version: String,
}
