//! One hierarchy per controller (natively on older or hybrid systems).

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use oci_spec::runtime::LinuxResources;

use super::hierarchy::{Hierarchies, is_absent};
use super::{CgroupError, CgroupPath, Stats, files, resources, stats};
use crate::sys;

/// v1 has no notification of these; how often we look.
const LOOK_AGAIN: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(10);

/// A new cpuset takes no process until it has processors and memory nodes: those of its parent, level by level.
pub(super) fn inherit_cpuset(root: &Path, relative: &Path) -> Result<(), CgroupError> {
    let levels: Vec<&Path> = relative.ancestors().filter(|level| !level.as_os_str().is_empty()).collect();
    for level in levels.into_iter().rev() {
        for name in ["cpuset.cpus", "cpuset.mems"] {
            let file = root.join(level).join(name);
            let has = std::fs::read_to_string(&file).map_err(CgroupError::io("read", &file))?;
            if has.trim().is_empty() {
                let parent = root.join(level.parent().unwrap_or(Path::new(""))).join(name);
                let value = std::fs::read_to_string(&parent).map_err(CgroupError::io("read", &parent))?;
                files::write(&file, value.trim())?;
            }
        }
    }
    Ok(())
}

pub(super) fn apply(hierarchies: &Hierarchies, path: &CgroupPath, wanted: &LinuxResources) -> Result<(), CgroupError> {
    let settings = resources::v1(wanted);
    let mut late = Vec::new();
    for setting in &settings {
        let Some(dir) = hierarchies.v1_dir(path, setting.controller) else {
            if !setting.optional {
                let source = io::Error::from_raw_os_error(libc::ENODEV);
                let path = Path::new(setting.controller).join(&setting.file);
                return Err(CgroupError::Limit { path, value: setting.value.clone(), source });
            }
            continue;
        };
        match files::write(&dir.join(&setting.file), &setting.value) {
            Err(CgroupError::Limit { source, .. }) if setting.optional && is_absent(&source) => {
                tracing::debug!(file = setting.file, "limit not supported by this kernel");
            }
            // Memory may not exceed memory+swap: when both grow, the other comes first.
            Err(_) if setting.file == "memory.limit_in_bytes" => late.push(setting),
            done => done?,
        }
    }
    for setting in late {
        if let Some(dir) = hierarchies.v1_dir(path, setting.controller) {
            files::write(&dir.join(&setting.file), &setting.value)?;
        }
    }
    Ok(())
}

pub(super) fn freeze(hierarchies: &Hierarchies, path: &CgroupPath, frozen: bool) -> Result<(), CgroupError> {
    let dir = hierarchies.v1_dir(path, "freezer").ok_or(CgroupError::Nothing)?;
    let file = dir.join("freezer.state");
    let wanted = if frozen { "FROZEN" } else { "THAWED" };
    let deadline = Instant::now() + PATIENCE;
    loop {
        // Written again each time: a process born meanwhile escapes the first.
        std::fs::write(&file, wanted).map_err(CgroupError::io("write", &file))?;
        let state = std::fs::read_to_string(&file).map_err(CgroupError::io("read", &file))?;
        if state.trim() == wanted {
            return Ok(());
        }
        if Instant::now() > deadline {
            let _ = std::fs::write(&file, "THAWED");
            return Err(CgroupError::io("freeze", dir)(io::ErrorKind::TimedOut.into()));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Until nothing is left: what is killed may just have forked.
pub(super) fn kill_all(path: &CgroupPath) -> Result<(), CgroupError> {
    let Some(dir) = path.v1.first() else { return Ok(()) };
    let deadline = Instant::now() + PATIENCE;
    loop {
        let pids = match files::pids_below(dir) {
            Err(CgroupError::Io { source, .. }) if files::is_gone(&source) => return Ok(()),
            pids => pids?,
        };
        if pids.is_empty() || Instant::now() > deadline {
            return Ok(());
        }
        for pid in pids {
            sys::kill(pid, libc::SIGKILL);
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// A limit this high is none (page-rounded maximum).
const NO_LIMIT: u64 = 1 << 62;

pub(super) fn stats(hierarchies: &Hierarchies, path: &CgroupPath) -> Result<Stats, CgroupError> {
    let dir = |controller: &str| hierarchies.v1_dir(path, controller);
    let number = |controller: &str, file: &str| dir(controller).and_then(|dir| files::number(&dir.join(file)));
    let keyed = |controller: &str, file: &str| {
        dir(controller).and_then(|dir| files::keyed(&dir.join(file)).ok()).unwrap_or_default()
    };
    let text = |controller: &str, file: &str| {
        dir(controller).and_then(|dir| std::fs::read_to_string(dir.join(file)).ok()).unwrap_or_default()
    };
    if let Some(dir) = path.v1.first()
        && !dir.exists()
    {
        return Err(CgroupError::io("read", dir)(io::ErrorKind::NotFound.into()));
    }
    let throttling = keyed("cpu", "cpu.stat");
    let throttled = |key: &str| files::find(&throttling, key).unwrap_or(0);
    Ok(Stats {
        cpu_usage_ns: number("cpuacct", "cpuacct.usage").unwrap_or(0),
        cpu_user_ns: number("cpuacct", "cpuacct.usage_user").unwrap_or(0),
        cpu_system_ns: number("cpuacct", "cpuacct.usage_sys").unwrap_or(0),
        throttling_periods: throttled("nr_periods"),
        throttled_periods: throttled("nr_throttled"),
        throttled_ns: throttled("throttled_time"),
        memory_usage_bytes: number("memory", "memory.usage_in_bytes").unwrap_or(0),
        memory_max_usage_bytes: number("memory", "memory.max_usage_in_bytes").unwrap_or(0),
        memory_limit_bytes: number("memory", "memory.limit_in_bytes").filter(|&limit| limit < NO_LIMIT),
        memory_stat: keyed("memory", "memory.stat"),
        memory_failcnt: number("memory", "memory.failcnt").unwrap_or(0),
        pids_current: number("pids", "pids.current").unwrap_or(0),
        pids_limit: number("pids", "pids.max"),
        io: stats::blkio(
            &text("blkio", "blkio.throttle.io_service_bytes_recursive"),
            &text("blkio", "blkio.throttle.io_serviced_recursive"),
        ),
    })
}
