//! The machine's state as the daemon publishes it, across the daemon's own comings and goings.

use std::sync::Arc;
use std::time::Duration;

use super::Inner;
use crate::daemon::{Client, ClientError};
use crate::schema::{MachinePhase, Problem, Remedy};
use crate::supervisor::blank_state;

/// How often a daemon that went away is looked for; connecting to a socket without a listener costs next to nothing.
const LOOK_EVERY: Duration = Duration::from_millis(500);

pub(super) async fn follow(inner: Arc<Inner>, client: Option<Client>) {
    let mut next = client;
    loop {
        if let Some(client) = next.take() {
            let err = states(&inner, client).await;
            tracing::warn!(%err, "the daemon went away");
            gone(&inner);
        }
        tokio::time::sleep(LOOK_EVERY).await;
        next = Client::connect(&inner.dirs).await.ok().flatten();
    }
}

async fn states(inner: &Inner, client: Client) -> ClientError {
    let mut states = match client.subscribe().await {
        Ok(states) => states,
        Err(err) => return err,
    };
    loop {
        match states.next().await {
            Ok(machine) => inner.machine_is(machine),
            Err(err) => return err,
        }
    }
}

/// A machine that was on went with its daemon; one that was off is still off.
fn gone(inner: &Inner) {
    let was = inner.own.lock().unwrap_or_else(std::sync::PoisonError::into_inner).phase;
    let mut machine = blank_state(&inner.dirs);
    if matches!(was, MachinePhase::Running | MachinePhase::Starting) {
        machine.phase = MachinePhase::Failed;
        machine.problem = Some(Problem {
            title: "Cubby's background process ended".into(),
            detail: "The machine ended with it. Containers and images are kept on its disk.".into(),
            remedy: Some(Remedy::StartMachine),
        });
    }
    inner.machine_is(machine);
}
