//! One container: an immutable record that is replaced, a lock for changes of state, and what its running process needs.

use std::{
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, atomic::AtomicBool},
    time::Duration,
};

use cubby_runtime::cgroup::Cgroup;
use rustix::event::{PollFd, PollFlags, poll};
use tokio::sync::{Mutex as AsyncMutex, watch};

use super::{
    model::Record,
    streams::{Pumps, Streams},
};
use crate::{logs::Log, ports::Publication};

/// How often the container has stopped, and how it did the last time. What `wait` waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stops {
    pub count: u64,
    pub exit_code: i32,
    pub error: String,
}

/// What belongs to the present run.
pub struct Live {
    pub pidfd: Arc<OwnedFd>,
    pub log: Arc<Log>,
    pub pumps: Option<Pumps>,
    pub cgroup: Cgroup,
    pub publication: Option<Publication>,
    /// The health checks' task ends when this is dropped.
    pub health: Option<watch::Sender<()>>,
    /// Tells of processes killed for lack of memory.
    pub oom: Option<Arc<super::oom::Watch>>,
}

/// See the module's documentation.
///
/// Readers take the record, which costs one pointer; they never wait for a change of state. `transition` is held while
/// the state changes, never while waiting for the process to end or for a client.
pub struct Container {
    pub id: String,
    record: RwLock<Arc<Record>>,
    pub(super) writer: Mutex<()>,
    pub(super) transition: AsyncMutex<()>,
    pub(super) streams: Arc<Streams>,
    pub(super) stops: watch::Sender<Stops>,
    /// True when it has been removed.
    pub(super) removed: watch::Sender<bool>,
    live: Mutex<Option<Live>>,
    /// True when the next exit shall be the last whatever the policy says; ends a wait for the next try.
    pub(super) stay_stopped: watch::Sender<bool>,
    /// Set while `restart` stops and starts: `--rm` waits.
    pub(super) restarting_by_hand: AtomicBool,
    /// The next wait before a restart by policy.
    pub(super) backoff: Mutex<Duration>,
}

impl Container {
    pub fn new(record: Record) -> Arc<Self> {
        let stops = Stops { count: 0, exit_code: record.state.exit_code, error: record.state.error.clone() };
        Arc::new(Self {
            id: record.id.clone(),
            record: RwLock::new(Arc::new(record)),
            writer: Mutex::new(()),
            transition: AsyncMutex::new(()),
            streams: Arc::default(),
            stops: watch::Sender::new(stops),
            removed: watch::Sender::new(false),
            live: Mutex::new(None),
            stay_stopped: watch::Sender::new(false),
            restarting_by_hand: AtomicBool::new(false),
            backoff: Mutex::default(),
        })
    }

    /// The container as of now.
    pub fn record(&self) -> Arc<Record> {
        self.record.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn replace(&self, record: Arc<Record>) {
        *self.record.write().unwrap_or_else(PoisonError::into_inner) = record;
    }

    pub(super) fn live(&self) -> MutexGuard<'_, Option<Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cgroup of the running container.
    pub(crate) fn live_cgroup(&self) -> Option<cubby_runtime::cgroup::CgroupPath> {
        self.live().as_ref().map(|live| live.cgroup.path().clone())
    }

    /// True when there is no process, or it has ended and its end is not settled yet.
    pub(crate) fn process_has_ended(&self) -> bool {
        self.live().as_ref().is_none_or(|live| has_ended(&live.pidfd))
    }

    /// Remembers how a start failed without waking anybody: nothing ran, so nothing has stopped.
    pub(super) fn remember_failure(&self, exit_code: i32) {
        self.stops.send_if_modified(|stops| {
            stops.exit_code = exit_code;
            false
        });
    }

    /// Tells everybody who waits for a stop.
    pub(super) fn announce_stop(&self, exit_code: i32, error: &str) {
        self.stops.send_modify(|stops| {
            *stops = Stops { count: stops.count + 1, exit_code, error: error.to_owned() };
        });
    }
}

/// A pidfd is readable when its process has ended.
fn has_ended(pidfd: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(pidfd, PollFlags::IN)];
    let now = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(poll(&mut polled, Some(&now)), Ok(1..))
}
