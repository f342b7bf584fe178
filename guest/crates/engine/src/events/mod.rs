//! Events: what happened, to whom, when; a bounded history for `since`, and a live feed.
//!
//! Order is the order of [`EventBus::publish`] calls: history and feed are fed under one lock, so that a subscriber that
//! asks for history and then the feed sees every event exactly once.

pub mod selection;

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::Serialize;
use tokio::sync::broadcast;

/// Events kept for `since`. Source: moby daemon/events `eventsLimit`.
const HISTORY: usize = 256;
/// Events a slow subscriber may lag behind before it misses some.
const FEED: usize = 1024;

/// One event in Docker's shape (API 1.50 `EventMessage`, with the legacy fields that older clients read).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(rename = "Type")]
    pub kind: &'static str,
    #[serde(rename = "Action")]
    pub action: String,
    #[serde(rename = "Actor")]
    pub actor: Actor,
    pub scope: &'static str,
    pub time: i64,
    #[serde(rename = "timeNano")]
    pub time_nano: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Actor {
    #[serde(rename = "ID")]
    pub id: String,
    #[serde(rename = "Attributes")]
    pub attributes: HashMap<String, String>,
}

impl Event {
    /// An event of `kind` (`container`, `image`, `volume`, `network`, `daemon`, `builder`) happening now.
    pub fn now(
        kind: &'static str,
        action: impl Into<String>,
        id: impl Into<String>,
        attributes: HashMap<String, String>,
    ) -> Self {
        let (action, id) = (action.into(), id.into());
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as i64);
        let legacy = kind == "container" || kind == "image";
        Self {
            status: legacy.then(|| action.clone()),
            // Why not when empty: dockerd leaves it out then (prune events are about nothing in particular).
            id: (legacy && !id.is_empty()).then(|| id.clone()),
            from: (kind == "container").then(|| attributes.get("image").cloned()).flatten(),
            kind,
            action,
            actor: Actor { id, attributes },
            scope: "local",
            time: nanos / 1_000_000_000,
            time_nano: nanos,
        }
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub struct EventBus {
    history: Mutex<VecDeque<Event>>,
    feed: broadcast::Sender<Event>,
}

impl Default for EventBus {
    fn default() -> Self {
        Self { history: Mutex::new(VecDeque::with_capacity(HISTORY)), feed: broadcast::channel(FEED).0 }
    }
}

impl EventBus {
    pub fn publish(&self, event: Event) {
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        if history.len() == HISTORY {
            history.pop_front();
        }
        history.push_back(event.clone());
        // Why: an error only says that nobody listens.
        let _ = self.feed.send(event);
    }

    /// Subscribers at this moment.
    pub fn listeners(&self) -> usize {
        self.feed.receiver_count()
    }

    /// The history as of now and every event after it, without gap or overlap.
    pub fn subscribe(&self) -> (Vec<Event>, broadcast::Receiver<Event>) {
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        (history.iter().cloned().collect(), self.feed.subscribe())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_is_bounded_and_joins_the_feed_without_a_gap() {
        let bus = EventBus::default();
        for n in 0..HISTORY + 10 {
            bus.publish(Event::now("volume", "create", n.to_string(), HashMap::new()));
        }
        let (history, mut feed) = bus.subscribe();
        assert_eq!(history.len(), HISTORY);
        assert_eq!(history[0].actor.id, "10");
        bus.publish(Event::now("volume", "destroy", "last", HashMap::new()));
        assert_eq!(feed.try_recv().unwrap().actor.id, "last");
    }
}
