//! Carries what happens in shared folders to the guest's agent.
//!
//! ```text
//!  fanotify ──Seen──▶ queue (bounded) ──▶ steps ──▶ script + Repeat ──▶ agent repeats them ──Repeated──▶ next batch
//!                      └ full: Lost                     a batch touches each name once
//! ```

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cubby_machine::share_device::{Created, Happened, Seen, Shares, Step};
use cubby_wire::files::{Change, Kind, MAX_CHANGES, ToGuest, ToHost};
use cubby_wire::{PROTOCOL_VERSION, frame, ports};
use tokio::sync::mpsc;

use crate::link::{BoxStream, Link};

/// Events that may wait; more are lost together, and the guest drops what it believes.
const QUEUE: usize = 8192;
/// Between attempts to reach an agent that is not there (yet).
const PAUSE: Duration = Duration::from_millis(250);
/// How long the agent may take for a batch.
const PATIENCE: Duration = Duration::from_secs(30);

/// Serves one agent after the other, until dropped.
pub async fn carry(shares: Shares, link: Link) {
    loop {
        if let Ok(stream) = link.dial(ports::FILES).await {
            let served = serve(&shares, stream).await;
            shares.set_agent(None);
            if let Err(err) = served {
                tracing::debug!(%err, "file events are interrupted");
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn serve(shares: &Shares, mut stream: BoxStream) -> io::Result<()> {
    let agent = match listen(&mut stream).await? {
        ToHost::Hello { protocol, agent } if protocol == PROTOCOL_VERSION => agent,
        _ => return Err(io::ErrorKind::InvalidData.into()),
    };
    let (sender, mut seen) = mpsc::channel(QUEUE);
    let lost = Arc::new(AtomicBool::new(false));
    let overflow = lost.clone();
    let reader = shares.watch(Box::new(move |event| {
        let kept = event.is_some_and(|event| sender.try_send(event).is_ok());
        if !kept {
            overflow.store(true, Ordering::Relaxed);
        }
    }))?;
    let Some(_reader) = reader else { return std::future::pending().await };
    // Why now: until here nobody would have told the guest, so it was to believe nothing for long.
    shares.set_agent(Some(agent));
    // What the last agent was not told.
    tell(&mut stream, ToGuest::Lost).await?;
    tracing::info!(agent, "file events reach the guest");
    let mut events = Vec::new();
    loop {
        tokio::select! {
            count = seen.recv_many(&mut events, MAX_CHANGES) => if count == 0 { return Ok(()) },
            gone = listen(&mut stream) => return gone.map(drop),
        }
        if lost.swap(false, Ordering::Relaxed) {
            tell(&mut stream, ToGuest::Lost).await?;
        }
        let (of, waiting) = (shares.clone(), std::mem::take(&mut events));
        let steps =
            tokio::task::spawn_blocking(move || waiting.iter().flat_map(|seen: &Seen| of.steps(seen)).collect())
                .await
                .map_err(io::Error::other)?;
        for batch in batches(steps) {
            repeat(shares, &mut stream, &batch).await?;
        }
    }
}

async fn repeat(shares: &Shares, stream: &mut BoxStream, batch: &[Step]) -> io::Result<()> {
    let changes: Vec<Change> = batch.iter().filter_map(|step| change(&step.happened)).collect();
    if changes.is_empty() {
        return Ok(());
    }
    shares.script(batch);
    let told = tell(stream, ToGuest::Repeat { changes }).await;
    shares.script(&[]);
    told
}

async fn tell(stream: &mut BoxStream, frame: ToGuest) -> io::Result<()> {
    let told = async {
        frame::write(&mut *stream, &frame).await.map_err(io::Error::other)?;
        match listen(stream).await? {
            ToHost::Repeated => Ok(()),
            ToHost::Hello { .. } => Err(io::ErrorKind::InvalidData.into()),
        }
    };
    tokio::time::timeout(PATIENCE, told).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

async fn listen(stream: &mut BoxStream) -> io::Result<ToHost> {
    let said = frame::read(stream).await.map_err(io::Error::other)?;
    said.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// Cut so that no batch has two steps that touch the same name.
fn batches(steps: Vec<Step>) -> Vec<Vec<Step>> {
    let mut batches: Vec<Vec<Step>> = Vec::new();
    for step in steps {
        match batches.last_mut() {
            Some(last) if last.len() < MAX_CHANGES && !last.iter().any(|other| other.conflicts(&step)) => {
                last.push(step)
            }
            _ => batches.push(vec![step]),
        }
    }
    batches
}

/// `None`: a path that is not text, which the protocol has no place for.
fn change(happened: &Happened) -> Option<Change> {
    let text = |path: &std::path::Path| path.to_str().map(str::to_owned);
    Some(match happened {
        Happened::Created { path, what } => {
            let what = match what {
                Created::File => Kind::File,
                Created::Directory => Kind::Directory,
                Created::Symlink => Kind::Symlink,
            };
            Change::Created { path: text(path)?, what }
        }
        Happened::Modified { path } => Change::Modified { path: text(path)? },
        Happened::Attributes { path } => Change::Attributes { path: text(path)? },
        Happened::Written { path } => Change::Written { path: text(path)? },
        Happened::Removed { path, directory } => Change::Removed { path: text(path)?, directory: *directory },
        Happened::Moved { from, to } => Change::Moved { from: text(from)?, to: text(to)? },
    })
}
