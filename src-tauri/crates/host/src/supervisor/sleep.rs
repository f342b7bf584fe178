//! A machine that nobody uses sleeps: its processors stand still until somebody connects.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::Sleep;
use super::activity::Activity;
use super::session::{On, sentence};
use super::task::{End, Task};
use crate::control::Control;
use crate::link::Link;

impl Task {
    /// `Some` when the machine cannot be had back.
    pub(super) async fn fall_asleep(&mut self, on: &mut On) -> Option<End> {
        let sleep = self.config.sleep?;
        // Somebody may have come since.
        if on.activity.quiet_for() < sleep.after {
            return None;
        }
        if let Err(problem) = on.machine.pause().await {
            tracing::warn!(detail = %problem.detail, "the machine does not sleep");
            return None;
        }
        tracing::info!("the machine sleeps");
        self.board.sleeping(true);
        on.activity.set_sleeping(true, sleep.after);
        None
    }

    pub(super) async fn wake(&mut self, on: &mut On) -> Option<End> {
        if let Err(problem) = on.machine.resume().await {
            return Some(End::Crashed(sentence(&problem.detail)));
        }
        tracing::info!("the machine is awake");
        on.activity.set_sleeping(false, Duration::ZERO);
        self.board.sleeping(false);
        on.clock.notify_one();
        None
    }
}

/// Tells whenever nobody used the machine for long enough and, unless that is no matter, no container runs.
pub(super) async fn tell_quiet(
    sleep: Sleep,
    link: Link,
    ask: Duration,
    activity: Arc<Activity>,
    tell: mpsc::Sender<()>,
) {
    loop {
        let quiet = activity.quiet_for();
        if quiet < sleep.after || activity.is_sleeping() {
            // Not less than a bit: a quiet machine that sleeps or must not sleep is looked at again after the same time.
            tokio::time::sleep(sleep.after.saturating_sub(quiet).max(sleep.after / 4)).await;
            continue;
        }
        let idle = sleep.with_containers || {
            let asked = async { Control::connect(&link, ask).await?.figures().await };
            asked.await.is_ok_and(|figures| figures.containers_running == 0)
        };
        if idle && tell.send(()).await.is_err() {
            return;
        }
        tokio::time::sleep(sleep.after / 4).await;
    }
}
