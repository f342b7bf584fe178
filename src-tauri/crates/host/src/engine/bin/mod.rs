//! Removing in a way that can be undone: containers, images, volumes.
//!
//! What is in the bin is told by names in the engine, nothing of ours is kept beside it: a crash of the app loses nothing, two
//! apps agree, and any Docker engine will do. Each kind has its own way, because Docker lets each be named in its own way.
//!
//! | what | in the bin it is | what is free at once |
//! |---|---|---|
//! | container | stopped and renamed | its name, its ports |
//! | image | tagged with a name of ours, its own names taken away | its names |
//! | volume | as it was; an empty volume beside it is the mark | nothing: Docker cannot rename volumes |
//!
//! Everything goes for good after [`KEPT`], the oldest earlier when the bin takes more than its budget.

pub mod containers;
pub mod images;
pub mod volumes;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard::Docker;
use bollard::errors::Error;

use crate::schema::Kept;

/// How long the bin keeps what is in it.
pub const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// Removes for good what is too old or too much, of every kind.
pub async fn sweep(docker: &Docker) -> Result<(), Error> {
    containers::sweep(docker, false).await?;
    images::sweep(docker, false).await?;
    volumes::sweep(docker, false).await
}

fn now_unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// When it went in, and when it goes for good. `None`: a time that nobody wrote.
fn kept(at_unix_s: u64) -> Option<Kept> {
    let at_unix_ms = at_unix_s.checked_mul(1000)?;
    Some(Kept { at_unix_ms, until_unix_ms: at_unix_ms.checked_add(KEPT.as_millis() as u64)? })
}

/// What the bin gives up: everything, or what is too old, and of the rest the oldest that are beyond the budget.
struct Budget {
    everything: bool,
    oldest_unix_s: u64,
    left_bytes: u64,
}

impl Budget {
    fn of(bytes: u64, everything: bool) -> Self {
        Self { everything, oldest_unix_s: now_unix_s().saturating_sub(KEPT.as_secs()), left_bytes: bytes }
    }

    /// Asked for the newest first.
    fn keeps(&mut self, at_unix_s: u64, bytes: u64) -> bool {
        if self.everything || at_unix_s < self.oldest_unix_s {
            return false;
        }
        let left = self.left_bytes.checked_sub(bytes);
        // Once something did not fit, nothing older does.
        self.left_bytes = left.unwrap_or(0);
        left.is_some()
    }

    /// Whether the size matters at all: to know it may cost the engine a walk over the files.
    fn asks_size(&self, at_unix_s: u64) -> bool {
        !self.everything && at_unix_s >= self.oldest_unix_s
    }
}

/// Gone, or in use meanwhile: no reason to stop sweeping.
fn forgiven(done: Result<(), Error>) -> Result<(), Error> {
    match done {
        Err(Error::DockerResponseServerError { status_code: 404 | 409, .. }) => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_stay_as_far_as_the_budget_reaches() {
        let now = now_unix_s();
        let mut budget = Budget::of(10, false);
        let kept: Vec<bool> = [(now, 6), (now - 1, 4), (now - 2, 1), (now - 3, 0), (1, 0)]
            .map(|(at, bytes)| budget.keeps(at, bytes))
            .into_iter()
            .collect();
        assert_eq!(kept, [true, true, false, true, false]);
        assert!(!Budget::of(10, true).keeps(now, 0));
    }
}
