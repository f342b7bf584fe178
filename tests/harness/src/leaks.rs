//! What containers leave behind on a machine, counted before and after.
//!
//! Everything is counted for one engine alone, so that others on the same machine do not matter.

use std::{
    collections::BTreeSet,
    fmt, fs,
    path::{Path, PathBuf},
};

use crate::NativeEngine;

/// Everything that could leak, and the memory that comes with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traces {
    /// In the engine's own mount namespace, below its directories.
    pub mounts: usize,
    /// Of the containers asked about, in all hierarchies.
    pub cgroups: usize,
    /// Network namespaces that the engine, the keeper or a process of a container holds.
    pub network_namespaces: usize,
    /// Links in the machine's namespace that carry the engine's mark.
    pub interfaces: usize,
    pub engine_descriptors: usize,
    pub keeper_descriptors: usize,
    /// What the keeper has started and not forgotten.
    pub processes: usize,
}

impl Traces {
    /// Counts for `engine`; of control groups those of the containers with these `ids`.
    pub fn of(engine: &NativeEngine, ids: &BTreeSet<String>) -> Self {
        let keeper = engine.keeper();
        let mut namespaces = held_namespaces(engine.pid());
        namespaces.extend(keeper.map(held_namespaces).unwrap_or_default());
        let processes = keeper.map(children).unwrap_or_default();
        namespaces.extend(processes.iter().filter_map(|pid| fs::read_link(proc(*pid).join("ns/net")).ok()));
        Self {
            mounts: mounts_below(engine.pid(), engine.dir()),
            cgroups: cgroups(Path::new("/sys/fs/cgroup"), ids),
            network_namespaces: namespaces.len(),
            interfaces: marked_links(engine.id()),
            engine_descriptors: entries(&proc(engine.pid()).join("fd")),
            keeper_descriptors: keeper.map_or(0, |pid| entries(&proc(pid).join("fd"))),
            processes: processes.len(),
        }
    }

    /// True when nothing is more than it was in `before`, but for descriptors that come [`ONCE`].
    pub fn at_most(&self, before: &Self) -> bool {
        self.mounts <= before.mounts
            && self.cgroups <= before.cgroups
            && self.network_namespaces <= before.network_namespaces
            && self.interfaces <= before.interfaces
            && self.engine_descriptors <= before.engine_descriptors + ONCE
            && self.keeper_descriptors <= before.keeper_descriptors + ONCE
            && self.processes <= before.processes
    }
}

/// Descriptors that an engine opens at some time and keeps: a spare network namespace in the making, one more of the
/// database's. Every caller repeats what it examines dozens of times, so that a leak is more than this.
const ONCE: usize = 4;

/// Resident memory of an engine and its keeper, in KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    pub engine_kib: u64,
    pub keeper_kib: u64,
}

impl Memory {
    pub fn of(engine: &NativeEngine) -> Self {
        Self { engine_kib: resident_kib(engine.pid()), keeper_kib: engine.keeper().map_or(0, resident_kib) }
    }

    pub fn total_kib(&self) -> u64 {
        self.engine_kib + self.keeper_kib
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "engine {} KiB, keeper {} KiB", self.engine_kib, self.keeper_kib)
    }
}

/// `VmRSS` of a process.
pub fn resident_kib(pid: u32) -> u64 {
    of_status(pid, "VmRSS:")
}

/// `VmHWM`: the most that was resident since the process began or [`forget_peak`].
pub fn peak_kib(pid: u32) -> u64 {
    of_status(pid, "VmHWM:")
}

/// Begins the measurement of a peak. Source: proc_pid_clear_refs(5).
///
/// # Panics
/// When the process is gone.
pub fn forget_peak(pid: u32) {
    fs::write(proc(pid).join("clear_refs"), "5").expect("the process is there and ours");
}

fn of_status(pid: u32, member: &str) -> u64 {
    let status = fs::read_to_string(proc(pid).join("status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(member));
    line.and_then(|rest| rest.split_whitespace().next()).and_then(|kib| kib.parse().ok()).unwrap_or(0)
}

/// Processes that `parent` has started and not reaped. Source: proc_pid_task(5), `children`.
pub fn children(parent: u32) -> BTreeSet<u32> {
    let text = fs::read_to_string(proc(parent).join(format!("task/{parent}/children"))).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

fn proc(pid: u32) -> PathBuf {
    Path::new("/proc").join(pid.to_string())
}

fn entries(dir: &Path) -> usize {
    fs::read_dir(dir).map_or(0, Iterator::count)
}

fn mounts_below(pid: u32, dir: &Path) -> usize {
    let mounts = fs::read_to_string(proc(pid).join("mountinfo")).unwrap_or_default();
    let dir = dir.to_string_lossy();
    mounts.lines().filter(|line| line.split(' ').nth(4).is_some_and(|point| point.starts_with(&*dir))).count()
}

fn cgroups(dir: &Path, ids: &BTreeSet<String>) -> usize {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let directories = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    directories
        .map(|entry| {
            let own = entry.file_name().to_str().is_some_and(|name| ids.contains(name));
            usize::from(own) + cgroups(&entry.path(), ids)
        })
        .sum()
}

/// Network namespaces that a process has open, besides its own.
fn held_namespaces(pid: u32) -> BTreeSet<PathBuf> {
    let Ok(descriptors) = fs::read_dir(proc(pid).join("fd")) else { return BTreeSet::new() };
    let links = descriptors.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with("net:[")).collect()
}

/// Links whose alias says that `engine` made them.
fn marked_links(engine: &str) -> usize {
    let Ok(links) = fs::read_dir("/sys/class/net") else { return 0 };
    let aliases = links.flatten().filter_map(|entry| fs::read_to_string(entry.path().join("ifalias")).ok());
    aliases.filter(|alias| alias.starts_with(&format!("cubby/{engine}/"))).count()
}
