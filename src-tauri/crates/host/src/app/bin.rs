//! Keeps the bin within its time and size while the app runs.

use std::sync::Arc;
use std::time::Duration;

use super::Inner;
use crate::engine::bin;
use crate::schema::MachinePhase;

const EVERY: Duration = Duration::from_secs(3600);

pub(super) async fn keep(inner: Arc<Inner>) {
    let mut phase = inner.phase.clone();
    loop {
        if phase.wait_for(|phase| *phase == MachinePhase::Running).await.is_err() {
            return;
        }
        sweep(&inner).await;
        tokio::time::sleep(EVERY).await;
    }
}

/// Something went into the bin: nobody waits until it is looked through.
pub(super) fn sweep_soon(inner: &Arc<Inner>) {
    let inner = inner.clone();
    tokio::spawn(async move { sweep(&inner).await });
}

/// A bin that cannot be swept now is swept later.
async fn sweep(inner: &Inner) {
    let Ok(docker) = inner.engine() else { return };
    if let Err(err) = bin::sweep(&docker).await {
        tracing::warn!(%err, "the bin could not be looked through");
    }
}
