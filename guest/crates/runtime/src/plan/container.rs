//! Everything of the spec that makes a container rather than a process.

use std::fs::File;

use oci_spec::runtime::{LinuxDeviceType, LinuxNamespaceType, Spec};
use serde::{Deserialize, Serialize};

use super::mounts::{self, MountKind, MountPlan, Propagation};
use super::{invalid, sysctl, text};
use crate::{Namespace, NamespaceKind, SpawnError};

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ContainerPlan {
    /// CLONE_NEW* flags of the namespaces to create.
    pub create: u64,
    /// Namespaces to join; their descriptors come in this order.
    pub join: Vec<NamespaceKind>,
    pub hostname: Option<String>,
    pub domainname: Option<String>,
    /// Path below /proc/sys, value.
    pub sysctl: Vec<(String, String)>,
    pub root_propagation: Option<Propagation>,
    pub readonly_root: bool,
    pub mounts: Vec<MountPlan>,
    pub devices: Vec<DevicePlan>,
    pub masked: Vec<String>,
    pub readonly: Vec<String>,
    pub init: bool,
    /// Detached mounts, whose descriptors come after those of the namespaces.
    #[serde(default)]
    pub detached: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DevicePlan {
    pub path: String,
    /// S_IFCHR, S_IFBLK or S_IFIFO, with the permission bits.
    pub mode: u32,
    pub major: u32,
    pub minor: u32,
    pub uid: u32,
    pub gid: u32,
}

/// The devices that every container has, whatever the spec says. Source: OCI runtime spec, "Default Devices".
const DEFAULT_DEVICES: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

pub(super) fn lower(
    spec: &Spec,
    join: Vec<Namespace>,
    detached: usize,
    init: bool,
) -> Result<(ContainerPlan, Vec<Namespace>), SpawnError> {
    let linux = spec.linux().as_ref().ok_or_else(|| invalid("the spec has no linux section"))?;
    let (create, joined) = namespaces(spec, join)?;
    let paths = |paths: &Option<Vec<String>>| paths.clone().unwrap_or_default();
    let plan = ContainerPlan {
        create,
        join: joined.iter().map(|namespace| namespace.kind).collect(),
        hostname: spec.hostname().clone().filter(|name| !name.is_empty()),
        domainname: spec.domainname().clone().filter(|name| !name.is_empty()),
        sysctl: sysctl::lower(spec, create | joined.iter().fold(0, |flags, joined| flags | joined.kind.flag()))?,
        root_propagation: match linux.rootfs_propagation().as_deref() {
            None | Some("") => None,
            Some(name) => Some(mounts::root_propagation(name)?),
        },
        readonly_root: spec.root().as_ref().is_some_and(|root| root.readonly().unwrap_or(false)),
        mounts: spec.mounts().iter().flatten().map(mounts::lower).collect::<Result<_, _>>()?,
        devices: devices(spec)?,
        masked: paths(linux.masked_paths()),
        readonly: paths(linux.readonly_paths()),
        init,
        detached,
    };
    let is_missing = |mount: &MountPlan| matches!(mount.kind, MountKind::Detached { index, .. } if index >= detached);
    if let Some(missing) = plan.mounts.iter().find(|mount| is_missing(mount)) {
        return Err(invalid(format!("the detached mount for {} is missing", missing.destination)));
    }
    if plan.hostname.is_some() && (create | joined_flags(&plan.join)) & NamespaceKind::Uts.flag() == 0 {
        return Err(invalid("unable to set hostname without a private UTS namespace"));
    }
    Ok((plan, joined))
}

fn joined_flags(kinds: &[NamespaceKind]) -> u64 {
    kinds.iter().fold(0, |flags, kind| flags | kind.flag())
}

fn namespaces(spec: &Spec, mut joined: Vec<Namespace>) -> Result<(u64, Vec<Namespace>), SpawnError> {
    let mut create = libc::CLONE_NEWNS as u64;
    let listed = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    for namespace in listed.into_iter().flatten() {
        let kind = match namespace.typ() {
            LinuxNamespaceType::Mount => {
                if namespace.path().is_some() {
                    return Err(invalid("joining a mount namespace is not supported"));
                }
                continue;
            }
            LinuxNamespaceType::Network => NamespaceKind::Network,
            LinuxNamespaceType::Pid => NamespaceKind::Pid,
            LinuxNamespaceType::Ipc => NamespaceKind::Ipc,
            LinuxNamespaceType::Uts => NamespaceKind::Uts,
            LinuxNamespaceType::Cgroup => NamespaceKind::Cgroup,
            LinuxNamespaceType::User => return Err(invalid("user namespaces are not supported yet")),
            LinuxNamespaceType::Time => return Err(invalid("time namespaces are not supported yet")),
        };
        if joined.iter().any(|other| other.kind == kind) {
            continue;
        }
        match namespace.path().as_deref().filter(|path| !path.as_os_str().is_empty()) {
            None => create |= kind.flag(),
            Some(path) => {
                let file = File::open(path).map_err(|err| {
                    invalid(format!("open namespace {}: {}", path.display(), crate::sys::errno_text(&err)))
                })?;
                joined.push(Namespace { kind, fd: file.into() });
            }
        }
    }
    Ok((create, joined))
}

fn devices(spec: &Spec) -> Result<Vec<DevicePlan>, SpawnError> {
    let mut all: Vec<DevicePlan> = DEFAULT_DEVICES
        .iter()
        .map(|&(path, major, minor)| DevicePlan {
            path: path.into(),
            mode: libc::S_IFCHR | 0o666,
            major,
            minor,
            uid: 0,
            gid: 0,
        })
        .collect();
    let wanted = spec.linux().as_ref().and_then(|linux| linux.devices().as_ref());
    for device in wanted.into_iter().flatten() {
        let path = text(device.path())?;
        let kind = match device.typ() {
            LinuxDeviceType::C | LinuxDeviceType::U => libc::S_IFCHR,
            LinuxDeviceType::B => libc::S_IFBLK,
            LinuxDeviceType::P => libc::S_IFIFO,
            LinuxDeviceType::A => return Err(invalid(format!("device {path} has no type"))),
        };
        let number = |n: i64| u32::try_from(n).map_err(|_| invalid(format!("device {path} has a bad number")));
        all.retain(|default| default.path != path);
        all.push(DevicePlan {
            mode: kind | device.file_mode().unwrap_or(0o666) & 0o7777,
            major: number(device.major())?,
            minor: number(device.minor())?,
            uid: device.uid().unwrap_or(0),
            gid: device.gid().unwrap_or(0),
            path,
        });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::{LinuxBuilder, LinuxDeviceBuilder, LinuxNamespaceBuilder, SpecBuilder};
    use std::collections::HashMap;

    fn spec(sysctl: &[(&str, &str)], namespaces: &[LinuxNamespaceType]) -> Spec {
        let namespaces: Vec<_> =
            namespaces.iter().map(|&typ| LinuxNamespaceBuilder::default().typ(typ).build().unwrap()).collect();
        let sysctl: HashMap<String, String> = sysctl.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
        let device = LinuxDeviceBuilder::default()
            .path("/dev/null")
            .typ(LinuxDeviceType::C)
            .major(1)
            .minor(3)
            .file_mode(0o600u32)
            .build()
            .unwrap();
        let linux =
            LinuxBuilder::default().namespaces(namespaces).sysctl(sysctl).devices(vec![device]).build().unwrap();
        SpecBuilder::default().hostname("box").linux(linux).build().unwrap()
    }

    #[test]
    fn a_mount_namespace_is_always_private() {
        let (plan, _) = lower(&spec(&[], &[LinuxNamespaceType::Uts]), Vec::new(), 0, false).unwrap();
        assert_eq!(plan.create, (libc::CLONE_NEWNS | libc::CLONE_NEWUTS) as u64);
        assert!(lower(&spec(&[], &[]), Vec::new(), 0, false).is_err(), "hostname of the host");
    }

    #[test]
    fn joined_namespaces_are_not_created() {
        let uts = Namespace { kind: NamespaceKind::Uts, fd: File::open("/proc/self/ns/uts").unwrap().into() };
        let (plan, joined) = lower(&spec(&[], &[LinuxNamespaceType::Uts]), vec![uts], 0, false).unwrap();
        assert_eq!(plan.create, libc::CLONE_NEWNS as u64);
        assert_eq!((plan.join.len(), joined.len()), (1, 1));
    }

    #[test]
    fn sysctl_names_cannot_escape_and_stay_in_the_containers_namespaces() {
        use LinuxNamespaceType::{Ipc, Network, Uts};
        let own = [Uts, Network, Ipc];
        let (plan, _) = lower(&spec(&[("net.ipv4.ip_forward", "1")], &own), Vec::new(), 0, false).unwrap();
        assert_eq!(plan.sysctl, [("net/ipv4/ip_forward".to_owned(), "1".to_owned())]);
        for bad in ["../etc/passwd", "net/../../x", "/etc/passwd", "", "kernel.panic", "vm.swappiness"] {
            assert!(lower(&spec(&[(bad, "1")], &own), Vec::new(), 0, false).is_err(), "{bad}");
        }
        for (name, message) in [
            ("net.core.somaxconn", "sysctl \"net.core.somaxconn\" is not allowed in the hosts network namespace"),
            ("kernel.shmmax", "sysctl \"kernel.shmmax\" is not allowed in the hosts ipc namespace"),
            ("kernel.panic", "sysctl \"kernel.panic\" is not in a separate kernel namespace"),
        ] {
            let error = lower(&spec(&[(name, "1")], &[Uts]), Vec::new(), 0, false).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }

    #[test]
    fn the_spec_overrides_default_devices() {
        let (plan, _) = lower(&spec(&[], &[LinuxNamespaceType::Uts]), Vec::new(), 0, false).unwrap();
        let null: Vec<_> = plan.devices.iter().filter(|d| d.path == "/dev/null").collect();
        assert_eq!(null.len(), 1);
        assert_eq!(null[0].mode, libc::S_IFCHR | 0o600);
    }
}
