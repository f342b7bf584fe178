//! What containers leave behind on a machine, counted before and after.

use std::{fs, path::Path};

/// Everything that could leak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traces {
    pub mounts: usize,
    pub cgroups: usize,
    pub network_namespaces: usize,
    pub interfaces: usize,
    /// Open descriptors of the engine.
    pub descriptors: usize,
}

impl Traces {
    /// Counts for the engine with process id `engine`, whose cgroups carry `cubby` in their path.
    pub fn of(engine: u32) -> Self {
        Self {
            mounts: fs::read_to_string("/proc/self/mountinfo").map_or(0, |text| text.lines().count()),
            cgroups: cgroups(Path::new("/sys/fs/cgroup")),
            network_namespaces: network_namespaces(),
            interfaces: entries(Path::new("/sys/class/net")),
            descriptors: entries(&Path::new("/proc").join(engine.to_string()).join("fd")),
        }
    }

    /// True when nothing is more than it was in `before`.
    pub fn at_most(&self, before: &Self) -> bool {
        self.mounts <= before.mounts
            && self.cgroups <= before.cgroups
            && self.network_namespaces <= before.network_namespaces
            && self.interfaces <= before.interfaces
            && self.descriptors <= before.descriptors
    }
}

fn entries(dir: &Path) -> usize {
    fs::read_dir(dir).map_or(0, Iterator::count)
}

/// Directories whose name or parent is `cubby`, whichever hierarchy they are in.
fn cgroups(dir: &Path) -> usize {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let directories = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    directories
        .map(|entry| {
            let own = usize::from(
                entry.path().components().any(|part| part.as_os_str().to_string_lossy().starts_with("cubby")),
            );
            own + cgroups(&entry.path())
        })
        .sum()
}

/// Distinct network namespaces that some process lives in.
fn network_namespaces() -> usize {
    let Ok(processes) = fs::read_dir("/proc") else { return 0 };
    let links = processes.flatten().filter_map(|entry| fs::read_link(entry.path().join("ns/net")).ok());
    links.collect::<std::collections::BTreeSet<_>>().len()
}
