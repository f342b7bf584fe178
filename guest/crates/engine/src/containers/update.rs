//! Update: other limits and another restart policy for a container, running or not.

use super::{
    Containers,
    model::{Resources, UpdateRequest},
    spec, validate,
};
use crate::error::{Error, Result};

impl Containers {
    /// Returns warnings.
    pub async fn update(&self, name: &str, request: UpdateRequest) -> Result<Vec<String>> {
        let container = self.find(name)?;
        let UpdateRequest { resources: mut wanted, restart_policy } = request;
        validate::check_restart_policy(&restart_policy)?;
        self.check_quality(&wanted)?;
        let warnings = self.check_resources(&mut wanted, true)?;
        let _transition = container.transition.lock().await;
        let record = container.record();
        if record.state.removing || record.state.dead {
            return Err(cannot(
                &container.id,
                Error::conflict("container is marked for removal and cannot be \"update\""),
            ));
        }
        if record.host_config.auto_remove && !restart_policy.is_none() {
            return Err(cannot(
                &container.id,
                Error::conflict("Restart policy cannot be updated because AutoRemove is enabled for the container"),
            ));
        }
        let mut new = record.as_ref().clone();
        apply(&mut new.host_config.resources, &wanted).map_err(|error| cannot(&container.id, error))?;
        if !restart_policy.name.is_empty() {
            new.host_config.restart_policy = restart_policy;
        }
        let limits = spec::resources(&new).map_err(Error::invalid)?;
        let cgroup = container.live().as_ref().map(|live| live.cgroup.clone());
        if let Some(cgroup) = cgroup {
            let applied = tokio::task::spawn_blocking(move || cgroup.apply(&limits)).await;
            applied
                .map_err(|error| Error::internal(error.to_string()))?
                .map_err(|source| cannot(&container.id, Error::system("set limits", source)))?;
        }
        let record = self.change(&container, |record| record.host_config = new.host_config.clone())?;
        self.event(&record, "update", &[]);
        Ok(warnings)
    }
}

fn cannot(id: &str, error: Error) -> Error {
    Error::new(error.kind(), format!("Cannot update container {id}: {}", error.message()))
}

/// Zero means: as it was. Source: moby container_unix.go `UpdateContainer`.
fn apply(current: &mut Resources, wanted: &Resources) -> Result<()> {
    let period = wanted.cpu_period != 0 || wanted.cpu_quota != 0;
    if period && current.nano_cpus > 0 {
        let what = if wanted.cpu_period != 0 { "Period" } else { "Quota" };
        return Err(Error::conflict(format!(
            "Conflicting options: CPU {what} cannot be updated as NanoCPUs has already been set"
        )));
    }
    if wanted.nano_cpus > 0 && (current.cpu_period > 0 || current.cpu_quota > 0) {
        let what = if current.cpu_quota > 0 { "Quota" } else { "Period" };
        return Err(Error::conflict(format!(
            "Conflicting options: Nano CPUs cannot be updated as CPU {what} has already been set"
        )));
    }
    if wanted.memory > 0 {
        // Without a new swap limit the old one must still hold.
        if wanted.memory > current.memory_swap && current.memory_swap > 0 && wanted.memory_swap == 0 {
            return Err(Error::invalid(
                "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time",
            ));
        }
        current.memory = wanted.memory;
    }
    for (current, wanted) in [
        (&mut current.cpu_shares, wanted.cpu_shares),
        (&mut current.nano_cpus, wanted.nano_cpus),
        (&mut current.cpu_period, wanted.cpu_period),
        (&mut current.cpu_quota, wanted.cpu_quota),
        (&mut current.memory_swap, wanted.memory_swap),
        (&mut current.memory_reservation, wanted.memory_reservation),
        (&mut current.cpu_realtime_period, wanted.cpu_realtime_period),
        (&mut current.cpu_realtime_runtime, wanted.cpu_realtime_runtime),
    ] {
        if wanted != 0 {
            *current = wanted;
        }
    }
    if wanted.blkio_weight != 0 {
        current.blkio_weight = wanted.blkio_weight;
    }
    for (current, wanted) in
        [(&mut current.cpuset_cpus, &wanted.cpuset_cpus), (&mut current.cpuset_mems, &wanted.cpuset_mems)]
    {
        if !wanted.is_empty() {
            current.clone_from(wanted);
        }
    }
    if let Some(limit) = wanted.pids_limit {
        // Source: moby `postContainerUpdate`: every way to say "unlimited" is 0.
        current.pids_limit = Some(limit.max(0));
    }
    Ok(())
}
