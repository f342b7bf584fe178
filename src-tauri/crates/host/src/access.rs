//! Whether, and how, the guest can be reached right now: what the supervisor tells everybody who waits for it.

use std::time::Duration;

use tokio::sync::watch;

use crate::link::Link;

#[derive(Clone, Default)]
pub enum Access {
    /// Off or going off, by somebody's wish.
    #[default]
    Off,
    /// On its way: worth waiting for.
    Starting,
    /// The engine answers.
    Open(Link),
    /// It cannot run; a sentence that says why.
    Failed(String),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    #[error("Cubby's machine is off: start it with `cubby up` or in the app")]
    Off,
    #[error("Cubby's machine could not start: {0} (`cubby doctor` tells more)")]
    Failed(String),
    #[error("Cubby's machine is still starting after {} s: see `cubby status`", .0.as_secs())]
    TooSlow(Duration),
    #[error("Cubby's background process is ending")]
    Gone,
}

/// Waits until the guest can be reached, at most for `patience`.
pub async fn reach(access: &mut watch::Receiver<Access>, patience: Duration) -> Result<Link, Unreachable> {
    let settled = access.wait_for(|access| !matches!(access, Access::Starting));
    match tokio::time::timeout(patience, settled).await {
        Err(_) => Err(Unreachable::TooSlow(patience)),
        Ok(Err(_)) => Err(Unreachable::Gone),
        Ok(Ok(access)) => match &*access {
            Access::Open(link) => Ok(link.clone()),
            Access::Failed(reason) => Err(Unreachable::Failed(reason.clone())),
            Access::Off | Access::Starting => Err(Unreachable::Off),
        },
    }
}
