//! Figures for whoever looks at them, and only then.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::Inner;
use crate::schema::{AppError, Figures, MachinePhase, Stream, StreamItem};

const EVERY: Duration = Duration::from_secs(2);

pub(super) async fn open(inner: Arc<Inner>) -> Result<Stream, AppError> {
    let (items, stream) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = items.closed() => return,
            }
            let figures = if *inner.phase.borrow() == MachinePhase::Running { sample(&inner).await } else { None };
            let item = StreamItem::Figures { figures: figures.unwrap_or_default() };
            if items.send(item).await.is_err() {
                return;
            }
        }
    });
    Ok(stream)
}

async fn sample(inner: &Inner) -> Option<Figures> {
    let mut daemon = crate::daemon::Client::connect(&inner.dirs).await.ok()??;
    let figures = daemon.figures().await.ok()?;
    let known = |bytes: u64| (bytes > 0).then_some(bytes);
    Some(Figures {
        cpus: figures.cpus,
        memory_total_bytes: figures.memory_total_bytes,
        memory_used_bytes: figures.memory_used_bytes,
        memory_reclaimable_bytes: figures.memory_reclaimable_bytes,
        memory_free_bytes: figures.memory_free_bytes,
        engine_resident_bytes: figures.engine_resident_bytes,
        disk_total_bytes: figures.disk_total_bytes,
        disk_used_bytes: figures.disk_used_bytes,
        host_memory_bytes: known(figures.host_resident_bytes),
        host_disk_bytes: known(figures.host_disk_bytes),
    })
}
