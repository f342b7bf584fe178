//! The unified hierarchy.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use oci_spec::runtime::LinuxResources;
use rustix::event::{PollFd, PollFlags, Timespec};

use super::hierarchy::is_absent;
use super::{CgroupError, Stats, files, resources, stats};

/// How long a freezer may take. Only a process stuck in the kernel takes noticeable time.
const FREEZE_PATIENCE: Duration = Duration::from_secs(10);

/// Lets the children of a directory have controllers.
pub(super) fn delegate(parent: &Path, controllers: &[String]) -> Result<(), CgroupError> {
    let path = parent.join("cgroup.subtree_control");
    let enabled = std::fs::read_to_string(&path).map_err(CgroupError::io("read", &path))?;
    for controller in controllers {
        if enabled.split_whitespace().any(|name| name == controller) {
            continue;
        }
        // One by one: a controller that cannot be had (realtime processes in the cpu one, …) does not take the others along.
        if let Err(err) = std::fs::write(&path, format!("+{controller}")) {
            tracing::debug!(%err, controller, path = %path.display(), "controller not available");
        }
    }
    Ok(())
}

pub(super) fn apply(path: &Path, wanted: &LinuxResources) -> Result<(), CgroupError> {
    for setting in resources::v2(wanted) {
        match files::write(&path.join(&setting.file), &setting.value) {
            Err(CgroupError::Limit { source, .. }) if setting.optional && is_absent(&source) => {
                tracing::debug!(file = setting.file, "limit not supported by this kernel");
            }
            done => done?,
        }
    }
    Ok(())
}

pub(super) fn freeze(path: &Path, frozen: bool) -> Result<(), CgroupError> {
    let file = path.join("cgroup.freeze");
    let value = if frozen { "1" } else { "0" };
    std::fs::write(&file, value).map_err(CgroupError::io("write", &file))?;
    let wanted = u64::from(frozen);
    if wait_event(path, FREEZE_PATIENCE, |events| files::find(events, "frozen") == Some(wanted))? {
        return Ok(());
    }
    let err = io::Error::from(io::ErrorKind::TimedOut);
    if frozen {
        // Half a pause is worse than none.
        let _ = std::fs::write(&file, "0");
    }
    Err(CgroupError::io("freeze", path)(err))
}

pub(super) fn kill_all(path: &Path) -> Result<(), CgroupError> {
    let file = path.join("cgroup.kill");
    match std::fs::write(&file, "1") {
        Err(err) if !files::is_gone(&err) => Err(CgroupError::io("write", file)(err)),
        _ => Ok(()),
    }
}

/// Waits until cgroup.events says so: whether it did within `patience`. The kernel wakes us; nothing polls.
pub(super) fn wait_event(
    path: &Path,
    patience: Duration,
    said: impl Fn(&[(String, u64)]) -> bool,
) -> Result<bool, CgroupError> {
    let file = path.join("cgroup.events");
    // Opened before the first look, so that no change is missed.
    let watch = match std::fs::File::open(&file) {
        Ok(watch) => watch,
        Err(err) => return Err(CgroupError::io("open", file)(err)),
    };
    let deadline = Instant::now() + patience;
    loop {
        let events = read_again(&watch).map_err(CgroupError::io("read", &file))?;
        if said(&events) {
            return Ok(true);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        let mut poll = [PollFd::new(&watch, PollFlags::PRI)];
        match rustix::event::poll(&mut poll, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(err) => return Err(CgroupError::io("poll", file)(err.into())),
        }
    }
}

/// From the start, through the same open file: that is what re-arms the notification.
fn read_again(file: &std::fs::File) -> io::Result<Vec<(String, u64)>> {
    use std::os::unix::fs::FileExt;
    let mut buffer = [0; 256];
    let n = file.read_at(&mut buffer, 0)?;
    let text = String::from_utf8_lossy(&buffer[..n]);
    let pair = |line: &str| {
        let (key, value) = line.split_once(' ')?;
        Some((key.to_owned(), value.parse().ok()?))
    };
    Ok(text.lines().filter_map(pair).collect())
}

pub(super) fn stats(path: &Path) -> Result<Stats, CgroupError> {
    let file = path.join("cpu.stat");
    // Also without the cpu controller: usage is always counted.
    let cpu = files::keyed(&file).map_err(CgroupError::io("read", file))?;
    let micros = |key: &str| files::find(&cpu, key).unwrap_or(0).saturating_mul(1000);
    let events = files::keyed(&path.join("memory.events")).unwrap_or_default();
    let io = std::fs::read_to_string(path.join("io.stat")).unwrap_or_default();
    Ok(Stats {
        cpu_usage_ns: micros("usage_usec"),
        cpu_user_ns: micros("user_usec"),
        cpu_system_ns: micros("system_usec"),
        throttling_periods: files::find(&cpu, "nr_periods").unwrap_or(0),
        throttled_periods: files::find(&cpu, "nr_throttled").unwrap_or(0),
        throttled_ns: micros("throttled_usec"),
        memory_usage_bytes: files::number(&path.join("memory.current")).unwrap_or(0),
        memory_max_usage_bytes: files::number(&path.join("memory.peak")).unwrap_or(0),
        memory_limit_bytes: files::number(&path.join("memory.max")),
        memory_stat: files::keyed(&path.join("memory.stat")).unwrap_or_default(),
        memory_failcnt: files::find(&events, "max").unwrap_or(0),
        pids_current: files::number(&path.join("pids.current")).unwrap_or(0),
        pids_limit: files::number(&path.join("pids.max")),
        io: stats::io_stat(&io),
    })
}
