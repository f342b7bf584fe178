//! The mounts of a spec: the system's, the user's, and the files that the engine writes for a container.

use std::path::PathBuf;

use oci_spec::runtime::Mount;

use super::{Security, defaults};
use crate::containers::model::Record;

/// A mount of the user's with its source in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadyMount {
    Bind {
        source: PathBuf,
        destination: String,
        read_only: bool,
        /// Read-only below, too.
        read_only_below: bool,
        recursive: bool,
        /// Empty: leave the kernel's default.
        propagation: String,
    },
    Tmpfs {
        destination: String,
        options: Vec<String>,
    },
    /// A mount that the start hands over as a descriptor, or what is at `subpath` in it (empty: all).
    Detached {
        index: usize,
        destination: String,
        read_only: bool,
        subpath: String,
    },
}

impl ReadyMount {
    pub fn destination(&self) -> &str {
        match self {
            Self::Bind { destination, .. } | Self::Tmpfs { destination, .. } | Self::Detached { destination, .. } => {
                destination
            }
        }
    }
}

/// `/etc/hosts` and the like, as files of the engine's.
#[derive(Clone, Debug, Default)]
pub struct FileMounts {
    pub resolv_conf: Option<PathBuf>,
    pub hostname: Option<PathBuf>,
    pub hosts: Option<PathBuf>,
}

/// Every mount in the order in which they are made: a parent before what is below it.
pub fn all(record: &Record, mut user: Vec<ReadyMount>, files: &FileMounts, security: &Security) -> Vec<Mount> {
    let host = &record.host_config;
    for (file, destination) in
        [(&files.resolv_conf, "/etc/resolv.conf"), (&files.hostname, "/etc/hostname"), (&files.hosts, "/etc/hosts")]
    {
        if let Some(source) = file.clone().filter(|_| !user.iter().any(|mount| mount.destination() == destination)) {
            user.push(ReadyMount::Bind {
                source,
                destination: destination.to_owned(),
                read_only: host.readonly_rootfs,
                read_only_below: false,
                recursive: true,
                propagation: "rprivate".to_owned(),
            });
        }
    }
    user.sort_by_key(|mount| (mount.destination().matches('/').count(), mount.destination().to_owned()));
    let writable_cgroups = security.writable_cgroups.unwrap_or(host.privileged);
    let mut mounts = system(record, &user, writable_cgroups);
    mounts.extend(user.into_iter().map(ready));
    mounts
}

fn system(record: &Record, user: &[ReadyMount], writable_cgroups: bool) -> Vec<Mount> {
    let host = &record.host_config;
    let taken = |destination: &str| user.iter().any(|mount| mount.destination() == destination);
    let mut mounts = Vec::new();
    for (destination, kind, source, options) in defaults::MOUNTS {
        if taken(destination) || (taken("/dev") && destination.starts_with("/dev/")) {
            continue;
        }
        let mut options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        let mut kind = *kind;
        let mut source = (*source).to_owned();
        match *destination {
            "/dev/shm" if host.ipc_mode == "none" => continue,
            "/dev/shm" if host.ipc_mode == "host" => {
                (kind, source) = ("bind", "/dev/shm".to_owned());
                options = vec!["rbind".to_owned()];
            }
            "/dev/shm" => options.push(format!("size={}", host.shm_size)),
            "/dev/mqueue" if host.ipc_mode == "host" => {
                (kind, source) = ("bind", "/dev/mqueue".to_owned());
                options = vec!["rbind".to_owned()];
                if !std::path::Path::new(&source).exists() {
                    continue;
                }
            }
            "/sys" if host.privileged => options.retain(|option| option != "ro"),
            "/sys/fs/cgroup" if writable_cgroups => options.retain(|option| option != "ro"),
            _ => {}
        }
        mounts.push(mount(destination, kind, source.into(), options));
    }
    mounts
}

fn mount(destination: &str, kind: &str, source: PathBuf, options: Vec<String>) -> Mount {
    let mut mount = Mount::default();
    mount
        .set_destination(destination.into())
        .set_typ(Some(kind.to_owned()))
        .set_source(Some(source))
        .set_options(Some(options));
    mount
}

fn ready(wanted: ReadyMount) -> Mount {
    match wanted {
        ReadyMount::Tmpfs { destination, options } => mount(&destination, "tmpfs", "tmpfs".into(), options),
        ReadyMount::Detached { index, destination, read_only, subpath } => {
            let mut options = if read_only { vec!["ro".to_owned()] } else { Vec::new() };
            if !subpath.is_empty() {
                options.push(format!("subpath={subpath}"));
            }
            mount(&destination, "detached", index.to_string().into(), options)
        }
        ReadyMount::Bind { source, destination, read_only, read_only_below, recursive, propagation } => {
            let mut options = vec![if recursive { "rbind" } else { "bind" }.to_owned()];
            if read_only {
                options.push("ro".to_owned());
            }
            if read_only_below {
                options.push("rro".to_owned());
            }
            if !propagation.is_empty() {
                options.push(propagation);
            }
            mount(&destination, "bind", source, options)
        }
    }
}

/// A shared or slave mount needs a root that lets changes through.
pub fn root_propagation(mounts: &[ReadyMount]) -> Option<String> {
    let uses = |wanted: [&str; 2]| {
        mounts.iter().any(
            |mount| matches!(mount, ReadyMount::Bind { propagation, .. } if wanted.contains(&propagation.as_str())),
        )
    };
    if uses(["shared", "rshared"]) {
        Some("shared".to_owned())
    } else {
        uses(["slave", "rslave"]).then(|| "rslave".to_owned())
    }
}
