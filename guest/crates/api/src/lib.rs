//! The Docker Engine API, version 1.50 down to 1.24, over [`cubby_engine::Engine`].
//!
//! One folder per resource, each with `pub fn routes() -> Router<Arc<Engine>>`; handlers translate and nothing else.
//! [`error`] is the only file that maps error kinds to statuses, [`version`] the only one that knows the path prefix,
//! [`server`] and [`client`] the only ones that know connections.

// The `json!` of `/info` has a member per line, each a level of the macro.
#![recursion_limit = "256"]

mod build;
mod client;
mod containers;
mod encoding;
pub mod error;
mod exec;
pub mod extract;
mod images;
pub mod json;
mod names;
mod networks;
pub mod server;
mod system;
mod unread;
pub mod version;
mod volumes;

use std::sync::Arc;

use axum::Router;
use cubby_engine::Engine;

pub use error::ApiError;

/// Every route of the API, without the version prefix. Serve it through [`server::serve`].
pub fn router(engine: Arc<Engine>) -> Router {
    Router::new()
        .merge(system::routes())
        .merge(containers::routes())
        .merge(exec::routes())
        .merge(images::routes())
        .merge(build::routes())
        .merge(networks::routes())
        .merge(volumes::routes())
        .fallback(error::page_not_found)
        .method_not_allowed_fallback(error::page_not_found)
        .with_state(engine)
}
