//! Control groups: one directory per container on every hierarchy; limits, figures, freezing and killing.
//!
//! Three kinds of systems: pure v2 (the guest), hybrid (controllers on v1, and a v2 hierarchy with few of them), pure v1. Where
//! there is a v2 hierarchy at all, freezing, killing and waiting for emptiness use it: v1 has no such verbs.
//!
//! `resources` lowers limits to file contents (pure, tested); `v1` and `v2` know which files there are; the rest is plumbing.
//! Everything here blocks, for as long as a few writes to cgroupfs take.

mod devices;
mod files;
mod hierarchy;
mod oom;
mod remove;
mod resources;
mod stats;
mod v1;
mod v2;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use oci_spec::runtime::LinuxResources;
use serde::{Deserialize, Serialize};

use hierarchy::Hierarchies;
pub use oom::OomEvents;
pub use stats::{IoStats, Stats};

/// The directories a process is put into.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupPath {
    /// On the unified hierarchy (pure v2, or the v2 part of a hybrid system).
    pub v2: Option<PathBuf>,
    /// One per v1 hierarchy.
    pub v1: Vec<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    #[error("{op} {}", path.display())]
    Io {
        op: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A limit that the kernel refuses or does not know.
    #[error("failed to write {value:?} to {}: {}", path.display(), crate::sys::errno_text(source))]
    Limit {
        path: PathBuf,
        value: String,
        #[source]
        source: io::Error,
    },
    #[error("cannot restrict devices of {}", path.display())]
    Devices {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("no cgroup hierarchy is mounted")]
    Nothing,
    #[error("{0} is not a valid cgroup name")]
    Name(String),
    #[error("{} is still in use", .0.display())]
    Busy(PathBuf),
}

impl CgroupError {
    pub(crate) fn io(op: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { op, path, source }
    }
}

/// The machine's cgroup hierarchies, looked at once.
#[derive(Debug, Clone)]
pub struct Cgroups {
    hierarchies: Arc<Hierarchies>,
    tolerate_free_devices: bool,
}

impl Cgroups {
    /// Finds what is mounted. In the guest `/sys/fs/cgroup` is pure v2.
    pub fn detect() -> Result<Self, CgroupError> {
        let hierarchies = Hierarchies::detect()?;
        Ok(Self { hierarchies: Arc::new(hierarchies), tolerate_free_devices: false })
    }

    /// On v2 a BPF program restricts devices. Where we may not load one (no CAP_BPF), [`Cgroups::create`] fails, because
    /// containers may make device nodes; with this it only warns.
    pub fn tolerating_free_devices(self) -> Self {
        Self { tolerate_free_devices: true, ..self }
    }

    /// 2 when the unified hierarchy has the controllers (Docker's `CgroupVersion`), else 1.
    pub fn version(&self) -> u8 {
        if self.hierarchies.v1.is_empty() { 2 } else { 1 }
    }

    /// Whether a limit of this controller ("memory", "pids", "cpu", …) can be set.
    pub fn has_controller(&self, name: &str) -> bool {
        self.hierarchies.has(name)
    }

    /// Creates `parent/id` (`parent` relative to the hierarchies' roots, usually "cubby") and applies the limits. One that
    /// is there already (a crash left it) is used again. On failure nothing is left.
    pub fn create(&self, parent: &str, id: &str, resources: Option<&LinuxResources>) -> Result<Cgroup, CgroupError> {
        let relative = relative(parent, id)?;
        let cgroup = self.at(&relative);
        let made = self
            .hierarchies
            .create(&relative)
            .and_then(|()| self.restrict_devices(&cgroup, resources))
            .and_then(|()| resources.map_or(Ok(()), |resources| cgroup.apply(resources)));
        match made {
            Ok(()) => Ok(cgroup),
            Err(err) => {
                if let Err(left) = cgroup.remove(Duration::ZERO) {
                    tracing::warn!(err = %left, "could not remove a half-made cgroup");
                }
                Err(err)
            }
        }
    }

    /// The one made earlier (engine restart).
    pub fn open(&self, parent: &str, id: &str) -> Result<Cgroup, CgroupError> {
        Ok(self.at(&relative(parent, id)?))
    }

