//! `/containers/…`. Source: API 1.50, moby api/server/router/container.

mod archive;
mod attach;
mod create;
pub(crate) mod hijack;
mod inspect;
mod lifecycle;
mod list;
mod logs;
pub(crate) mod session;
mod stats;
mod wait;
mod websocket;

use std::sync::Arc;

use axum::{
    Router,
    routing::{delete, get, post},
};
use cubby_engine::Engine;

pub(crate) use lifecycle::size as lifecycle_size;

pub fn routes() -> Router<Arc<Engine>> {
    Router::new()
        .route("/containers/json", get(list::list))
        .route("/containers/create", post(create::create))
        .route("/containers/prune", post(lifecycle::prune))
        .route("/containers/{id}", delete(lifecycle::remove))
        .route("/containers/{id}/{alias}", delete(lifecycle::remove_linked))
        .route("/containers/{id}/json", get(inspect::inspect))
        .route("/containers/{id}/logs", get(logs::logs))
        .route("/containers/{id}/stats", get(stats::stats))
        .route("/containers/{id}/top", get(stats::top))
        .route("/containers/{id}/archive", get(archive::get).head(archive::head).put(archive::put))
        .route("/containers/{id}/export", get(archive::export))
        .route("/containers/{id}/changes", get(archive::changes))
        .route("/containers/{id}/start", post(lifecycle::start))
        .route("/containers/{id}/stop", post(lifecycle::stop))
        .route("/containers/{id}/restart", post(lifecycle::restart))
        .route("/containers/{id}/kill", post(lifecycle::kill))
        .route("/containers/{id}/pause", post(lifecycle::pause))
        .route("/containers/{id}/unpause", post(lifecycle::unpause))
        .route("/containers/{id}/rename", post(lifecycle::rename))
        .route("/containers/{id}/update", post(lifecycle::update))
        .route("/containers/{id}/resize", post(lifecycle::resize))
        .route("/containers/{id}/wait", post(wait::wait))
        .route("/containers/{id}/attach", post(attach::attach))
        .route("/containers/{id}/attach/ws", get(websocket::attach))
        // Ours: what Docker's API has no request for.
        .route("/cubby/containers/{id}/files", get(archive::directory))
}
