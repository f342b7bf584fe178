//! Keeps the model of containers and images while the machine runs.

use std::sync::Arc;
use std::time::Duration;

use super::Inner;
use crate::engine::follow;
use crate::schema::MachinePhase;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

pub(super) async fn follow(inner: Arc<Inner>) {
    let mut phase = inner.phase.clone();
    let mut other = inner.other.subscribe();
    let mut pause = FIRST_PAUSE;
    loop {
        if *phase.borrow() != MachinePhase::Running {
            pause = FIRST_PAUSE;
            inner.world.forget_engine();
        }
        if phase.wait_for(|phase| *phase == MachinePhase::Running).await.is_err() {
            return;
        }
        other.borrow_and_update();
        let began = tokio::time::Instant::now();
        let ended = async {
            let docker = inner.docker().map_err(|err| err.to_string())?;
            follow::follow(&docker, &inner.world).await.map_err(|err| err.to_string())
        };
        let mut watched = phase.clone();
        tokio::select! {
            ended = ended => tracing::info!(?ended, "the engine's events ended"),
            _ = watched.wait_for(|phase| *phase != MachinePhase::Running) => {}
            // The phase may be the same at once: it is another engine's.
            _ = other.changed() => inner.world.forget_engine(),
        }
        if *phase.borrow() == MachinePhase::Running {
            pause = if began.elapsed() > LONGEST_PAUSE { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
            tokio::time::sleep(pause).await;
        }
    }
}
