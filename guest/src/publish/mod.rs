//! Published ports: where listeners are, and how their connections reach containers.
//!
//! ```text
//! natively:   client ──▶ listener here ──▶ container
//! with guest: client ──▶ listener of the host ──FORWARD (vsock)──▶ here ──▶ container
//!                        ▲ asked for over PUBLISH, open as long as that stream is
//! ```
//!
//! A connection that comes before the container's service listens waits a moment: [`dial`].
//! The engine asks for ports through [`cubby_engine::ports::Publisher`] and knows nothing of the difference.

mod bulk;
mod dial;
mod flow;
pub mod forward;
mod guest;
mod native;
mod relay;

pub use guest::Guest;
pub use native::Native;

use tokio::task::JoinSet;

/// Tasks that end when this is dropped, and everything they hold with them.
struct Tasks(#[expect(dead_code, reason = "held for its drop")] JoinSet<()>);

#[cfg(test)]
mod tests;
