//! Kernel parameters: only those that belong to a namespace of the container's own. Source: runc's validator.

use oci_spec::runtime::Spec;

use super::invalid;
use crate::{NamespaceKind, SpawnError};

/// Parameters of an ipc namespace beside `fs.mqueue.*`.
const IPC: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// Paths below /proc/sys and values. `own`: CLONE_NEW* flags of the namespaces that are not the host's.
pub(super) fn lower(spec: &Spec, own: u64) -> Result<Vec<(String, String)>, SpawnError> {
    let mut all = Vec::new();
    let wanted = spec.linux().as_ref().and_then(|linux| linux.sysctl().as_ref());
    for (name, value) in wanted.into_iter().flatten() {
        // With slashes a dot stays a dot (`net/ipv4/conf/eth0.1/…`).
        let path = if name.contains('/') { name.clone() } else { name.replace('.', "/") };
        let escapes = path.split('/').any(|part| matches!(part, "" | "." | ".."));
        if escapes || path.contains('\0') {
            return Err(invalid(format!("sysctl \"{name}\" is not valid")));
        }
        check(&path.replace('/', "."), own)?;
        all.push((path, value.clone()));
    }
    all.sort();
    Ok(all)
}

fn check(name: &str, own: u64) -> Result<(), SpawnError> {
    let has = |kind: NamespaceKind| own & kind.flag() != 0;
    let refuse = |why: &str| Err(invalid(format!("sysctl \"{name}\" is not {why}")));
    if IPC.contains(&name) || name.starts_with("fs.mqueue.") {
        return if has(NamespaceKind::Ipc) { Ok(()) } else { refuse("allowed in the hosts ipc namespace") };
    }
    if name.starts_with("net.") {
        return if has(NamespaceKind::Network) { Ok(()) } else { refuse("allowed in the hosts network namespace") };
    }
    match name {
        "kernel.domainname" if has(NamespaceKind::Uts) => Ok(()),
        "kernel.hostname" if has(NamespaceKind::Uts) => {
            refuse("allowed as it conflicts with the OCI \"hostname\" field")
        }
        _ => refuse("in a separate kernel namespace"),
    }
}
