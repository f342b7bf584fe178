//! Bodies of create and update.

use serde::Serialize;

use super::{Config, HostConfig, NetworkingConfig, RestartPolicy, go::go_struct, resources::Resources};

go_struct! {
    /// `POST /containers/create`: the config itself with two more members.
    pub struct CreateRequest {
        "HostConfig" host_config: HostConfig,
        "NetworkingConfig" networking_config: NetworkingConfig,
        // None: not one member of it was sent, which is refused.
        ; flatten config: Option<Config>
    }
}

/// The answer to create.
#[derive(Clone, Debug, Serialize)]
pub struct Created {
    #[serde(rename = "Id")]
    pub id: String,
    #[serde(rename = "Warnings")]
    pub warnings: Vec<String>,
}

go_struct! {
    /// `POST /containers/{id}/update`.
    pub struct UpdateRequest {
        "RestartPolicy" restart_policy: RestartPolicy,
        ; flatten resources: Resources
    }
}
