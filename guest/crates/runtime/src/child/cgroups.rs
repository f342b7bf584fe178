//! Into the cgroups. The v2 one is entered by `clone3` itself; v1 hierarchies take a write each.

use super::Step;
use crate::cgroup::CgroupPath;
use crate::protocol::Failure;

pub(super) fn enter(cgroup: &CgroupPath) -> Step {
    for path in &cgroup.v1 {
        // "0" is the writer itself.
        std::fs::write(path.join("cgroup.procs"), "0")
            .map_err(|err| Failure::setup(format!("join cgroup {}", path.display()), err))?;
    }
    Ok(())
}
