//! Kill: a signal to the first process.

use std::{io, sync::Arc, time::Duration};

use super::{Container, Containers, signals, wait::Condition};
use crate::error::{Error, Result};

/// How long a killed process may take to go.
const PATIENCE: Duration = Duration::from_secs(10);

/// A checked signal number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal(pub(super) i32);

impl Signal {
    pub const KILL: Self = Self(signals::KILL);

    /// # Errors
    /// `invalid signal: …`; for a number that is none, that it is not supported. Source: moby daemon/kill.go `ContainerKill`.
    pub fn parse(text: &str) -> Result<Self> {
        signals::parse(text).map(Self).map_err(|error| match text.parse::<i32>() {
            Ok(number) if number != 0 => Error::invalid(format!("the linux daemon does not support signal {number}")),
            _ => error,
        })
    }
}

pub(super) fn not_running(id: &str) -> Error {
    Error::conflict(format!("container {id} is not running"))
}

impl Containers {
    /// Sends a signal; after SIGKILL waits for the end.
    ///
    /// # Errors
    /// Conflict when the container is not running.
    pub async fn kill(&self, name: &str, signal: Signal) -> Result<()> {
        let prefix =
            |error: Error| Error::new(error.kind(), format!("cannot kill container: {name}: {}", error.message()));
        let container = self.find(name).map_err(prefix)?;
        if signal == Signal::KILL {
            self.kill_and_wait(&container).await.map_err(prefix)
        } else {
            self.send_signal(&container, signal).await.map_err(prefix)
        }
    }

    pub(super) async fn kill_and_wait(&self, container: &Arc<Container>) -> Result<()> {
        if !container.record().state.running {
            return Err(not_running(&container.id));
        }
        let waiter = self.waiter(container, Condition::NotRunning);
        self.send_signal(container, Signal::KILL).await?;
        match tokio::time::timeout(PATIENCE, waiter.wait()).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::internal("tried to kill container, but did not receive an exit event")),
        }
    }

    /// Source: moby daemon/kill.go `killWithSignal`.
    pub(super) async fn send_signal(&self, container: &Arc<Container>, signal: Signal) -> Result<()> {
        let _transition = container.transition.lock().await;
        let record = container.record();
        if !record.state.running {
            return Err(not_running(&container.id));
        }
        let stop_signal = signals::parse(&record.config.stop_signal).ok();
        let last = signal == Signal::KILL || stop_signal.is_none_or(|stop| stop == signal.0);
        if last {
            container.stay_stopped.send_replace(true);
        }
        if !self.is_shutting_down() {
            self.note(container, |record| record.manually_stopped = true);
        }
        if record.state.restarting {
            return Ok(());
        }
        let target = container.live().as_ref().map(|live| (live.pidfd.clone(), live.cgroup.clone()));
        let Some((pidfd, cgroup)) = target else { return Err(not_running(&container.id)) };
        match cubby_runtime::signal(&*pidfd, signal.0) {
            // Why no error: its end is on the way to us.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {}
            Err(error) => {
                return Err(Error::system(format!("Cannot kill container {}", container.id), error));
            }
            Ok(()) if last && record.state.paused => thaw(cgroup).await,
            Ok(()) => {}
        }
        self.event(&record, "kill", &[("signal", signal.0.to_string())]);
        Ok(())
    }
}

/// A frozen process takes its signal only when it runs again.
async fn thaw(cgroup: cubby_runtime::cgroup::Cgroup) {
    let thawed = tokio::task::spawn_blocking(move || cgroup.thaw().map_err(io::Error::other)).await;
    if let Ok(Err(error)) = thawed {
        tracing::warn!(err = %error, "killed container stays frozen");
    }
}
