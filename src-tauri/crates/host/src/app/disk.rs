//! Notices when a disk gets nearly full, and says so once, until there is room again: the machine's own, and the one of this
//! computer where the machine's data are kept.
//!
//! It looks after something changed that may have filled a disk, at most once a minute, and never wakes a machine that sleeps.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;

use super::Inner;
use crate::daemon::Client;
use crate::schema::{DiskKind, Event, MachinePhase, NewsKind};

const PAUSE: Duration = Duration::from_secs(60);
/// Free space from which on the machine's disk is nearly full: a tenth of it, but no more than this.
const MACHINE_BYTES: u64 = 4 << 30;
/// The same of this computer's. What `cubby doctor` warns of.
const COMPUTER_BYTES: u64 = 2 << 30;

pub(super) async fn watch(inner: Arc<Inner>) {
    let mut changes = inner.world.changes();
    let mut told = Told::default();
    loop {
        if let Some(space) = computer(&inner).await {
            tell(&inner, &mut told, DiskKind::Computer, space);
        }
        if let Some(space) = machine(&inner).await {
            tell(&inner, &mut told, DiskKind::Machine, space);
        }
        tokio::time::sleep(PAUSE).await;
        loop {
            match changes.recv().await {
                Ok(change) if fills(&change.event) => break,
                Err(RecvError::Lagged(_)) => break,
                Err(RecvError::Closed) => return,
                Ok(_) => {}
            }
        }
    }
}

fn fills(event: &Event) -> bool {
    matches!(event, Event::Container { .. } | Event::Images { .. } | Event::Volumes { .. } | Event::Machine { .. })
}

#[derive(Clone, Copy, Debug)]
struct Space {
    free_bytes: u64,
    total_bytes: u64,
}

fn tell(inner: &Inner, told: &mut Told, disk: DiskKind, space: Space) {
    if told.is_news(disk, space) {
        let Space { free_bytes, total_bytes } = space;
        inner.tell(NewsKind::DiskNearlyFull { disk, free_bytes, total_bytes });
    }
}

/// What was said, so that it is said once.
#[derive(Default)]
struct Told(HashSet<DiskKind>);

impl Told {
    fn is_news(&mut self, disk: DiskKind, space: Space) -> bool {
        let enough = match disk {
            DiskKind::Machine => MACHINE_BYTES.min(space.total_bytes / 10),
            DiskKind::Computer => COMPUTER_BYTES,
        };
        if space.free_bytes < enough {
            return self.0.insert(disk);
        }
        // A little more than enough: a disk at the border is not news again and again.
        if space.free_bytes > enough + enough / 5 {
            self.0.remove(&disk);
        }
        false
    }
}

async fn machine(inner: &Inner) -> Option<Space> {
    let own = inner.own.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    if own.phase != MachinePhase::Running || own.sleeping {
        return None;
    }
    let figures = Client::connect(&inner.dirs).await.ok()??.figures().await.ok()?;
    let free_bytes = figures.disk_total_bytes.checked_sub(figures.disk_used_bytes)?;
    (figures.disk_total_bytes > 0).then_some(Space { free_bytes, total_bytes: figures.disk_total_bytes })
}

async fn computer(inner: &Inner) -> Option<Space> {
    let state = inner.dirs.state.clone();
    let asked = tokio::task::spawn_blocking(move || crate::doctor::space(&state)).await;
    asked.ok()?.map(|(free_bytes, total_bytes)| Space { free_bytes, total_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_news_when_it_gets_full_and_again_only_after_there_was_room() {
        let mut told = Told::default();
        let of_64 = |free_gib: u64| Space { free_bytes: free_gib << 30, total_bytes: 64 << 30 };
        let news: Vec<bool> =
            [30, 3, 2, 4, 3, 6, 3].map(|free| told.is_news(DiskKind::Machine, of_64(free))).into_iter().collect();
        assert_eq!(news, [false, true, false, false, false, false, true]);
        assert!(told.is_news(DiskKind::Computer, of_64(1)), "each disk for itself");
    }

    #[test]
    fn a_small_disk_has_a_small_border() {
        let free = |mib: u64| Space { free_bytes: mib << 20, total_bytes: 8 << 30 };
        assert!(!Told::default().is_news(DiskKind::Machine, free(900)));
        assert!(Told::default().is_news(DiskKind::Machine, free(700)));
    }
}
