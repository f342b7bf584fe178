//! Pushes a snapshot and then what changes, at most one message per frame, the newest state of each object only; to a hidden
//! window news only.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, mpsc};

use super::{Outgoing, send};
use crate::schema::{Backend, Change, Command, Event, HostMessage, Reply};

const FRAME: Duration = Duration::from_millis(16);
/// Changes taken together; the next message carries the rest.
const CHANGES_AT_ONCE: usize = 4096;

pub(super) async fn watch<B: Backend>(backend: Arc<B>, out: mpsc::Sender<Outgoing>) {
    let _looking = backend.looking();
    while !out.is_closed() {
        // Listening comes first: a change between the two is then seen twice, never missed.
        let mut events = backend.events();
        let snapshot = match backend.call(Command::Snapshot).await {
            Ok(Reply::Snapshot { snapshot }) => snapshot,
            other => {
                tracing::error!(?other, "the host gave no snapshot");
                return;
            }
        };
        let seen = snapshot.revision;
        send(&out, &HostMessage::Snapshot { snapshot }).await;
        if follow(&mut events, seen, &out).await.is_none() {
            return;
        }
    }
}

/// What somebody who does not look would want to know, and nothing else.
pub(super) async fn news(mut events: broadcast::Receiver<Change>, out: mpsc::Sender<Outgoing>) {
    while !out.is_closed() {
        match events.recv().await {
            Ok(change) if matches!(change.event, Event::News { .. }) => {
                send(&out, &HostMessage::Changes { changes: vec![change] }).await;
            }
            // What was missed is old news.
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

/// Returns `Some` when changes were missed and a new snapshot is due, `None` when there will be no more.
async fn follow(events: &mut broadcast::Receiver<Change>, seen: u64, out: &mpsc::Sender<Outgoing>) -> Option<()> {
    loop {
        let mut changes = match events.recv().await {
            Ok(change) => vec![change],
            Err(RecvError::Lagged(_)) => return Some(()),
            Err(RecvError::Closed) => return None,
        };
        let frame = tokio::time::sleep(FRAME);
        let mut lagged = false;
        while changes.len() < CHANGES_AT_ONCE {
            match events.try_recv() {
                Ok(change) => changes.push(change),
                Err(TryRecvError::Lagged(_)) => {
                    lagged = true;
                    break;
                }
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        changes.retain(|change| change.revision > seen);
        let changes = newest_only(changes);
        if !changes.is_empty() {
            send(out, &HostMessage::Changes { changes }).await;
        }
        if lagged {
            return Some(());
        }
        frame.await;
    }
}

#[derive(PartialEq, Eq, Hash)]
enum Subject {
    Machine,
    Container(String),
    AllContainers,
    Images,
    Volumes,
    Networks,
    Job(u32),
    Engines,
    News(u32),
}

fn subject(event: &Event) -> Subject {
    match event {
        Event::Machine { .. } => Subject::Machine,
        Event::Container { container } => Subject::Container(container.id.clone()),
        Event::ContainerRemoved { id } => Subject::Container(id.clone()),
        Event::Containers { .. } => Subject::AllContainers,
        Event::Images { .. } => Subject::Images,
        Event::Volumes { .. } => Subject::Volumes,
        Event::Networks { .. } => Subject::Networks,
        Event::Job { job } => Subject::Job(job.id),
        Event::JobRemoved { id } => Subject::Job(*id),
        Event::Engines { .. } => Subject::Engines,
        Event::News { news } => Subject::News(news.id),
    }
}

/// Drops every change that a later one about the same object overwrites; keeps the order of the rest.
fn newest_only(changes: Vec<Change>) -> Vec<Change> {
    let mut seen = HashSet::new();
    let mut kept: Vec<Change> = Vec::with_capacity(changes.len());
    for change in changes.into_iter().rev() {
        let subject = subject(&change.event);
        let overwritten = matches!(subject, Subject::Container(_)) && seen.contains(&Subject::AllContainers);
        if !overwritten && seen.insert(subject) {
            kept.push(change);
        }
    }
    kept.reverse();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn removed(revision: u64, id: &str) -> Change {
        Change { revision, event: Event::ContainerRemoved { id: id.into() } }
    }

    fn all(revision: u64) -> Change {
        Change { revision, event: Event::Containers { containers: vec![] } }
    }

    #[test]
    fn later_changes_overwrite_earlier_ones_of_the_same_object() {
        let kept = newest_only(vec![removed(1, "a"), removed(2, "b"), removed(3, "a")]);
        assert_eq!(kept.iter().map(|change| change.revision).collect::<Vec<_>>(), [2, 3]);
    }

    #[test]
    fn a_whole_list_overwrites_what_came_before_it_only() {
        let kept = newest_only(vec![removed(1, "a"), all(2), removed(3, "a")]);
        assert_eq!(kept.iter().map(|change| change.revision).collect::<Vec<_>>(), [2, 3]);
    }
}
