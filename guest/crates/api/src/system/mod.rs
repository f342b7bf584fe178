//! `/_ping`, `/version`, `/info`, `/events`, `/auth`, `/system/df`, and the pages of what is off here (swarm, plugins).

mod auth;
mod df;
mod events;
mod info;
mod off;
mod ping;
mod version;

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post},
};
use cubby_engine::Engine;

pub fn routes() -> Router<Arc<Engine>> {
    Router::new()
        .route("/_ping", get(ping::ping).head(ping::ping))
        .route("/version", get(version::version))
        .route("/info", get(info::info))
        .route("/events", get(events::events))
        .route("/auth", post(auth::auth))
        .route("/system/df", get(df::df))
        .merge(off::routes())
}
