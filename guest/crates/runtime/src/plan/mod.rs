//! A spec, lowered: every name parsed, every flag a number, so that the child that executes it has nothing left to decide.
//!
//! Lowering happens in the engine; whatever the spec asks for that we cannot do is refused here, before anything exists.

mod container;
mod mounts;
mod process;
mod sysctl;

use serde::{Deserialize, Serialize};

pub(crate) use container::{ContainerPlan, DevicePlan};
pub(crate) use mounts::{MountKind, MountPlan, attr};
pub use process::CAPABILITIES;
pub(crate) use process::ProcessPlan;

use crate::cgroup::CgroupPath;
use crate::{Namespace, NamespaceKind, SpawnError, Stdio};

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub key: String,
    pub stdio: Stdio,
    pub cgroup: Option<CgroupPath>,
    pub process: ProcessPlan,
    pub target: TargetPlan,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum TargetPlan {
    Container(Box<ContainerPlan>),
    Exec { container: String },
}

impl NamespaceKind {
    /// The CLONE_NEW* flag, also the type for `setns`.
    pub(crate) fn flag(self) -> u64 {
        let flag = match self {
            Self::Network => libc::CLONE_NEWNET,
            Self::Pid => libc::CLONE_NEWPID,
            Self::Ipc => libc::CLONE_NEWIPC,
            Self::Uts => libc::CLONE_NEWUTS,
            Self::Cgroup => libc::CLONE_NEWCGROUP,
            Self::User => libc::CLONE_NEWUSER,
        };
        flag as u64
    }
}

fn invalid(text: impl Into<String>) -> SpawnError {
    SpawnError::Invalid(text.into())
}

/// A path or string of the spec that goes to the kernel: UTF-8 without NUL.
fn text(path: &std::path::Path) -> Result<String, SpawnError> {
    match path.to_str() {
        Some(text) if !text.contains('\0') => Ok(text.to_owned()),
        _ => Err(invalid(format!("path {} is not valid text", path.display()))),
    }
}

fn no_nul(strings: &[String]) -> Result<Vec<String>, SpawnError> {
    match strings.iter().find(|s| s.contains('\0')) {
        Some(bad) => Err(invalid(format!("{bad:?} contains a NUL byte"))),
        None => Ok(strings.to_vec()),
    }
}

/// Lowers a request; the second half is the namespaces to join, in the plan's order.
pub(crate) fn lower(
    key: &str,
    spec: &oci_spec::runtime::Spec,
    stdio: Stdio,
    cgroup: Option<CgroupPath>,
    target: Wanted,
) -> Result<(Plan, Vec<Namespace>), SpawnError> {
    let process = spec.process().as_ref().ok_or_else(|| invalid("the spec has no process"))?;
    let process = process::lower(process)?;
    let (target, joined) = match target {
        Wanted::Exec { container } => (TargetPlan::Exec { container }, Vec::new()),
        Wanted::Container { join, mounts, init } => {
            let (plan, joined) = container::lower(spec, join, mounts, init)?;
            (TargetPlan::Container(Box::new(plan)), joined)
        }
    };
    let plan = Plan { key: key.to_owned(), stdio, cgroup, process, target };
    Ok((plan, joined))
}

/// [`crate::Target`] without the descriptors of mounts.
pub(crate) enum Wanted {
    Container { join: Vec<Namespace>, mounts: usize, init: bool },
    Exec { container: String },
}
