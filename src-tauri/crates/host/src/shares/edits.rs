//! Carries what the system tells of shared folders to the guest's agent, where another's server serves them (macOS, Windows).
//!
//! ```text
//!  engine: which folders do containers bind? ──▶ watch those ──Told──▶ queue (bounded) ──▶ News ──Repeat──▶ agent
//!                                                                       └ full: Lost
//! ```

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use cubby_machine::Folders;
use cubby_machine::share_device::told::{News, TellSink, Told};
use cubby_wire::files::{Change, MAX_CHANGES, ToGuest};
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use super::agent::{Agent, PAUSE, change};
use super::uses;
use crate::link::Link;

/// What may wait; more is lost together, and the guest drops what it believes.
const QUEUE: usize = 8192;
/// How often what waits is looked through.
const TICK: std::time::Duration = std::time::Duration::from_millis(25);

/// Tells its sink what happens below paths.
trait Watches: Send + 'static {
    /// These, instead of those before. Blocking.
    fn watch(&mut self, used: &[PathBuf]);
}

#[cfg(not(target_os = "linux"))]
impl Watches for cubby_machine::share_device::told::Watcher {
    fn watch(&mut self, used: &[PathBuf]) {
        self.watch(used);
    }
}

/// Serves one agent after the other, until dropped.
#[cfg(not(target_os = "linux"))]
pub async fn carry(folders: Folders, link: Link) {
    carry_with(folders, link, cubby_machine::share_device::told::Watcher::new).await;
}

async fn carry_with<W: Watches>(folders: Folders, link: Link, watcher: impl Fn(TellSink) -> io::Result<W>) {
    let (sender, uses) = watch::channel(Vec::new());
    tokio::join!(follow(&link, &sender), serve_all(&folders, &link, &uses, &watcher));
}

/// Knows which folders containers use, engine after engine.
async fn follow(link: &Link, tell: &watch::Sender<Vec<String>>) {
    loop {
        if let Err(err) = uses::follow(link, tell).await {
            tracing::debug!(%err, "which folders containers use is not known");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn serve_all<W: Watches>(
    folders: &Folders,
    link: &Link,
    uses: &watch::Receiver<Vec<String>>,
    watcher: &impl Fn(TellSink) -> io::Result<W>,
) {
    loop {
        if let Ok(agent) = Agent::dial(link).await
            && let Err(err) = serve(folders, uses.clone(), agent, watcher).await
        {
            tracing::debug!(%err, "file events are interrupted");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn serve<W: Watches>(
    folders: &Folders,
    mut uses: watch::Receiver<Vec<String>>,
    mut agent: Agent,
    watcher: impl Fn(TellSink) -> io::Result<W>,
) -> io::Result<()> {
    let (sender, mut told) = mpsc::channel(QUEUE);
    let lost = Arc::new(AtomicBool::new(false));
    let overflow = lost.clone();
    let mut watcher = watcher(Box::new(move |word| {
        if sender.try_send(word).is_err() {
            overflow.store(true, Ordering::Relaxed);
        }
    }))?;
    let mut news = News::new(!cfg!(windows));
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // What the last agent was not told.
    agent.tell(ToGuest::Lost).await?;
    tracing::info!(agent = agent.number, "file events reach the guest");
    uses.mark_changed();
    let mut words = Vec::new();
    loop {
        tokio::select! {
            changed = uses.changed() => {
                changed.map_err(io::Error::other)?;
                let wanted = uses.borrow_and_update().clone();
                let folders = folders.clone();
                let watched;
                (watcher, watched) = blocking(move || {
                    let used = folders.used(&wanted);
                    watcher.watch(&used);
                    (watcher, used)
                }).await?;
                tracing::debug!(places = watched.len(), "folders of containers are watched");
                news.set_used(watched);
            }
            count = told.recv_many(&mut words, MAX_CHANGES) => {
                if count == 0 {
                    return Ok(());
                }
                let now = Instant::now();
                words.drain(..).for_each(|word| news.note(word, now));
            }
            _ = ticks.tick(), if news.is_waiting() || lost.load(Ordering::Relaxed) => {
                if lost.swap(false, Ordering::Relaxed) {
                    news.note(Told::Lost, Instant::now());
                }
                if news.take_lost(Instant::now()) {
                    agent.tell(ToGuest::Lost).await?;
                }
                let happened;
                (news, happened) = blocking(move || {
                    let happened = news.take(Instant::now());
                    (news, happened)
                }).await?;
                let changes: Vec<Change> = happened.iter().filter_map(change).collect();
                for changes in changes.chunks(MAX_CHANGES) {
                    agent.tell(ToGuest::Repeat { changes: changes.to_vec() }).await?;
                }
            }
            gone = agent.gone() => return gone,
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}

#[cfg(test)]
mod tests;
