//! The machine's state as the daemon publishes it, across the daemon's own comings and goings.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::Inner;
use crate::daemon::{Client, ClientError};
use crate::schema::{MachinePhase, Problem, Remedy};
use crate::supervisor::blank_state;

/// How often a daemon that went away is looked for; connecting to a socket without a listener costs next to nothing.
const LOOK_EVERY: Duration = Duration::from_millis(500);

pub(super) async fn follow(inner: Arc<Inner>, client: Client, phase: watch::Sender<MachinePhase>) {
    let mut next = Some(client);
    loop {
        if let Some(client) = next.take() {
            let err = states(&inner, client, &phase).await;
            tracing::warn!(%err, "the daemon went away");
            gone(&inner, &phase);
        }
        tokio::time::sleep(LOOK_EVERY).await;
        next = Client::connect(&inner.dirs).await.ok().flatten();
    }
}

async fn states(inner: &Inner, client: Client, phase: &watch::Sender<MachinePhase>) -> ClientError {
    let mut states = match client.subscribe().await {
        Ok(states) => states,
        Err(err) => return err,
    };
    loop {
        match states.next().await {
            Ok(machine) => {
                let now = machine.phase;
                inner.world.set_machine(machine);
                phase.send_if_modified(|phase| std::mem::replace(phase, now) != now);
            }
            Err(err) => return err,
        }
    }
}

/// A machine that was on went with its daemon; one that was off is still off.
fn gone(inner: &Inner, phase: &watch::Sender<MachinePhase>) {
    let was = inner.world.machine().phase;
    let mut machine = blank_state(&inner.dirs);
    if matches!(was, MachinePhase::Running | MachinePhase::Starting) {
        machine.phase = MachinePhase::Failed;
        machine.problem = Some(Problem {
            title: "Cubby's background process ended".into(),
            detail: "The machine ended with it. Containers and images are kept on its disk.".into(),
            remedy: Some(Remedy::StartMachine),
        });
    }
    phase.send_replace(machine.phase);
    inner.world.set_machine(machine);
}
