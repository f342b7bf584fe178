//! Stats: what a container uses, in the shape of `GET /containers/{id}/stats`.
//! Source: moby daemon/stats_unix.go, API 1.50 `ContainerStatsResponse`.

use std::{fs, sync::Arc, time::SystemTime};

use cubby_runtime::cgroup::{Cgroup, Stats};
use serde_json::{Map, Value, json};

use super::{Container, Containers};
use crate::{
    error::{Error, Result},
    timestamps::{ZERO, rfc3339_nano},
};

/// Nanoseconds of a clock tick: `_SC_CLK_TCK` is 100 on Linux.
const TICK_NS: u64 = 10_000_000;

/// One client's view of a container's figures: each sample has the one before beside it.
pub struct StatsStream {
    containers: Arc<Containers>,
    container: Arc<Container>,
    before: (Value, String),
}

impl Containers {
    pub fn stats(&self, name: &str) -> Result<StatsStream> {
        let container = self.find(name)?;
        Ok(StatsStream { containers: self.me(), container, before: (cpu_stats(None, 0, 0), ZERO.to_owned()) })
    }
}

impl StatsStream {
    /// Whether there is something to measure.
    pub fn is_running(&self) -> bool {
        self.container.record().state.has_process()
    }

    /// The figures as of now; `None` when the container has been removed.
    pub async fn sample(&mut self) -> Result<Option<Value>> {
        if *self.container.removed.borrow() {
            return Ok(None);
        }
        let cgroup = self.container.live().as_ref().map(|live| live.cgroup.clone());
        let pid = self.container.record().state.pid;
        let memory = self.containers.parts.host.memory_bytes;
        let measured = match cgroup {
            None => None,
            Some(cgroup) => {
                let measured = tokio::task::spawn_blocking(move || measure(&cgroup, pid)).await;
                // Why no error: it may have ended between the look and the measurement.
                measured.map_err(|error| Error::internal(error.to_string()))?.ok()
            }
        };
        Ok(Some(self.shape(measured, memory)))
    }

    fn shape(&mut self, measured: Option<Measured>, memory_bytes: u64) -> Value {
        let record = self.container.record();
        let mut document = json!({
            "name": format!("/{}", record.name),
            "id": record.id,
            "num_procs": 0,
            "storage_stats": {},
            "preread": self.before.1,
            "precpu_stats": self.before.0,
        });
        let Some(measured) = measured else {
            document["read"] = json!(ZERO);
            document["cpu_stats"] = cpu_stats(None, 0, 0);
            document["memory_stats"] = json!({});
            document["pids_stats"] = json!({});
            document["blkio_stats"] = blkio(None);
            return document;
        };
        let read = rfc3339_nano(SystemTime::now());
        let cpu = cpu_stats(Some(&measured.stats), measured.system_ns, measured.cpus);
        document["read"] = json!(read);
        document["cpu_stats"] = cpu.clone();
        document["memory_stats"] = memory(&measured.stats, memory_bytes);
        document["pids_stats"] = pids(&measured.stats);
        document["blkio_stats"] = blkio(Some(&measured.stats));
        if !measured.networks.is_empty() {
            document["networks"] = Value::Object(measured.networks);
        }
        self.before = (cpu, read);
        document
    }
}

struct Measured {
    stats: Stats,
    system_ns: u64,
    cpus: u32,
    networks: Map<String, Value>,
}

fn measure(cgroup: &Cgroup, pid: i32) -> Result<Measured> {
    let stats = cgroup.stats().map_err(|source| Error::system("read the container's figures", source))?;
    let (system_ns, cpus) = system(&fs::read_to_string("/proc/stat").unwrap_or_default());
    let devices = fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default();
    Ok(Measured { stats, system_ns, cpus, networks: networks(&devices) })
}

/// Time of all processors, and how many there are, from `/proc/stat`.
fn system(text: &str) -> (u64, u32) {
    let mut total = 0;
    let mut cpus = 0;
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("cpu") => {
                let ticks = words.take(7).filter_map(|word| word.parse::<u64>().ok()).sum::<u64>();
                total = ticks.saturating_mul(TICK_NS);
            }
            Some(name) if name.starts_with("cpu") => cpus += 1,
            _ => break,
        }
    }
    (total, cpus)
}

