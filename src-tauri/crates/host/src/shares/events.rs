//! Carries what happens in shared folders to the guest's agent.
//!
//! ```text
//!  fanotify ──Seen──▶ queue (bounded) ──▶ steps ──▶ script + Repeat ──▶ agent repeats them ──Repeated──▶ next batch
//!                      └ full: Lost                     a batch touches each name once
//! ```

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cubby_machine::share_device::{Seen, Shares, Step};
use cubby_wire::files::{Change, MAX_CHANGES, ToGuest};
use tokio::sync::mpsc;

use super::agent::{Agent, PAUSE, change};
use crate::link::Link;

/// Events that may wait; more are lost together, and the guest drops what it believes.
const QUEUE: usize = 8192;

/// Serves one agent after the other, until dropped.
pub async fn carry(shares: Shares, link: Link) {
    loop {
        if let Ok(agent) = Agent::dial(&link).await {
            let served = serve(&shares, agent).await;
            shares.set_agent(None);
            if let Err(err) = served {
                tracing::debug!(%err, "file events are interrupted");
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn serve(shares: &Shares, mut agent: Agent) -> io::Result<()> {
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
    shares.set_agent(Some(agent.number));
    // What the last agent was not told.
    agent.tell(ToGuest::Lost).await?;
    tracing::info!(agent = agent.number, "file events reach the guest");
    let mut events = Vec::new();
    loop {
        tokio::select! {
            count = seen.recv_many(&mut events, MAX_CHANGES) => if count == 0 { return Ok(()) },
            gone = agent.gone() => return gone,
        }
        if lost.swap(false, Ordering::Relaxed) {
            agent.tell(ToGuest::Lost).await?;
        }
        let (of, waiting) = (shares.clone(), std::mem::take(&mut events));
        let steps =
            tokio::task::spawn_blocking(move || waiting.iter().flat_map(|seen: &Seen| of.steps(seen)).collect())
                .await
                .map_err(io::Error::other)?;
        for batch in batches(steps) {
            repeat(shares, &mut agent, &batch).await?;
        }
    }
}

async fn repeat(shares: &Shares, agent: &mut Agent, batch: &[Step]) -> io::Result<()> {
    let changes: Vec<Change> = batch.iter().filter_map(|step| change(&step.happened)).collect();
    if changes.is_empty() {
        return Ok(());
    }
    shares.script(batch);
    let told = agent.tell(ToGuest::Repeat { changes }).await;
    shares.script(&[]);
    told
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
