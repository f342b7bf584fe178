//! The guest's wall clock, kept at the host's.
//!
//! ```text
//!  host slept, or its clock was set ──▶ noticed within half a second ─┐
//!  guest's clock was set (ClockStepped) ──────────────────────────────┼──▶ compare, set when more than 50 ms off
//!  every half minute: drift ──────────────────────────────────────────┘
//! ```
//!
//! One task per machine, so that neither a guest that steps its clock all the time nor a slow one can pile up work.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;

use super::activity::Activity;
use crate::control::{Control, ControlError};
use crate::link::Link;

#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// How often the host's two clocks are compared with each other.
    pub jumps: Duration,
    /// How often the guest's clock is compared with the host's.
    pub drift: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { jumps: Duration::from_millis(500), drift: Duration::from_secs(30) }
    }
}

/// A difference that programs notice; setting a clock for less does more harm than good.
const TOLERANCE: Duration = Duration::from_millis(50);
/// Between two looks, so that a guest whose clock runs wild costs little.
const PAUSE: Duration = Duration::from_millis(250);
const WORTH_A_WORD: Duration = Duration::from_millis(500);
/// More than the wall clock is slewed by within one look.
const JUMP: Duration = Duration::from_millis(100);

/// Runs as long as the machine does. `look` asks for a comparison now.
pub(super) async fn keep(link: Link, patience: Duration, config: Config, activity: Arc<Activity>, look: Arc<Notify>) {
    let mut jumps = Jumps::new();
    let mut ticks = tokio::time::interval(config.jumps);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut drift = tokio::time::interval(config.drift);
    drift.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = look.notified() => {}
            _ = drift.tick() => {}
            _ = ticks.tick() => if !jumps.jumped() { continue },
        }
        // One that sleeps is looked at when it wakes.
        if activity.is_sleeping() {
            continue;
        }
        match correct(&link, patience).await {
            Ok(None) => {}
            Ok(Some(off)) if off < WORTH_A_WORD => tracing::debug!(?off, "the guest's clock was wrong and is set"),
            Ok(Some(off)) => tracing::info!(?off, "the guest's clock was wrong and is set"),
            Err(err) => tracing::warn!(%err, "the guest's clock could not be looked at"),
        }
        // Setting it is a step, too, which the guest tells; and one that runs at a wrong rate is soon wrong again.
        tokio::time::sleep(PAUSE).await;
    }
}

/// Compares, and sets the guest's clock when it is off; tells by how much it was.
async fn correct(link: &Link, patience: Duration) -> Result<Option<Duration>, ControlError> {
    let mut control = Control::connect(link, patience).await?;
    let asked = Instant::now();
    let guest_ns = control.figures().await?.unix_ns;
    let host_ns = unix_ns();
    // The guest answered at some time in between.
    let trip = asked.elapsed();
    let off = Duration::from_nanos(host_ns.abs_diff(guest_ns)).saturating_sub(trip);
    if off <= TOLERANCE {
        return Ok(None);
    }
    control.set_clock().await?;
    Ok(Some(off))
}

fn unix_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64)
}

/// Notices that the wall clock went another way than the monotonic one: after sleep, or when somebody set it.
struct Jumps {
    seen: (Instant, SystemTime),
}

impl Jumps {
    fn new() -> Self {
        Self { seen: (Instant::now(), SystemTime::now()) }
    }

    fn jumped(&mut self) -> bool {
        self.jumped_at(Instant::now(), SystemTime::now())
    }

    fn jumped_at(&mut self, mono: Instant, wall: SystemTime) -> bool {
        let expected = self.seen.1 + mono.duration_since(self.seen.0);
        self.seen = (mono, wall);
        wall.duration_since(expected).unwrap_or_else(|err| err.duration()) > JUMP
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleep_and_steps_are_jumps_and_time_that_passes_is_none() {
        let (mono, wall) = (Instant::now(), SystemTime::now());
        let mut jumps = Jumps { seen: (mono, wall) };
        let second = Duration::from_secs(1);
        assert!(!jumps.jumped_at(mono + second, wall + second));
        assert!(!jumps.jumped_at(mono + 2 * second, wall + 2 * second + Duration::from_millis(20)), "slewed");
        assert!(jumps.jumped_at(mono + 3 * second, wall + 3600 * second), "slept");
        assert!(jumps.jumped_at(mono + 4 * second, wall + 100 * second), "set back");
        assert!(!jumps.jumped_at(mono + 5 * second, wall + 101 * second));
    }
}