/// Counters by interface, from `/proc/PID/net/dev`.
fn networks(text: &str) -> Map<String, Value> {
    let mut map = Map::new();
    for line in text.lines().skip(2) {
        let Some((name, counters)) = line.split_once(':') else { continue };
        let counters: Vec<u64> = counters.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let name = name.trim();
        if counters.len() < 16 || name == "lo" {
            continue;
        }
        let figures = json!({
            "rx_bytes": counters[0], "rx_packets": counters[1], "rx_errors": counters[2], "rx_dropped": counters[3],
            "tx_bytes": counters[8], "tx_packets": counters[9], "tx_errors": counters[10], "tx_dropped": counters[11],
        });
        map.insert(name.to_owned(), figures);
    }
    map
}

fn cpu_stats(stats: Option<&Stats>, system_ns: u64, cpus: u32) -> Value {
    let zero = Stats::default();
    let figures = stats.unwrap_or(&zero);
    let mut document = json!({
        "cpu_usage": {
            "total_usage": figures.cpu_usage_ns,
            "usage_in_kernelmode": figures.cpu_system_ns,
            "usage_in_usermode": figures.cpu_user_ns,
        },
        "throttling_data": {
            "periods": figures.throttling_periods,
            "throttled_periods": figures.throttled_periods,
            "throttled_time": figures.throttled_ns,
        },
    });
    if stats.is_some() {
        document["system_cpu_usage"] = json!(system_ns);
        document["online_cpus"] = json!(cpus);
    }
    document
}

fn memory(stats: &Stats, machine_bytes: u64) -> Value {
    let details: Map<String, Value> =
        stats.memory_stat.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let mut document = json!({
        "usage": stats.memory_usage_bytes,
        "stats": details,
        "limit": stats.memory_limit_bytes.unwrap_or(machine_bytes).min(machine_bytes),
    });
    for (name, value) in [("max_usage", stats.memory_max_usage_bytes), ("failcnt", stats.memory_failcnt)] {
        if value > 0 {
            document[name] = json!(value);
        }
    }
    document
}

fn pids(stats: &Stats) -> Value {
    // Why: dockerd says "no limit" with the largest number there is.
    json!({ "current": stats.pids_current, "limit": stats.pids_limit.unwrap_or(u64::MAX) })
}

fn blkio(stats: Option<&Stats>) -> Value {
    let entries = |figures: fn(&cubby_runtime::cgroup::IoStats) -> [(&'static str, u64); 2]| -> Value {
        let list: Vec<Value> = stats
            .iter()
            .flat_map(|stats| &stats.io)
            .flat_map(|device| {
                figures(device).map(
                    |(op, value)| json!({ "major": device.major, "minor": device.minor, "op": op, "value": value }),
                )
            })
            .collect();
        if list.is_empty() { Value::Null } else { Value::Array(list) }
    };
    json!({
        "io_service_bytes_recursive": entries(|io| [("read", io.read_bytes), ("write", io.write_bytes)]),
        "io_serviced_recursive": entries(|io| [("read", io.read_ops), ("write", io.write_ops)]),
        "io_queue_recursive": null,
        "io_service_time_recursive": null,
        "io_wait_time_recursive": null,
        "io_merged_recursive": null,
        "io_time_recursive": null,
        "sectors_recursive": null,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_texts_are_read() {
        assert_eq!(system("cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1\ncpu1 1\nintr 5\n"), (28 * TICK_NS, 2));
        let text = "Inter-|   Receive\n face |bytes\n    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n  eth0: 10 2 3 4 0 0 0 0 20 5 6 7 0 0 0 0\n";
        let map = networks(text);
        assert_eq!(map.len(), 1);
        assert_eq!((&map["eth0"]["rx_bytes"], &map["eth0"]["tx_dropped"]), (&json!(10), &json!(7)));
    }
}
