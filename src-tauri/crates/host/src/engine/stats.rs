//! What a container uses, and its processes: streams for whoever looks.

use std::collections::HashMap;
use std::time::Duration;

use bollard::Docker;
use bollard::models::{ContainerBlkioStats, ContainerNetworkStats, ContainerStatsResponse};
use bollard::query_parameters::{StatsOptionsBuilder, TopOptions};
use futures_util::StreamExt;
use tokio::sync::mpsc;

use super::convert::unix_ms;
use super::errors::app_error;
use crate::schema::{AppError, ProcessTable, StatsSample, Stream, StreamItem};

const PROCESSES_EVERY: Duration = Duration::from_secs(2);

/// One sample about every second, until it stops.
pub async fn open(docker: &Docker, container: &str) -> Result<Stream, AppError> {
    const TITLE: &str = "Its use could not be measured";
    let options = StatsOptionsBuilder::default().stream(true).build();
    let mut parts = docker.stats(container, Some(options)).boxed();
    let (items, stream) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut before: Option<Totals> = None;
        loop {
            let part = tokio::select! {
                part = parts.next() => part,
                () = items.closed() => return,
            };
            let item = match part {
                Some(Ok(part)) => {
                    let Some((now, sample)) = sample(&part, before.as_ref()) else {
                        // A container that does not run has no figures.
                        let _ = items.send(StreamItem::Ended { exit_code: None }).await;
                        return;
                    };
                    // Rates need two looks: the first one only begins.
                    if before.replace(now).is_none() {
                        continue;
                    }
                    StreamItem::Stats { sample }
                }
                Some(Err(err)) => StreamItem::Broken { error: app_error(TITLE, err) },
                None => StreamItem::Ended { exit_code: None },
            };
            let last = item.is_last();
            if items.send(item).await.is_err() || last {
                return;
            }
        }
    });
    Ok(stream)
}

/// Counters since the container's start.
struct Totals {
    at_unix_ms: u64,
    cpu: u64,
    system: u64,
    received: u64,
    sent: u64,
    read: u64,
    written: u64,
}

fn sample(found: &ContainerStatsResponse, before: Option<&Totals>) -> Option<(Totals, StatsSample)> {
    let cpu = found.cpu_stats.as_ref()?;
    let memory = found.memory_stats.as_ref()?;
    let (received, sent) = network(found.networks.as_ref());
    let (read, written) = disk(found.blkio_stats.as_ref());
    let now = Totals {
        at_unix_ms: found.read.as_deref().and_then(unix_ms)?,
        cpu: cpu.cpu_usage.as_ref().and_then(|usage| usage.total_usage).unwrap_or_default(),
        system: cpu.system_cpu_usage.unwrap_or_default(),
        received,
        sent,
        read,
        written,
    };
    let cpus = cpu.online_cpus.filter(|cpus| *cpus > 0).unwrap_or(1);
    let elapsed_ms = before.map_or(0, |before| now.at_unix_ms.saturating_sub(before.at_unix_ms));
    let rate = |of: fn(&Totals) -> u64| {
        let grown = before.map_or(0, |before| of(&now).saturating_sub(of(before)));
        grown.saturating_mul(1000).checked_div(elapsed_ms).unwrap_or_default()
    };
    let share = before.map_or(0.0, |before| {
        let system = now.system.saturating_sub(before.system);
        if system == 0 { 0.0 } else { now.cpu.saturating_sub(before.cpu) as f64 / system as f64 }
    });
    let inactive = memory.stats.as_ref().map_or(0, |stats| {
        stats.get("inactive_file").or_else(|| stats.get("total_inactive_file")).copied().unwrap_or_default()
    });
    let sample = StatsSample {
        at_unix_ms: now.at_unix_ms,
        cpu_percent: (share * f64::from(cpus) * 10_000.0).round() / 100.0,
        cpus,
        memory_bytes: memory.usage.unwrap_or_default().saturating_sub(inactive),
        memory_limit_bytes: memory.limit.unwrap_or_default(),
        received_bytes_per_s: rate(|totals| totals.received),
        sent_bytes_per_s: rate(|totals| totals.sent),
        read_bytes_per_s: rate(|totals| totals.read),
        written_bytes_per_s: rate(|totals| totals.written),
        processes: found.pids_stats.as_ref().and_then(|pids| pids.current).unwrap_or_default(),
    };
    Some((now, sample))
}

