//! Wait: until a container is in a certain state, with its exit code.

use std::sync::Arc;

use tokio::sync::watch;

use super::{Container, Containers, container::Stops};
use crate::error::{Error, Result};

/// What to wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Not running: at once, or after the present run.
    #[default]
    NotRunning,
    /// The next end of a run.
    NextExit,
    /// Removed.
    Removed,
}

impl Condition {
    /// # Errors
    /// Invalid, in dockerd's words.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "" | "not-running" => Ok(Self::NotRunning),
            "next-exit" => Ok(Self::NextExit),
            "removed" => Ok(Self::Removed),
            other => Err(Error::invalid(format!("invalid condition: {other:?}"))),
        }
    }
}

/// What was waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waited {
    pub exit_code: i32,
    pub error: String,
}

/// A wait that has begun: nothing that happens after its creation is missed.
pub struct Waiter {
    container: Arc<Container>,
    condition: Condition,
    stops: watch::Receiver<Stops>,
    removed: watch::Receiver<bool>,
    /// True when the condition held at the beginning.
    at_once: bool,
}

impl Containers {
    pub fn wait(&self, name: &str, condition: Condition) -> Result<Waiter> {
        Ok(self.waiter(&self.find(name)?, condition))
    }

    pub(super) fn waiter(&self, container: &Arc<Container>, condition: Condition) -> Waiter {
        let mut stops = container.stops.subscribe();
        stops.borrow_and_update();
        // Why after subscribing: a stop between the two is then seen by either.
        let at_once = condition == Condition::NotRunning && !container.record().state.running;
        let removed = container.removed.subscribe();
        Waiter { container: container.clone(), condition, stops, removed, at_once }
    }
}

impl Waiter {
    pub async fn wait(mut self) -> Waited {
        if self.at_once {
            let state = &self.container.record().state;
            return Waited { exit_code: state.exit_code, error: state.error.clone() };
        }
        // Why errors are ignored: the senders live in `self.container`.
        if self.condition == Condition::Removed {
            let _ = self.removed.wait_for(|removed| *removed).await;
        } else {
            tokio::select! {
                _ = self.stops.changed() => {}
                _ = self.removed.wait_for(|removed| *removed) => {}
            }
        }
        let stops = self.container.stops.borrow().clone();
        let error = if self.condition == Condition::Removed { String::new() } else { stops.error };
        Waited { exit_code: stops.exit_code, error }
    }
}
