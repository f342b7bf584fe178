//! Pause and unpause: the freezer.

use cubby_runtime::cgroup::{Cgroup, CgroupError};

use super::{Container, Containers};
use crate::error::{Error, Result};

impl Containers {
    pub async fn pause(&self, name: &str) -> Result<()> {
        let container = self.find(name)?;
        let _transition = container.transition.lock().await;
        let state = container.record().state.clone();
        if !state.running {
            return Err(super::kill::not_running(&container.id));
        }
        if state.paused {
            return Err(Error::conflict(format!("Container {} is already paused", container.id)));
        }
        if state.restarting {
            return Err(Error::conflict(format!(
                "Container {} is restarting, wait until the container is running",
                container.id
            )));
        }
        freezer(&container, Cgroup::freeze)
            .await
            .map_err(|source| Error::system(format!("cannot pause container {}", container.id), source))?;
        let record = self.note(&container, |record| {
            record.state.paused = true;
            // As dockerd: nobody looks now, so nobody may call it healthy.
            if let Some(health) = &mut record.state.health {
                health.status = "unhealthy".to_owned();
            }
        });
        self.event(&record, "pause", &[]);
        Ok(())
    }

    pub async fn unpause(&self, name: &str) -> Result<()> {
        let container = self.find(name)?;
        let _transition = container.transition.lock().await;
        if !container.record().state.paused {
            // Why no conflict: dockerd has no kind for it, and clients see 500.
            return Err(Error::internal(format!("Container {} is not paused", container.id)));
        }
        freezer(&container, Cgroup::thaw)
            .await
            .map_err(|source| Error::system(format!("cannot unpause container {}", container.id), source))?;
        let record = self.note(&container, |record| record.state.paused = false);
        self.event(&record, "unpause", &[]);
        Ok(())
    }
}

async fn freezer(
    container: &Container,
    change: impl FnOnce(&Cgroup) -> Result<(), CgroupError> + Send + 'static,
) -> std::io::Result<()> {
    let cgroup = container.live().as_ref().map(|live| live.cgroup.clone());
    let Some(cgroup) = cgroup else { return Err(std::io::Error::other("it has no process")) };
    let changed = tokio::task::spawn_blocking(move || change(&cgroup)).await;
    changed.map_err(std::io::Error::other)?.map_err(std::io::Error::other)
}
