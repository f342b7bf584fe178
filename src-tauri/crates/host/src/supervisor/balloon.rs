//! Memory of the guest for the host, where the hypervisor wants to be told how much (macOS): a balloon in the guest's memory.
//!
//! ```text
//!  calm, more free than must stay ──▶ larger, half of the memory at a time, until only the margin is free
//!  short of the margin's half, needs grow fast, somebody comes, a first container ──▶ gone, all at once
//! ```
//!
//! The guest must never starve: a balloon does not shrink by itself when a program asks for memory. So while anything runs half
//! of the memory stays free, and the guest is looked at every second; a machine that nobody uses keeps a sixteenth, and gets all
//! back with the first byte that anybody sends it. A guest that does not answer gets all back, too.

use std::sync::Arc;
use std::time::Duration;

use cubby_machine::Balloon;
use cubby_wire::control::Figures;
use tokio::time::Instant;

use super::activity::Activity;
use crate::control::Control;
use crate::link::Link;

const MIB: u64 = 1 << 20;
/// How long all must be calm before memory is taken.
const CALM: Duration = Duration::from_secs(5);
/// The same after the guest was short of memory.
const PENANCE: Duration = Duration::from_secs(60);
/// What is not worth the work.
const CRUMBS: u64 = 64 * MIB;
/// The least that an idle guest keeps free.
const IDLE_MARGIN: u64 = 256 * MIB;

/// Keeps the balloon's size right until dropped.
pub(super) async fn keep(balloon: Arc<dyn Balloon>, link: Link, ask: Duration, activity: Arc<Activity>) {
    let mut policy = Policy::new(balloon.memory_bytes(), Instant::now());
    loop {
        let target = tokio::select! {
            () = tokio::time::sleep(policy.pause()) => {
                if activity.is_sleeping() {
                    continue;
                }
                let asked = async { Control::connect(&link, ask).await?.figures().await };
                match asked.await {
                    Ok(figures) => policy.decide(&Look::of(&figures, activity.quiet_for()), Instant::now()),
                    Err(_) => policy.let_go(Instant::now() + PENANCE),
                }
            }
            () = activity.used(), if policy.is_idle_and_holds() => policy.let_go(Instant::now() + CALM),
        };
        if let Some(target) = target {
            tracing::debug!(target_mib = target / MIB, "the guest's memory");
            balloon.set_target(target);
        }
    }
}

/// The guest's figures, as far as they matter.
#[derive(Clone, Copy, Debug)]
struct Look {
    /// Without what the balloon has.
    total: u64,
    available: u64,
    running: u32,
    /// Since when nobody sent anything.
    quiet: Duration,
}

impl Look {
    fn of(figures: &Figures, quiet: Duration) -> Look {
        Look {
            total: figures.memory_total_bytes,
            available: figures.memory_available_bytes,
            running: figures.containers_running,
            quiet,
        }
    }

    fn is_idle(&self) -> bool {
        self.running == 0 && self.quiet >= CALM
    }
}

struct Policy {
    /// What the machine was made with.
    memory: u64,
    /// What the guest calls its total when the balloon is empty.
    whole: u64,
    /// What was asked for.
    held: u64,
    last: Option<Look>,
    /// Nothing is taken before.
    calm_from: Instant,
}

impl Policy {
    fn new(memory: u64, now: Instant) -> Policy {
        Policy { memory, whole: 0, held: 0, last: None, calm_from: now + CALM }
    }

    /// Until the next look.
    fn pause(&self) -> Duration {
        match self.last {
            Some(last) if self.held > 0 && last.running > 0 => Duration::from_secs(1),
            _ => Duration::from_secs(2),
        }
    }

    fn is_idle_and_holds(&self) -> bool {
        self.held > 0 && self.last.is_some_and(|last| last.running == 0)
    }

    /// What the guest shall have from now on; `None`: as before.
    fn decide(&mut self, look: &Look, now: Instant) -> Option<u64> {
        let last = self.last.replace(*look);
        self.whole = self.whole.max(look.total);
        let first = look.running > 0 && last.is_none_or(|last| last.running == 0);
        if first || (look.running == 0 && !look.is_idle()) {
            return self.let_go(now + CALM);
        }
        if self.is_short(look, last.as_ref()) {
            return self.let_go(now + PENANCE);
        }
        if now < self.calm_from {
            return None;
        }
        let surplus = look.available.saturating_sub(self.margin(look) + self.under_way(look));
        let step = surplus.min(self.memory / 2) / MIB * MIB;
        if step < CRUMBS {
            return None;
        }
        self.held += step;
        Some(self.memory - self.held)
    }

    /// All of it, and nothing is taken before `calm_from`.
    fn let_go(&mut self, calm_from: Instant) -> Option<u64> {
        self.calm_from = self.calm_from.max(calm_from);
        (std::mem::take(&mut self.held) > 0).then_some(self.memory)
    }

    /// What must stay free.
    fn margin(&self, look: &Look) -> u64 {
        if look.is_idle() { (self.memory / 16).max(IDLE_MARGIN) } else { self.memory / 2 }
    }

    /// What was asked for and the guest has not given yet. Where its total does not show the balloon that is all of it, which
    /// makes one step the last.
    fn under_way(&self, look: &Look) -> u64 {
        self.held.saturating_sub(self.whole.saturating_sub(look.total))
    }

    fn is_short(&self, look: &Look, last: Option<&Look>) -> bool {
        let margin = self.margin(look);
        let needs = |look: &Look| look.total.saturating_sub(look.available);
        let grew = last.map_or(0, |last| needs(look).saturating_sub(needs(last) + self.under_way(last)));
        self.held > 0 && (look.available < margin / 2 || grew > margin / 4)
    }
}

#[cfg(test)]
mod tests;
