//! What Cubby does not have answers as a dockerd on which it is off: no swarm, no plugins.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::Path,
    http::StatusCode,
    routing::{any, delete, get, post},
};
use cubby_engine::Engine;
use serde_json::{Value, json};

use crate::error::ApiError;

const NOT_A_MANAGER: &str = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to \
                             connect this node to swarm and try again.";

pub fn routes() -> Router<Arc<Engine>> {
    let mut router = Router::new();
    for page in ["swarm", "services", "tasks", "nodes", "secrets", "configs"] {
        router = router.route(&format!("/{page}"), any(not_a_manager));
        router = router.route(&format!("/{page}/{{*rest}}"), any(not_a_manager));
    }
    router
        .route("/swarm/init", post(swarm_unsupported))
        .route("/swarm/join", post(swarm_unsupported))
        .route("/swarm/leave", post(not_in_a_swarm))
        .route("/plugins", get(no_plugins))
        .route("/plugins/privileges", get(plugins_unsupported))
        .route("/plugins/pull", post(plugins_unsupported))
        .route("/plugins/create", post(plugins_unsupported))
        .route("/plugins/{name}", delete(no_such_plugin))
        .route("/plugins/{name}/json", get(no_such_plugin))
        .route("/plugins/{name}/{verb}", post(no_such_plugin_to))
}

async fn not_a_manager() -> ApiError {
    ApiError::with_status(StatusCode::SERVICE_UNAVAILABLE, NOT_A_MANAGER)
}

async fn not_in_a_swarm() -> ApiError {
    ApiError::with_status(StatusCode::SERVICE_UNAVAILABLE, "This node is not part of a swarm")
}

async fn swarm_unsupported() -> ApiError {
    ApiError::with_status(StatusCode::NOT_IMPLEMENTED, "swarm mode is not supported by this engine")
}

async fn no_plugins() -> Json<Value> {
    Json(json!([]))
}

async fn plugins_unsupported() -> ApiError {
    ApiError::with_status(StatusCode::NOT_IMPLEMENTED, "plugins are not supported by this engine")
}

/// `enable`, `disable`, `upgrade`, `push`, `set`.
async fn no_such_plugin_to(Path((name, _)): Path<(String, String)>) -> ApiError {
    no_such_plugin(Path(name)).await
}

async fn no_such_plugin(Path(name): Path<String>) -> ApiError {
    ApiError::with_status(StatusCode::NOT_FOUND, format!("plugin {name:?} not found"))
}
