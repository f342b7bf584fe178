//! Mounts of the spec: fstab-style options to flags.

use oci_spec::runtime::Mount;
use serde::{Deserialize, Serialize};

use super::{invalid, text};
use crate::SpawnError;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MountPlan {
    /// Absolute, inside the container.
    pub destination: String,
    pub kind: MountKind,
    /// MOUNT_ATTR_* bits of the mount itself, set and cleared (a bind mount starts with its source's).
    pub set: u64,
    pub clear: u64,
    /// The same for everything below it (`rro` and friends).
    pub set_below: u64,
    pub clear_below: u64,
    pub propagation: Option<Propagation>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum MountKind {
    Bind {
        source: String,
        recursive: bool,
    },
    Filesystem {
        fstype: String,
        source: String,
        /// MS_* bits of the superblock (synchronous, dirsync, …).
        flags: u64,
        /// What is left of the options, comma-separated.
        data: String,
        /// Start with what the image has there (tmpfs only).
        copy_up: bool,
    },
    /// A mount that comes as a descriptor, or what lies at `subpath` in it.
    Detached {
        index: usize,
        subpath: Option<String>,
    },
    /// The container's own view of the cgroup hierarchy, whichever version that is.
    Cgroup,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Propagation {
    /// MS_PRIVATE, MS_SLAVE, MS_SHARED or MS_UNBINDABLE.
    pub kind: u64,
    pub recursive: bool,
}

/// `MOUNT_ATTR_*` of linux/mount.h.
pub(crate) mod attr {
    pub const RDONLY: u64 = 0x01;
    pub const NOSUID: u64 = 0x02;
    pub const NODEV: u64 = 0x04;
    pub const NOEXEC: u64 = 0x08;
    /// A field of three bits, not bits: relatime is 0.
    pub const ATIME: u64 = 0x70;
    pub const NOATIME: u64 = 0x10;
    pub const STRICTATIME: u64 = 0x20;
    pub const NODIRATIME: u64 = 0x80;
    pub const NOSYMFOLLOW: u64 = 0x20_0000;
}

/// What a mount option does to the mount's attributes: (set, clear).
fn attribute(option: &str) -> Option<(u64, u64)> {
    Some(match option {
        "ro" => (attr::RDONLY, 0),
        "rw" => (0, attr::RDONLY),
        "nosuid" => (attr::NOSUID, 0),
        "suid" => (0, attr::NOSUID),
        "nodev" => (attr::NODEV, 0),
        "dev" => (0, attr::NODEV),
        "noexec" => (attr::NOEXEC, 0),
        "exec" => (0, attr::NOEXEC),
        "nosymfollow" => (attr::NOSYMFOLLOW, 0),
        "symfollow" => (0, attr::NOSYMFOLLOW),
        "nodiratime" => (attr::NODIRATIME, 0),
        "diratime" => (0, attr::NODIRATIME),
        // The kernel wants the whole field cleared when it is set.
        "noatime" => (attr::NOATIME, attr::ATIME),
        "strictatime" => (attr::STRICTATIME, attr::ATIME),
        "relatime" | "atime" | "norelatime" | "nostrictatime" => (0, attr::ATIME),
        _ => return None,
    })
}

fn propagation(option: &str) -> Option<Propagation> {
    let (recursive, name) = match option.strip_prefix('r') {
        Some(name) if !name.is_empty() => (true, name),
        _ => (false, option),
    };
    let kind = match name {
        "private" => libc::MS_PRIVATE,
        "slave" => libc::MS_SLAVE,
        "shared" => libc::MS_SHARED,
        "unbindable" => libc::MS_UNBINDABLE,
        _ => return None,
    };
    Some(Propagation { kind, recursive })
}

fn superblock_flag(option: &str) -> Option<u64> {
    Some(match option {
        "sync" => libc::MS_SYNCHRONOUS,
        "dirsync" => libc::MS_DIRSYNC,
        "mand" => libc::MS_MANDLOCK,
        "silent" => libc::MS_SILENT,
        "lazytime" => libc::MS_LAZYTIME,
        "iversion" => libc::MS_I_VERSION,
        "async" | "nomand" | "loud" | "nolazytime" | "noiversion" | "defaults" => 0,
        _ => return None,
    })
}

/// Root filesystem propagation of the spec ("shared", "rslave", …).
pub(super) fn root_propagation(name: &str) -> Result<Propagation, SpawnError> {
    propagation(name).ok_or_else(|| invalid(format!("rootfsPropagation={name} is not supported")))
}

pub(super) fn lower(mount: &Mount) -> Result<MountPlan, SpawnError> {
    let destination = text(mount.destination())?;
    let destination = if destination.starts_with('/') { destination } else { format!("/{destination}") };
    let source = mount.source().as_deref().map(text).transpose()?;
    let options = mount.options().as_deref().unwrap_or_default();
    let fstype = mount.typ().as_deref().unwrap_or("none");
    let mut plan = MountPlan {
        destination,
        kind: MountKind::Cgroup,
        set: 0,
        clear: 0,
        set_below: 0,
        clear_below: 0,
        propagation: None,
    };
    let (mut bind, mut recursive, mut copy_up) = (fstype == "bind", false, false);
    let (mut flags, mut data) = (0, Vec::new());
    for option in options.iter().map(String::as_str) {
        if let Some((set, clear)) = attribute(option) {
            // The last of two that contradict each other wins.
            plan.set = plan.set & !clear | set;
            plan.clear = plan.clear & !set | clear;
        } else if let Some(change) = propagation(option) {
            plan.propagation = Some(change);
        } else if let Some((set, clear)) = option.strip_prefix('r').and_then(attribute) {
            plan.set_below = plan.set_below & !clear | set;
            plan.clear_below = plan.clear_below & !set | clear;
        } else if let Some(flag) = superblock_flag(option) {
            flags |= flag;
        } else {
            match option {
                "bind" => bind = true,
                "rbind" => (bind, recursive) = (true, true),
                "tmpcopyup" => copy_up = true,
                "idmap" | "ridmap" => return Err(invalid("id-mapped mounts are not supported")),
                "remount" => return Err(invalid("remount is not a mount option for containers")),
                other if other.contains([',', '\0']) => {
                    return Err(invalid(format!("mount option {other:?} is not valid")));
                }
                // A bind mount has no filesystem to hand options to; runc ignores them too ("z", "nocopy", …).
                other => data.push(other),
            }
        }
    }
    // The atime field must be cleared as a whole even when the last option only cleared it.
    if plan.set & attr::ATIME != 0 {
        plan.clear |= attr::ATIME;
    }
    plan.kind = if bind {
        let source = source.ok_or_else(|| invalid(format!("bind mount at {} has no source", plan.destination)))?;
        MountKind::Bind { source, recursive }
    } else if matches!(fstype, "cgroup" | "cgroup2") {
        MountKind::Cgroup
    } else if fstype == "detached" {
        let index = source.as_deref().and_then(|index| index.parse().ok());
        let index = index.ok_or_else(|| invalid(format!("detached mount at {} has no number", plan.destination)))?;
        let subpath = data.iter().find_map(|option| option.strip_prefix("subpath=")).map(str::to_owned);
        MountKind::Detached { index, subpath }
    } else {
        MountKind::Filesystem {
            fstype: fstype.to_owned(),
            source: source.unwrap_or_else(|| fstype.to_owned()),
            flags,
            data: data.join(","),
            copy_up,
        }
    };
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::MountBuilder;

    fn mount(typ: &str, options: &[&str]) -> Result<MountPlan, SpawnError> {
        let options: Vec<String> = options.iter().map(|&o| o.to_owned()).collect();
        let mount =
            MountBuilder::default().destination("/mnt").typ(typ).source("/src").options(options).build().unwrap();
        lower(&mount)
    }

    #[test]
    fn tmpfs_options_are_split_into_attributes_and_data() {
        let plan = mount("tmpfs", &["nosuid", "noexec", "nodev", "mode=755", "size=65536k"]).unwrap();
        assert_eq!(plan.set, attr::NOSUID | attr::NOEXEC | attr::NODEV);
        let MountKind::Filesystem { fstype, data, .. } = plan.kind else { panic!("{plan:?}") };
        assert_eq!((fstype.as_str(), data.as_str()), ("tmpfs", "mode=755,size=65536k"));
    }

    #[test]
    fn binds_know_recursion_propagation_and_read_only_below() {
        let plan = mount("bind", &["rbind", "ro", "rprivate", "rro"]).unwrap();
        assert_eq!(plan.kind, MountKind::Bind { source: "/src".into(), recursive: true });
        assert_eq!((plan.set, plan.set_below), (attr::RDONLY, attr::RDONLY));
        assert_eq!(plan.propagation, Some(Propagation { kind: libc::MS_PRIVATE, recursive: true }));
    }

    #[test]
    fn the_last_contradiction_wins_and_atime_is_one_field() {
        assert_eq!(mount("bind", &["ro", "rw"]).unwrap().set, 0);
        let plan = mount("bind", &["noatime", "strictatime"]).unwrap();
        assert_eq!((plan.set, plan.clear & attr::ATIME), (attr::STRICTATIME, attr::ATIME));
    }

    #[test]
    fn detached_mounts_are_named_by_number() {
        let option = |options: &[&str]| options.iter().map(|&o| o.to_owned()).collect::<Vec<_>>();
        let build = |source: &str| {
            MountBuilder::default().destination("/m").typ("detached").source(source).options(option(&["subpath=a/b"]))
        };
        let plan = lower(&build("1").build().unwrap()).unwrap();
        assert_eq!(plan.kind, MountKind::Detached { index: 1, subpath: Some("a/b".into()) });
        assert!(lower(&build("one").build().unwrap()).is_err());
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        assert!(mount("bind", &["idmap"]).is_err());
        assert!(mount("tmpfs", &["size=1,exec"]).is_err());
        assert!(root_propagation("sideways").is_err());
    }
}