fn network(networks: Option<&HashMap<String, ContainerNetworkStats>>) -> (u64, u64) {
    let sum = |of: fn(&ContainerNetworkStats) -> Option<u64>| {
        networks.into_iter().flat_map(HashMap::values).filter_map(of).sum::<u64>()
    };
    (sum(|stats| stats.rx_bytes), sum(|stats| stats.tx_bytes))
}

fn disk(stats: Option<&ContainerBlkioStats>) -> (u64, u64) {
    let entries = stats.and_then(|stats| stats.io_service_bytes_recursive.as_deref()).unwrap_or_default();
    let sum = |wanted: &str| {
        let of = |op: &Option<String>| op.as_deref().is_some_and(|op| op.eq_ignore_ascii_case(wanted));
        entries.iter().filter(|entry| of(&entry.op)).filter_map(|entry| entry.value).sum::<u64>()
    };
    (sum("read"), sum("write"))
}

/// The process table, at once and whenever it changed.
pub async fn open_processes(docker: &Docker, container: &str) -> Result<Stream, AppError> {
    const TITLE: &str = "Its processes could not be listed";
    let first = processes(docker, container).await.map_err(|err| app_error(TITLE, err))?;
    let (docker, container) = (docker.clone(), container.to_owned());
    let (items, stream) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut shown = ProcessTable::default();
        let mut next = Ok(first);
        loop {
            let item = match next {
                Ok(table) if table == shown => None,
                Ok(table) => {
                    shown = table.clone();
                    Some(StreamItem::Processes { table })
                }
                Err(err) => Some(StreamItem::Broken { error: app_error(TITLE, err) }),
            };
            if let Some(item) = item {
                let last = item.is_last();
                if items.send(item).await.is_err() || last {
                    return;
                }
            }
            tokio::select! {
                () = tokio::time::sleep(PROCESSES_EVERY) => {}
                () = items.closed() => return,
            }
            next = processes(&docker, &container).await;
        }
    });
    Ok(stream)
}

async fn processes(docker: &Docker, container: &str) -> Result<ProcessTable, bollard::errors::Error> {
    let found = docker.top_processes(container, None::<TopOptions>).await?;
    Ok(ProcessTable { titles: found.titles.unwrap_or_default(), rows: found.processes.unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u32, cpu: u64, system: u64, sent: u64) -> ContainerStatsResponse {
        serde_json::from_value(serde_json::json!({
            "read": format!("2026-11-21T04:00:{second:02}Z"),
            "cpu_stats": {"cpu_usage": {"total_usage": cpu}, "system_cpu_usage": system, "online_cpus": 4},
            "memory_stats": {"usage": 1000, "limit": 9000, "stats": {"inactive_file": 400}},
            "networks": {"eth0": {"rx_bytes": 5, "tx_bytes": sent}},
            "pids_stats": {"current": 3},
        }))
        .unwrap()
    }

    #[test]
    fn rates_are_those_between_two_looks() {
        let (first, _) = sample(&at(1, 1_000, 10_000, 100), None).unwrap();
        let (_, second) = sample(&at(3, 2_000, 14_000, 4_100), Some(&first)).unwrap();
        // A quarter of four processors.
        assert_eq!((second.cpu_percent, second.cpus), (100.0, 4));
        assert_eq!((second.memory_bytes, second.memory_limit_bytes), (600, 9000));
        assert_eq!((second.sent_bytes_per_s, second.received_bytes_per_s, second.processes), (2000, 0, 3));
    }

    #[test]
    fn a_container_that_does_not_run_has_no_sample() {
        let idle = serde_json::json!({"read": "0001-01-01T00:00:00Z", "cpu_stats": {}, "memory_stats": {}});
        assert!(sample(&serde_json::from_value(idle).unwrap(), None).is_none());
    }
}
