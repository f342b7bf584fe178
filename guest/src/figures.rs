//! The machine's own view of its resources, from procfs.

use std::{fs, io, path::Path, time::SystemTime};

use cubby_wire::control::Figures;

use crate::give_back;

/// Reads everything that [`Figures`] has; `data_root` tells which filesystem is the data disk.
pub fn read(data_root: &Path, containers_running: usize) -> io::Result<Figures> {
    let meminfo = fs::read_to_string("/proc/meminfo")?;
    let uptime = fs::read_to_string("/proc/uptime")?;
    let disk = rustix::fs::statvfs(data_root)?;
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_err(io::Error::other)?;
    Ok(Figures {
        uptime_ms: uptime.split(' ').next().and_then(|s| s.parse::<f64>().ok()).map_or(0, |s| (s * 1000.0) as u64),
        unix_ns: since_epoch.as_nanos() as i64,
        cpus: std::thread::available_parallelism().map_or(1, |n| n.get() as u32),
        memory_total_bytes: kib_field(&meminfo, "MemTotal:") * 1024,
        memory_available_bytes: kib_field(&meminfo, "MemAvailable:") * 1024,
        memory_reclaimable_bytes: give_back::caches_bytes(&meminfo),
        memory_free_bytes: kib_field(&meminfo, "MemFree:") * 1024,
        containers_running: u32::try_from(containers_running).unwrap_or(u32::MAX),
        engine_resident_bytes: resident("self")?,
        init_resident_bytes: resident("1")?,
        disk_total_bytes: disk.f_blocks * disk.f_frsize,
        disk_free_bytes: disk.f_bavail * disk.f_frsize,
    })
}

fn resident(process: &str) -> io::Result<u64> {
    Ok(kib_field(&fs::read_to_string(format!("/proc/{process}/status"))?, "VmRSS:") * 1024)
}

pub fn kib_field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_this_machine_are_plausible() {
        let figures = read(Path::new("/"), 3).unwrap();
        assert!(figures.memory_total_bytes > figures.memory_available_bytes);
        assert!(figures.disk_total_bytes >= figures.disk_free_bytes);
        assert_eq!(figures.containers_running, 3);
        assert!(figures.engine_resident_bytes > 0 && figures.uptime_ms > 0);
    }
}
