//! `/images/…`: list, inspect, history, tag, remove, prune, load, save, pull.
//!
//! Image names contain slashes, which no router pattern between fixed parts allows: one wildcard takes the whole rest
//! of the path, and [`by_name`] tells the endpoints apart by what it ends in.

mod by_name;
mod commit;
mod config;
mod create;
mod distribution;
mod ext;
mod inspect;
mod list;
mod load;
mod manifests;
pub mod platform;
mod save;
mod search;
pub(crate) mod stream;

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post},
};
use cubby_engine::Engine;

pub use ext::{proxies, registry_config};
pub use list::usage_summaries;

pub fn routes() -> Router<Arc<Engine>> {
    Router::new()
        .route("/images/json", get(list::list))
        .route("/images/load", post(load::load))
        .route("/images/create", post(create::create))
        .route("/commit", post(commit::commit))
        .route("/images/prune", post(list::prune))
        .route("/images/get", get(save::many))
        .route("/images/search", get(search::search))
        .route("/distribution/{*rest}", get(distribution::inspect))
        .route("/images/{*rest}", get(by_name::get).post(by_name::post).delete(by_name::delete))
        .merge(ext::routes())
}
