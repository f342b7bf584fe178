//! The end of a run: exit code, clean-up, the event, and what the restart policy says.

use std::{
    sync::{Arc, PoisonError, atomic::Ordering},
    time::{Duration, SystemTime},
};

use cubby_runtime::Exited;

use super::{
    Container, Containers,
    model::{PortMap, Record},
    remove::RemoveOptions,
    wait::Condition,
};

/// How long output may still come after the process has ended. Source: moby daemon/monitor.go.
const OUTPUT_PATIENCE: Duration = Duration::from_secs(2);
/// How long the clean-up after a process may keep a request waiting.
const SETTLING: Duration = Duration::from_secs(10);
/// Waits between restarts by policy. Source: moby restartmanager.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);
/// A run this long starts the waits anew.
const LONG_RUN: Duration = Duration::from_secs(10);
/// The exit code of a process whose own cannot be known: it was killed with its keeper.
const KILLED: i32 = 137;

/// How a run ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub exit_code: i32,
    pub at: SystemTime,
}

impl From<Option<Exited>> for End {
    fn from(exited: Option<Exited>) -> Self {
        match exited {
            Some(exited) => Self { exit_code: exited.status.docker_code(), at: exited.at },
            None => Self { exit_code: KILLED, at: SystemTime::now() },
        }
    }
}

impl Containers {
    /// Waits for the end of the present run in the background and deals with it.
    pub(super) fn watch_exit(&self, container: Arc<Container>) {
        let me = self.me();
        tokio::spawn(async move {
            let exited = me.parts.runtime.exited(&container.id).await;
            me.end_run(&container, exited.into()).await;
        });
    }

    pub(super) async fn end_run(&self, container: &Arc<Container>, end: End) {
        let pumps = container.live().as_mut().and_then(|live| live.pumps.take());
        if let Some(pumps) = pumps {
            pumps.finish(OUTPUT_PATIENCE).await;
        }
        let transition = container.transition.lock().await;
        let Some(live) = container.live().take() else { return };
        let before = container.record();
        if live.cgroup.oom_kills() > 0 {
            self.note(container, |record| record.state.oom_killed = true);
            self.event(&before, "oom", &[]);
        }
        container.streams.stdin.close();
        container.streams.stdin.reset();
        let log = live.log.clone();
        self.execs.end_all(&container.id);
        drop(live);
        self.give_back(&before).await;
        let ran = before.state.started_at.and_then(|started| end.at.duration_since(started).ok()).unwrap_or_default();
        let restart = self.restarts(container, end.exit_code, ran);
        let record = self.note(container, |record| settle(record, end, restart.is_some()));
        // Why after the record: until it is written only the keeper knows the exit code, and we may be killed any time.
        self.forget_process(&container.id).await;
        // Why after the record: whoever sees a followed log end may remove the container at once.
        log.close();
        let attributes = [("exitCode", end.exit_code.to_string()), ("execDuration", ran.as_secs().to_string())];
        self.event(&record, "die", &attributes);
        container.announce_stop(end.exit_code, &record.state.error);
        // Why last: nobody outside sees it, and whoever starts or removes the container next waits for this lock.
        self.give_back_cgroup(&record).await;
        drop(transition);
        match restart {
            Some(wait) => self.restart_later(container.clone(), wait),
            None => self.remove_if_asked(container).await,
        }
    }

    /// When the process has ended but its end is not settled yet, waits until it is: what a client saw end (a stream, a
    /// log) must not look running to its next request.
    pub(super) async fn settled(&self, container: &Arc<Container>) {
        if container.record().state.has_process() && container.process_has_ended() {
            let waiter = self.waiter(container, Condition::NotRunning);
            if tokio::time::timeout(SETTLING, waiter.wait()).await.is_err() {
                tracing::warn!(container_id = container.id, "the end of a process takes long to settle");
            }
        }
    }

