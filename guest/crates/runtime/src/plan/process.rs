//! `process` of the spec.

use oci_spec::runtime::{Capabilities, PosixRlimitType, Process};
use serde::{Deserialize, Serialize};

use super::{invalid, no_nul, text};
use crate::SpawnError;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ProcessPlan {
    pub args: Vec<String>,
    pub env: Vec<String>,
    pub cwd: String,
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    pub umask: Option<u32>,
    pub capabilities: CapabilityPlan,
    pub rlimits: Vec<RlimitPlan>,
    pub no_new_privileges: bool,
    pub oom_score_adj: Option<i32>,
}

/// Bit masks by capability number (linux/capability.h).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CapabilityPlan {
    pub bounding: u64,
    pub effective: u64,
    pub permitted: u64,
    pub inheritable: u64,
    pub ambient: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RlimitPlan {
    pub resource: u32,
    pub soft: u64,
    pub hard: u64,
}

/// In the order of their numbers.
pub const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

pub(super) fn lower(process: &Process) -> Result<ProcessPlan, SpawnError> {
    let args = no_nul(process.args().as_deref().unwrap_or_default())?;
    if args.is_empty() {
        return Err(invalid("process.args must not be empty"));
    }
    let cwd = text(process.cwd())?;
    if !cwd.starts_with('/') {
        return Err(invalid(format!("Cwd must be an absolute path: {cwd}")));
    }
    let user = process.user();
    let limits = process.rlimits().as_deref().unwrap_or_default();
    Ok(ProcessPlan {
        args,
        env: no_nul(process.env().as_deref().unwrap_or_default())?,
        cwd,
        uid: user.uid(),
        gid: user.gid(),
        groups: user.additional_gids().clone().unwrap_or_default(),
        umask: user.umask(),
        capabilities: capabilities(process),
        rlimits: limits
            .iter()
            .map(|l| RlimitPlan { resource: rlimit(l.typ()), soft: l.soft(), hard: l.hard() })
            .collect(),
        no_new_privileges: process.no_new_privileges().unwrap_or(false),
        oom_score_adj: process.oom_score_adj(),
    })
}

fn capabilities(process: &Process) -> CapabilityPlan {
    let Some(caps) = process.capabilities() else {
        return CapabilityPlan::default();
    };
    let mask = |set: &Option<Capabilities>| {
        set.iter().flatten().filter_map(|cap| number(&cap.to_string())).fold(0, |mask, n| mask | 1 << n)
    };
    CapabilityPlan {
        bounding: mask(caps.bounding()),
        effective: mask(caps.effective()),
        permitted: mask(caps.permitted()),
        inheritable: mask(caps.inheritable()),
        ambient: mask(caps.ambient()),
    }
}

/// Every capability of the spec crate has a number here (tested), so nothing is lost silently.
fn number(name: &str) -> Option<usize> {
    CAPABILITIES.iter().position(|&known| known == name)
}

fn rlimit(kind: PosixRlimitType) -> u32 {
    use PosixRlimitType as T;
    match kind {
        T::RlimitCpu => libc::RLIMIT_CPU,
        T::RlimitFsize => libc::RLIMIT_FSIZE,
        T::RlimitData => libc::RLIMIT_DATA,
        T::RlimitStack => libc::RLIMIT_STACK,
        T::RlimitCore => libc::RLIMIT_CORE,
        T::RlimitRss => libc::RLIMIT_RSS,
        T::RlimitNproc => libc::RLIMIT_NPROC,
        T::RlimitNofile => libc::RLIMIT_NOFILE,
        T::RlimitMemlock => libc::RLIMIT_MEMLOCK,
        T::RlimitAs => libc::RLIMIT_AS,
        T::RlimitLocks => libc::RLIMIT_LOCKS,
        T::RlimitSigpending => libc::RLIMIT_SIGPENDING,
        T::RlimitMsgqueue => libc::RLIMIT_MSGQUEUE,
        T::RlimitNice => libc::RLIMIT_NICE,
        T::RlimitRtprio => libc::RLIMIT_RTPRIO,
        T::RlimitRttime => libc::RLIMIT_RTTIME,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::{Capability, LinuxCapabilitiesBuilder, ProcessBuilder};

    #[test]
    fn capability_numbers_are_the_kernels() {
        assert_eq!(number(&Capability::Chown.to_string()), Some(0));
        assert_eq!(number(&Capability::NetRaw.to_string()), Some(13));
        assert_eq!(number(&Capability::SysAdmin.to_string()), Some(21));
        assert_eq!(number(&Capability::Bpf.to_string()), Some(39));
        assert_eq!(number(&Capability::CheckpointRestore.to_string()), Some(40));
        for name in CAPABILITIES {
            let cap: Capability = name.parse().unwrap();
            assert_eq!(cap.to_string(), name);
        }
    }

    #[test]
    fn masks_keep_their_sets_apart() {
        let caps = LinuxCapabilitiesBuilder::default()
            .bounding([Capability::Chown, Capability::Kill])
            .effective([Capability::Kill])
            .permitted([Capability::Kill])
            .inheritable([])
            .ambient([])
            .build()
            .unwrap();
        let process = ProcessBuilder::default().args(vec!["true".into()]).cwd("/").capabilities(caps).build().unwrap();
        let plan = lower(&process).unwrap().capabilities;
        assert_eq!((plan.bounding, plan.effective, plan.inheritable), (0b100001, 0b100000, 0));
    }

    #[test]
    fn bad_input_is_refused() {
        let process = |args: &[&str], cwd: &str| {
            let args: Vec<String> = args.iter().map(|&a| a.to_owned()).collect();
            lower(&ProcessBuilder::default().args(args).cwd(cwd).build().unwrap())
        };
        assert!(process(&["true"], "/").is_ok());
        assert!(process(&[], "/").is_err());
        assert!(process(&["true"], "tmp").is_err());
        assert!(process(&["a\0b"], "/").is_err());
    }
}
