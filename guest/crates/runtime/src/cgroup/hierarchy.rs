//! Which hierarchies are mounted where, and making directories in all of them.

use std::io;
use std::path::{Path, PathBuf};

use super::{CgroupError, CgroupPath, files, v1, v2};

/// v1 controllers that a container gets a directory of. freezer only where there is no v2 hierarchy.
const V1_WANTED: [&str; 9] = ["cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "hugetlb"];

#[derive(Debug)]
pub(super) struct Hierarchies {
    pub v2: Option<PathBuf>,
    pub v1: Vec<V1>,
    /// Controllers of the v2 hierarchy.
    controllers: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct V1 {
    pub root: PathBuf,
    pub controllers: Vec<String>,
}

impl Hierarchies {
    pub fn detect() -> Result<Self, CgroupError> {
        let path = Path::new("/proc/self/mounts");
        let mounts = std::fs::read_to_string(path).map_err(CgroupError::io("read", path))?;
        let (v2, mut v1) = parse(&mounts);
        if v2.is_some() {
            v1.retain(|one| one.controllers != ["freezer"]);
        }
        let controllers = match &v2 {
            Some(root) => std::fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default(),
            None if v1.is_empty() => return Err(CgroupError::Nothing),
            None => String::new(),
        };
        Ok(Self { v2, v1, controllers: controllers.split_whitespace().map(str::to_owned).collect() })
    }

    #[cfg(test)]
    pub fn v1_only() -> Self {
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        Self { v2: None, v1: parse(&mounts).1, controllers: Vec::new() }
    }

    pub fn has(&self, controller: &str) -> bool {
        let in_v1 = |one: &V1| one.controllers.iter().any(|name| name == controller);
        self.v1.iter().any(in_v1) || self.controllers.iter().any(|name| name == controller)
    }

    pub fn path(&self, relative: &Path) -> CgroupPath {
        CgroupPath {
            v2: self.v2.as_ref().map(|root| root.join(relative)),
            v1: self.v1.iter().map(|one| one.root.join(relative)).collect(),
        }
    }

    /// Where a v1 controller is mounted.
    pub fn v1_root(&self, controller: &str) -> Option<&Path> {
        self.v1.iter().find(|one| one.controllers.iter().any(|name| name == controller)).map(|one| one.root.as_path())
    }

    /// The directory of a v1 controller.
    pub fn v1_dir<'a>(&self, path: &'a CgroupPath, controller: &str) -> Option<&'a Path> {
        let index = self.v1.iter().position(|one| one.controllers.iter().any(|name| name == controller))?;
        path.v1.get(index).map(PathBuf::as_path)
    }

    pub fn create(&self, relative: &Path) -> Result<(), CgroupError> {
        if let Some(root) = &self.v2 {
            make(root, relative, |parent| v2::delegate(parent, &self.controllers))?;
        }
        for one in &self.v1 {
            let is_cpuset = one.controllers.iter().any(|name| name == "cpuset");
            make(&one.root, relative, |_| Ok(()))?;
            if is_cpuset {
                v1::inherit_cpuset(&one.root, relative)?;
            }
        }
        Ok(())
    }
}

/// mkdir, and only when that fails mkdir -p; `prepare` runs on each directory that gets a new child.
fn make(root: &Path, relative: &Path, prepare: impl Fn(&Path) -> Result<(), CgroupError>) -> Result<(), CgroupError> {
    let parents: Vec<&Path> = relative.ancestors().skip(1).collect();
    for parent in parents.into_iter().rev() {
        let parent = root.join(parent);
        files::make_dir(&parent)?;
        prepare(&parent)?;
    }
    files::make_dir(&root.join(relative))
}

/// From /proc/mounts: the v2 root, and the v1 hierarchies that matter.
fn parse(mounts: &str) -> (Option<PathBuf>, Vec<V1>) {
    let mut v2 = None;
    let mut v1: Vec<V1> = Vec::new();
    for line in mounts.lines() {
        let mut fields = line.split(' ').skip(1);
        let (Some(point), Some(fstype), Some(options)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        match fstype {
            "cgroup2" => _ = v2.get_or_insert_with(|| PathBuf::from(point)),
            "cgroup" => {
                let controllers: Vec<String> =
                    options.split(',').filter(|option| V1_WANTED.contains(option)).map(str::to_owned).collect();
                let known = v1.iter().any(|other| other.controllers == controllers);
                if !controllers.is_empty() && !known {
                    v1.push(V1 { root: PathBuf::from(point), controllers });
                }
            }
            _ => {}
        }
    }
    (v2, v1)
}

/// "No such file or directory" and "not supported" of a file that this kernel does not have.
pub(super) fn is_absent(err: &io::Error) -> bool {
    matches!(err.raw_os_error(), Some(libc::ENOENT | libc::EOPNOTSUPP))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hybrid_and_pure_systems_are_told_apart() {
        let hybrid = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
            cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0\n\
            cgroup /sys/fs/cgroup/systemd cgroup rw,relatime,name=systemd 0 0\n\
            cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0\n\
            cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let (v2, v1) = parse(hybrid);
        assert_eq!(v2, Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(v1.len(), 2);
        assert_eq!(v1[0].controllers, ["cpu", "cpuacct"]);
        let (v2, v1) = parse("cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\n");
        assert_eq!((v2, v1.len()), (Some("/sys/fs/cgroup".into()), 0));
        assert_eq!(parse("proc /proc proc rw 0 0\n").0, None);
    }
}
