//! `GET /version`. Source: API 1.50 `SystemVersion`.

use std::sync::Arc;

use axum::{Json, extract::State};
use cubby_engine::Engine;
use serde_json::{Value, json};

use crate::version::ApiVersion;

/// The dockerd whose behaviour is mirrored. Tools gate features on this number, so it must be one that they know;
/// our own version stands beside it as a component of its own.
pub const DOCKER_VERSION: &str = "28.2.2";

pub async fn version(State(engine): State<Arc<Engine>>) -> Json<Value> {
    let host = engine.host();
    let own = env!("CARGO_PKG_VERSION");
    Json(json!({
        "Platform": { "Name": format!("Cubby {own}") },
        "Components": [
            {
                "Name": "Engine",
                "Version": DOCKER_VERSION,
                "Details": {
                    "ApiVersion": ApiVersion::MAX.to_string(),
                    "Arch": host.go_arch,
                    "BuildTime": "",
                    "Experimental": "false",
                    "GitCommit": "",
                    "GoVersion": "",
                    "KernelVersion": host.kernel,
                    "MinAPIVersion": ApiVersion::MIN.to_string(),
                    "Os": "linux",
                },
            },
            { "Name": "cubbyd", "Version": own, "Details": { "GitCommit": "" } },
        ],
        "Version": DOCKER_VERSION,
        "ApiVersion": ApiVersion::MAX.to_string(),
        "MinAPIVersion": ApiVersion::MIN.to_string(),
        "GitCommit": "",
        "GoVersion": "",
        "Os": "linux",
        "Arch": host.go_arch,
        "KernelVersion": host.kernel,
        "BuildTime": "",
    }))
}
