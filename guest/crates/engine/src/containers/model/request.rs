//! Bodies of create and update.

use serde::{Deserialize, Serialize};

use super::{Config, HostConfig, NetworkingConfig, RestartPolicy, go::nil, resources::Resources};

/// `POST /containers/create`: the config itself with two more members.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CreateRequest {
    #[serde(flatten)]
    pub config: Config,
    #[serde(rename = "HostConfig", deserialize_with = "nil")]
    pub host_config: HostConfig,
    #[serde(rename = "NetworkingConfig", deserialize_with = "nil")]
    pub networking_config: NetworkingConfig,
}

/// The answer to create.
#[derive(Clone, Debug, Serialize)]
pub struct Created {
    #[serde(rename = "Id")]
    pub id: String,
    #[serde(rename = "Warnings")]
    pub warnings: Vec<String>,
}

/// `POST /containers/{id}/update`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct UpdateRequest {
    #[serde(flatten)]
    pub resources: Resources,
    #[serde(rename = "RestartPolicy", deserialize_with = "nil")]
    pub restart_policy: RestartPolicy,
}