    /// Removes a parent that has no containers any more (a clean stop). One that still has some stays.
    pub fn forget(&self, parent: &str) {
        let Ok(path) = relative("", parent) else { return };
        let path = self.hierarchies.path(&path);
        for dir in path.v2.iter().chain(&path.v1) {
            let _ = std::fs::remove_dir(dir);
        }
    }

    /// Whether the kernel has a file of a controller's (v1), or the controller at all (v2: its files are never in the root).
    pub fn has_file(&self, controller: &str, file: &str) -> bool {
        match self.hierarchies.v1_root(controller) {
            Some(root) => root.join(file).exists(),
            None => self.hierarchies.v1.is_empty() && self.hierarchies.has(controller),
        }
    }

    /// Removes what nobody uses below `parent`: containers' cgroups whose engine was killed and has no data any more.
    /// Only what is older than `age`, because a new one is empty, too. Returns how many.
    pub fn sweep(&self, parent: &str, age: Duration) -> usize {
        let Ok(path) = relative("", parent) else { return 0 };
        let path = self.hierarchies.path(&path);
        path.v2.iter().chain(&path.v1).map(|dir| remove::abandoned(dir, age)).sum()
    }

    fn at(&self, relative: &Path) -> Cgroup {
        Cgroup { path: self.hierarchies.path(relative), hierarchies: self.hierarchies.clone() }
    }

    fn restrict_devices(&self, cgroup: &Cgroup, resources: Option<&LinuxResources>) -> Result<(), CgroupError> {
        let rules = devices::rules(resources.and_then(|r| r.devices().as_deref()).unwrap_or_default());
        if let Some(path) = self.hierarchies.v1_dir(&cgroup.path, "devices") {
            return devices::write_v1(path, &rules);
        }
        let Some(path) = &cgroup.path.v2 else { return Ok(()) };
        if devices::everything_allowed(&rules) {
            return Ok(());
        }
        match devices::attach_v2(path, &rules) {
            Err(err) if self.tolerate_free_devices => {
                tracing::warn!(%err, path = %path.display(), "devices of a container are not restricted");
                Ok(())
            }
            done => done.map_err(|source| CgroupError::Devices { path: path.clone(), source }),
        }
    }
}

/// `parent/id`, with nothing in it that leads elsewhere.
fn relative(parent: &str, id: &str) -> Result<PathBuf, CgroupError> {
    let parts = parent.split('/').filter(|part| !part.is_empty()).chain([id]);
    let mut path = PathBuf::new();
    for part in parts {
        if matches!(part, "" | "." | "..") || part.contains(['/', '\0', '\n']) {
            return Err(CgroupError::Name(format!("{parent}/{id}")));
        }
        path.push(part);
    }
    Ok(path)
}

/// One container's cgroup.
#[derive(Debug, Clone)]
pub struct Cgroup {
    path: CgroupPath,
    hierarchies: Arc<Hierarchies>,
}

impl Cgroup {
    pub fn path(&self) -> &CgroupPath {
        &self.path
    }

    /// Sets the limits that are given (`docker update`). Devices are set at creation only.
    pub fn apply(&self, resources: &LinuxResources) -> Result<(), CgroupError> {
        if self.hierarchies.v1.is_empty() {
            let Some(path) = &self.path.v2 else { return Ok(()) };
            v2::apply(path, resources)
        } else {
            v1::apply(&self.hierarchies, &self.path, resources)
        }
    }

    /// Stops everything in it; returns when all of it stands still.
    pub fn freeze(&self) -> Result<(), CgroupError> {
        match &self.path.v2 {
            Some(path) => v2::freeze(path, true),
            None => v1::freeze(&self.hierarchies, &self.path, true),
        }
    }

    pub fn thaw(&self) -> Result<(), CgroupError> {
        match &self.path.v2 {
            Some(path) => v2::freeze(path, false),
            None => v1::freeze(&self.hierarchies, &self.path, false),
        }
    }

