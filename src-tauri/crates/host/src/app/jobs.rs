//! Long work: it runs here, whoever began it, tells how far it is at most ten times a second, and can be cancelled.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::task::AbortHandle;

use super::Inner;
use crate::schema::{AppError, Job, JobCommand, JobKind, JobState, JobStep, NewsKind, StepState};

const TELL_EVERY: Duration = Duration::from_millis(100);
/// Ended work that stays on the list.
const KEPT: usize = 12;

#[derive(Default)]
pub(super) struct Jobs {
    next: AtomicU32,
    running: Mutex<HashMap<u32, Running>>,
}

struct Running {
    task: AbortHandle,
    job: Arc<Mutex<Job>>,
}

/// What the work says about itself.
pub(super) struct Progress {
    inner: Arc<Inner>,
    job: Arc<Mutex<Job>>,
    told: Mutex<Instant>,
}

pub(super) fn now_unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// Starts `work`; its text is the job's last message.
pub(super) fn begin<F>(inner: &Arc<Inner>, kind: JobKind, subject: &str, work: impl FnOnce(Arc<Progress>) -> F) -> u32
where
    F: Future<Output = Result<String, AppError>> + Send + 'static,
{
    let id = inner.jobs.next.fetch_add(1, Ordering::Relaxed) + 1;
    let job = Job {
        id,
        kind,
        subject: subject.to_owned(),
        state: JobState::Running,
        steps: Vec::new(),
        current_bytes: 0,
        total_bytes: None,
        message: String::new(),
        error: None,
        started_unix_ms: now_unix_ms(),
        finished_unix_ms: None,
    };
    inner.world.set_job(job.clone());
    let job = Arc::new(Mutex::new(job));
    let progress = Arc::new(Progress { inner: inner.clone(), job: job.clone(), told: Mutex::new(Instant::now()) });
    let working = work(progress.clone());
    let mut running = inner.jobs.running.lock().unwrap_or_else(PoisonError::into_inner);
    let task = tokio::spawn(async move {
        let ended = working.await;
        progress.end(id, ended);
    });
    running.insert(id, Running { task: task.abort_handle(), job });
    drop(running);
    prune(inner);
    id
}

pub(super) fn call(inner: &Inner, command: &JobCommand) {
    match command {
        JobCommand::Cancel { id } => cancel(inner, *id),
        JobCommand::Dismiss { id } => {
            let runs = inner.jobs.running.lock().unwrap_or_else(PoisonError::into_inner).contains_key(id);
            if !runs {
                inner.world.drop_job(*id);
            }
        }
    }
}

fn cancel(inner: &Inner, id: u32) {
    let mut all = inner.jobs.running.lock().unwrap_or_else(PoisonError::into_inner);
    let kind = all.get(&id).map(|running| running.job.lock().unwrap_or_else(PoisonError::into_inner).kind);
    // The machine is off meanwhile and must come up again; a half copy is no use to anybody.
    if matches!(kind, Some(JobKind::Export | JobKind::Import)) {
        return;
    }
    let Some(running) = all.remove(&id) else { return };
    drop(all);
    // Dropping the request is what tells the engine to stop.
    running.task.abort();
    let mut job = running.job.lock().unwrap_or_else(PoisonError::into_inner).clone();
    job.state = JobState::Cancelled;
    job.finished_unix_ms = Some(now_unix_ms());
    inner.world.set_job(job);
}

/// Takes the oldest ended ones off the list.
fn prune(inner: &Inner) {
    let ended: Vec<u32> =
        inner.world.snapshot().jobs.iter().filter(|job| job.state != JobState::Running).map(|job| job.id).collect();
    for id in ended.iter().rev().skip(KEPT) {
        inner.world.drop_job(*id);
    }
}

impl Progress {
    /// Changes what is known; told when the last time is long enough ago.
    pub fn update(&self, change: impl FnOnce(&mut Job)) {
        let mut job = self.job.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut job);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.elapsed() >= TELL_EVERY {
            *told = Instant::now();
            self.inner.world.set_job(job.clone());
        }
    }

    /// How far one layer is.
    pub fn step(&self, id: &str, state: StepState, bytes: Option<(u64, Option<u64>)>) {
        self.update(|job| {
            let at = job.steps.iter().position(|step| step.id == id).unwrap_or_else(|| {
                job.steps.push(JobStep { id: id.to_owned(), state, current_bytes: 0, total_bytes: None });
                job.steps.len() - 1
            });
            let step = &mut job.steps[at];
            step.state = state;
            if let Some((current, total)) = bytes {
                step.current_bytes = current;
                step.total_bytes = total.or(step.total_bytes);
            }
        });
    }

    fn end(&self, id: u32, ended: Result<String, AppError>) {
        // Cancelled at the same moment: then that is what happened.
        let was_running = self.inner.jobs.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        if was_running.is_none() {
            return;
        }
        let mut job = self.job.lock().unwrap_or_else(PoisonError::into_inner).clone();
        job.finished_unix_ms = Some(now_unix_ms());
        let (kind, subject) = (job.kind, job.subject.clone());
        let news = match ended {
            Ok(message) => {
                job.state = JobState::Done;
                job.message = message;
                NewsKind::JobDone { job: kind, subject }
            }
            Err(error) => {
                job.state = JobState::Failed;
                let detail = error.detail.clone();
                job.error = Some(error);
                NewsKind::JobFailed { job: kind, subject, detail }
            }
        };
        self.inner.world.set_job(job);
        self.inner.tell(news);
    }
}
