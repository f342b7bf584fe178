//! Which execs there are.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::Exec;
use crate::error::{Error, Result};

/// How long an ended exec can still be inspected. Source: moby daemon/exec.go `execCommandGC`, at most ten minutes.
const MEMORY: Duration = Duration::from_secs(600);

#[derive(Default)]
pub(crate) struct Execs {
    by_id: Mutex<HashMap<String, Arc<Exec>>>,
}

impl Execs {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Exec>>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn insert(&self, exec: Arc<Exec>) {
        let mut execs = self.lock();
        execs.retain(|_, exec| exec.state().ended_at.is_none_or(|at| at.elapsed() < MEMORY));
        execs.insert(exec.id.clone(), exec);
    }

    pub fn find(&self, id: &str) -> Result<Arc<Exec>> {
        self.lock().get(id).cloned().ok_or_else(|| Error::not_found(format!("No such exec instance: {id}")))
    }

    /// Ids of those that run in a container.
    pub fn running_in(&self, container_id: &str) -> Vec<String> {
        let execs = self.lock();
        let running = execs.values().filter(|exec| exec.container_id == container_id && exec.state().running);
        let mut ids: Vec<String> = running.map(|exec| exec.id.clone()).collect();
        ids.sort();
        ids
    }

    /// The container has stopped: execs that were never started can be no more.
    pub fn end_all(&self, container_id: &str) {
        self.lock().retain(|_, exec| {
            let state = exec.state();
            exec.container_id != container_id || state.running || state.exit_code.is_some()
        });
    }

    /// The container is gone.
    pub fn forget(&self, container_id: &str) {
        self.lock().retain(|_, exec| exec.container_id != container_id);
    }
}