    /// SIGKILLs everything in it. Frozen processes die too.
    pub fn kill_all(&self) -> Result<(), CgroupError> {
        match &self.path.v2 {
            Some(path) => v2::kill_all(path),
            None => v1::kill_all(&self.path),
        }
    }

    /// Pids (in our namespace) of everything in it, cgroups below included.
    pub fn pids(&self) -> Result<Vec<i32>, CgroupError> {
        match self.path.v2.as_ref().or(self.path.v1.first()) {
            Some(path) => files::pids_below(path),
            None => Ok(Vec::new()),
        }
    }

    pub fn stats(&self) -> Result<Stats, CgroupError> {
        if self.hierarchies.v1.is_empty() {
            self.path.v2.as_ref().map_or(Ok(Stats::default()), |path| v2::stats(path))
        } else {
            v1::stats(&self.hierarchies, &self.path)
        }
    }

    /// How often the kernel has killed something in it for lack of memory.
    pub fn oom_kills(&self) -> u64 {
        let file = match self.hierarchies.v1_dir(&self.path, "memory") {
            Some(path) => path.join("memory.oom_control"),
            None => match &self.path.v2 {
                Some(path) => path.join("memory.events"),
                None => return 0,
            },
        };
        files::keyed(&file).ok().and_then(|all| files::find(&all, "oom_kill")).unwrap_or(0)
    }

    /// Tells when [`Cgroup::oom_kills`] grows. `None`: nothing here counts memory.
    pub fn oom_events(&self) -> io::Result<Option<OomEvents>> {
        if let Some(dir) = self.hierarchies.v1_dir(&self.path, "memory") {
            return OomEvents::v1(dir).map(Some);
        }
        match &self.path.v2 {
            Some(dir) if self.hierarchies.has("memory") => OomEvents::v2(dir).map(Some),
            _ => Ok(None),
        }
    }

    /// Waits (blocking, at most `patience`) until it is empty, then removes it with everything below. Nothing there: fine.
    pub fn remove(&self, patience: Duration) -> Result<(), CgroupError> {
        remove::all(&self.path, patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_lead_elsewhere() {
        assert_eq!(relative("cubby", "abc").unwrap(), Path::new("cubby/abc"));
        assert_eq!(relative("/a//b/", "c").unwrap(), Path::new("a/b/c"));
        for (parent, id) in [("..", "x"), ("a/../..", "x"), ("a", ".."), ("a", "b/c"), ("a", "")] {
            assert!(relative(parent, id).is_err(), "{parent} {id}");
        }
    }

    /// Systems without any v2 hierarchy: the same verbs by other means. Needs root, and v1 hierarchies to be mounted.
    #[test]
    fn pure_v1_freezes_kills_and_removes() {
        let hierarchies = Hierarchies::v1_only();
        if !hierarchies.has("freezer") {
            return;
        }
        let cgroups = Cgroups { hierarchies: Arc::new(hierarchies), tolerate_free_devices: false };
        let parent = format!("cubby-v1-{}", std::process::id());
        let cgroup = cgroups.create(&parent, "x", None).unwrap();
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        for dir in &cgroup.path.v1 {
            std::fs::write(dir.join("cgroup.procs"), child.id().to_string()).unwrap();
        }
        assert_eq!(cgroup.pids().unwrap(), [child.id() as i32]);
        assert_eq!(cgroup.stats().unwrap().pids_current, 1);
        let state = |dir: &Path| std::fs::read_to_string(dir.join("freezer.state")).unwrap();
        let freezer = cgroups.hierarchies.v1_dir(&cgroup.path, "freezer").unwrap();
        cgroup.freeze().unwrap();
        assert_eq!(state(freezer), "FROZEN\n");
        cgroup.thaw().unwrap();
        assert_eq!(state(freezer), "THAWED\n");
        let reaper = std::thread::spawn(move || child.wait().unwrap());
        cgroup.kill_all().unwrap();
        assert!(!reaper.join().unwrap().success());
        cgroup.remove(Duration::from_secs(10)).unwrap();
        cgroups.forget(&parent);
        assert!(!freezer.parent().unwrap().exists());
    }
}
