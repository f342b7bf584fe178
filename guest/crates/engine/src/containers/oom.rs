//! Out of memory: the `oom` event and `State.OOMKilled`, when it happens and not only at the end.
//!
//! The kernel counts kills per cgroup and wakes us on v2 (`memory.events`) as on v1 (an eventfd). What a wake-up misses is
//! found when the run ends, so that every run that lost a process says so once at least.

use std::sync::{Arc, PoisonError};

use cubby_runtime::cgroup::{Cgroup, OomEvents};
use tokio::io::{Interest, unix::AsyncFd};

use super::{Container, Containers};

/// v1 wakes us before the kill is counted; how often and how long we look for it.
const LOOKS: u32 = 20;
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_millis(10);

/// One run's watch; dropping it ends the task.
pub struct Watch {
    /// Kills reported.
    known: std::sync::Mutex<u64>,
    ended: tokio::sync::watch::Sender<()>,
}

impl Containers {
    pub(super) fn watch_oom(&self, container: &Arc<Container>) {
        let Some(cgroup) = container.live().as_ref().map(|live| live.cgroup.clone()) else { return };
        let reported = if container.record().state.oom_killed { cgroup.oom_kills() } else { 0 };
        let watch = Arc::new(Watch { known: reported.into(), ended: tokio::sync::watch::Sender::new(()) });
        let ended = watch.ended.subscribe();
        if let Some(live) = container.live().as_mut() {
            live.oom = Some(watch.clone());
        }
        let events = match cgroup.oom_events() {
            Ok(Some(events)) => events,
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(container_id = container.id, err = %error, "no news of memory running out");
                return;
            }
        };
        let weak = Arc::downgrade(&watch);
        let (me, container) = (self.me(), container.clone());
        drop(watch);
        tokio::spawn(async move {
            let mut ended = ended;
            tokio::select! {
                () = me.follow_oom(&container, &weak, &cgroup, events) => {}
                // Why an error: it says that the run, which has the sender, is over.
                _ = ended.changed() => {}
            }
        });
    }

    async fn follow_oom(
        &self,
        container: &Arc<Container>,
        watch: &std::sync::Weak<Watch>,
        cgroup: &Cgroup,
        events: OomEvents,
    ) {
        let interest = if events.is_urgent() { Interest::PRIORITY } else { Interest::READABLE };
        // Why allowed: it is deprecated for types that could change their descriptor; this one cannot.
        #[allow(deprecated)]
        let Ok(events) = AsyncFd::with_interest(events, interest) else { return };
        loop {
            let Ok(mut ready) = events.ready(interest).await else { return };
            if events.get_ref().take().is_err() {
                return;
            }
            ready.clear_ready();
            for _ in 0..LOOKS {
                let Some(watch) = watch.upgrade() else { return };
                if self.report_oom(container, &watch, cgroup) || interest.is_priority() {
                    break;
                }
                drop(watch);
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
    }

    /// True when there was something new to report.
    pub(super) fn report_oom(&self, container: &Container, watch: &Watch, cgroup: &Cgroup) -> bool {
        let mut known = watch.known.lock().unwrap_or_else(PoisonError::into_inner);
        let kills = cgroup.oom_kills();
        if kills <= *known {
            return false;
        }
        *known = kills;
        let record = self.note(container, |record| record.state.oom_killed = true);
        self.event(&record, "oom", &[]);
        true
    }
}