    async fn forget_process(&self, key: &str) {
        if let Err(error) = self.parts.runtime.release(key).await {
            tracing::debug!(container_id = key, err = %error, "the keeper could not be told to forget a process");
        }
    }

    /// The wait before the next try, or none. Source: moby restartmanager `ShouldRestart`.
    fn restarts(&self, container: &Container, exit_code: i32, ran: Duration) -> Option<Duration> {
        let record = container.record();
        let policy = &record.host_config.restart_policy;
        let manually_stopped = record.manually_stopped || self.is_shutting_down();
        let mut backoff = container.backoff.lock().unwrap_or_else(PoisonError::into_inner);
        if ran >= LONG_RUN {
            *backoff = Duration::ZERO;
        }
        if *container.stay_stopped.borrow() || self.is_shutting_down() {
            return None;
        }
        let wanted = match policy.name.as_str() {
            "always" => true,
            "unless-stopped" => !manually_stopped,
            "on-failure" => {
                let most = policy.maximum_retry_count;
                exit_code != 0 && (most == 0 || i64::from(record.restart_count) < most)
            }
            _ => false,
        };
        if !wanted {
            return None;
        }
        *backoff = next_backoff(*backoff);
        Some(*backoff)
    }

    fn restart_later(&self, container: Arc<Container>, wait: Duration) {
        let me = self.me();
        tokio::spawn(async move {
            let mut stay = container.stay_stopped.subscribe();
            let cancelled = tokio::select! {
                _ = stay.wait_for(|stay| *stay) => true,
                () = tokio::time::sleep(wait) => false,
            };
            if cancelled || me.start_container(&container, false).await.is_err() {
                me.give_up_restarting(&container).await;
            }
        });
    }

    /// A restart was called off or failed: the container is as stopped as it looks.
    async fn give_up_restarting(&self, container: &Arc<Container>) {
        let transition = container.transition.lock().await;
        if !container.record().state.restarting {
            return;
        }
        let record = self.note(container, |record| {
            record.state.running = false;
            record.state.restarting = false;
        });
        container.announce_stop(record.state.exit_code, &record.state.error);
        drop(transition);
        self.remove_if_asked(container).await;
    }

    async fn remove_if_asked(&self, container: &Arc<Container>) {
        let by_hand = container.restarting_by_hand.load(Ordering::Acquire);
        if !container.record().host_config.auto_remove || by_hand {
            return;
        }
        let options = RemoveOptions { force: true, volumes: true, ..RemoveOptions::default() };
        if let Err(error) = self.remove_container(container, options).await {
            tracing::warn!(container_id = container.id, err = %error, "container could not be removed after its end");
        }
    }
}

fn next_backoff(last: Duration) -> Duration {
    if last.is_zero() { FIRST_BACKOFF } else { (last * 2).min(LONGEST_BACKOFF) }
}

fn settle(record: &mut Record, end: End, restarting: bool) {
    let state = &mut record.state;
    state.running = restarting;
    state.restarting = restarting;
    state.paused = false;
    state.pid = 0;
    state.exit_code = end.exit_code;
    state.finished_at = Some(end.at);
    if let Some(health) = &mut state.health {
        health.status = "unhealthy".to_owned();
    }
    record.restart_count += u32::from(restarting);
    record.ports = PortMap::new();
    record.sandbox_key = String::new();
    for endpoint in record.networks.values_mut() {
        // Why the wishes alone: addresses are given back, and another container may have them now.
        *endpoint = super::model::Endpoint { network_id: endpoint.network_id.clone(), ..endpoint.wishes() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute() {
        let mut wait = Duration::ZERO;
        let waits: Vec<u64> = std::iter::repeat_with(|| {
            wait = next_backoff(wait);
            wait.as_millis() as u64
        })
        .take(12)
        .collect();
        assert_eq!(&waits[..4], [100, 200, 400, 800]);
        assert_eq!(waits[11], 60_000);
    }
}
