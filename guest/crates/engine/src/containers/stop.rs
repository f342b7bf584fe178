//! Stop: the stop signal, patience, then force.

use std::{sync::Arc, time::Duration};

use super::{Container, Containers, kill::Signal, signals, wait::Condition};
use crate::error::{Error, Result};

/// Seconds between the stop signal and force, unless the container says otherwise.
const DEFAULT_TIMEOUT_S: i64 = 10;

#[derive(Clone, Debug, Default)]
pub struct StopOptions {
    pub signal: Option<String>,
    /// Negative: wait for ever.
    pub timeout_s: Option<i64>,
}

impl Containers {
    /// # Errors
    /// Not modified when the container does not run.
    pub async fn stop(&self, name: &str, options: StopOptions) -> Result<()> {
        let container = self.find(name)?;
        if !container.record().state.running {
            return Err(Error::not_modified());
        }
        self.stop_container(&container, options)
            .await
            .map_err(|error| Error::new(error.kind(), format!("cannot stop container: {name}: {}", error.message())))
    }

    /// Source: moby daemon/stop.go `containerStop`.
    pub(super) async fn stop_container(&self, container: &Arc<Container>, options: StopOptions) -> Result<()> {
        let record = container.record();
        if !record.state.running {
            return Ok(());
        }
        let signal = match options.signal.as_deref().filter(|signal| !signal.is_empty()) {
            Some(signal) => Signal::parse(signal)?,
            None => Signal(signals::parse(&record.config.stop_signal).unwrap_or(signals::TERM)),
        };
        let timeout = options.timeout_s.or(record.config.stop_timeout).unwrap_or(DEFAULT_TIMEOUT_S);
        let waiter = self.waiter(container, Condition::NotRunning);
        let sent = self.send_signal(container, signal).await;
        let patience = match (&sent, u64::try_from(timeout)) {
            (Err(_), _) => Some(Duration::from_secs(2)),
            (Ok(()), Ok(seconds)) => Some(Duration::from_secs(seconds)),
            (Ok(()), Err(_)) => None,
        };
        let ended = match patience {
            Some(patience) => tokio::time::timeout(patience, waiter.wait()).await.is_ok(),
            None => {
                waiter.wait().await;
                true
            }
        };
        if !ended
            && let Err(error) = self.kill_and_wait(container).await
            && container.record().state.running
        {
            return Err(error);
        }
        // The end is settled when its lock is free.
        drop(container.transition.lock().await);
        self.event(&container.record(), "stop", &[]);
        Ok(())
    }

    /// Stops everything, as a shutdown of dockerd does. `timeout_s` bounds each container's own timeout.
    pub async fn stop_all(&self, timeout_s: Option<u32>) {
        self.shutting_down.store(true, std::sync::atomic::Ordering::Release);
        let all: Vec<_> = self.table().all().cloned().collect();
        let mut running = Vec::new();
        for container in all {
            // Why the lock: a start at work ends first; later ones see that we shut down.
            drop(container.transition.lock().await);
            if container.record().state.running {
                running.push(container);
            }
        }
        let stops = running.iter().map(|container| async move {
            let own = container.record().config.stop_timeout.unwrap_or(DEFAULT_TIMEOUT_S);
            let bound = timeout_s.map_or(own, |most| own.min(i64::from(most)));
            let options = StopOptions { timeout_s: Some(bound), ..StopOptions::default() };
            if let Err(error) = self.stop_container(container, options).await {
                tracing::error!(container_id = container.id, err = %error, "container did not stop");
            }
        });
        futures_util::future::join_all(stops).await;
    }
}
