//! What the engine has promised one client: every answer it gave before it was killed.

use std::collections::BTreeMap;

/// What is known about something: an operation without an answer leaves it open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    Yes,
    No,
    Open,
}

impl Known {
    /// Whether `found` contradicts it.
    pub fn contradicts(self, found: bool) -> bool {
        match self {
            Self::Yes => !found,
            Self::No => found,
            Self::Open => false,
        }
    }
}

/// A container of the client's.
#[derive(Clone, Debug)]
pub struct Item {
    pub exists: Known,
    pub runs: Known,
    pub id: Option<String>,
    /// It ends by itself with this code, having printed 1..=[`super::client::LINES`].
    pub ends_with: Option<i64>,
}

/// Everything one client was told.
#[derive(Debug, Default)]
pub struct Ledger {
    pub containers: BTreeMap<String, Item>,
    pub networks: BTreeMap<String, Known>,
    pub volumes: BTreeMap<String, Known>,
    /// Answers that no operation should get.
    pub faults: Vec<String>,
}

impl Ledger {
    pub fn ids(&self) -> impl Iterator<Item = String> {
        self.containers.values().filter_map(|item| item.id.clone())
    }
}
