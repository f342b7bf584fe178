//! Removing volumes, one or all that nobody uses.

use std::sync::Arc;

use bollard_stubs::models::VolumePruneResponse;

use super::{VOLUME, Volumes, discard, no_such};
use crate::{
    error::{Error, Result},
    events::Event,
    filters::Filters,
};

impl Volumes {
    /// `force`: an unknown name is no error.
    ///
    /// # Errors
    /// Not found; conflict while a container, running or not, uses it.
    pub async fn remove(self: &Arc<Self>, name: &str, force: bool) -> Result<()> {
        let name = name.to_owned();
        self.blocking(move |volumes| match volumes.remove_blocking(&name) {
            Err(error) if force && error.kind() == crate::ErrorKind::NotFound => Ok(()),
            done => done,
        })
        .await
    }

    /// Removes volumes that no container uses: anonymous ones, all with the filter `all`; further by `label` and `label!`.
    /// Those with options are spared: nothing of theirs takes space here. Source: moby volume/service `Prune`.
    pub async fn prune(self: &Arc<Self>, filters: &Filters) -> Result<VolumePruneResponse> {
        filters.allow(&["all", "label", "label!"])?;
        let all = filters.flag("all")?.unwrap_or(false);
        let records = self.records().into_iter().filter(|record| record.options.is_empty());
        let wanted =
            records.filter(|record| all || record.is_anonymous()).filter(|record| filters.labels(&record.labels));
        let names: Vec<String> = wanted.map(|record| record.name).collect();
        self.blocking(move |volumes| {
            let (mut deleted, mut reclaimed) = (Vec::new(), 0);
            for name in names {
                let size = volumes.usage_of(&name).size;
                match volumes.remove_blocking(&name) {
                    Ok(()) => {
                        deleted.push(name);
                        reclaimed += size;
                    }
                    Err(error) => tracing::debug!(volume = %name, err = %error, "not pruned"),
                }
            }
            let attributes = [("reclaimed".to_owned(), reclaimed.to_string())].into();
            volumes.events.publish(Event::now("volume", "prune", "", attributes));
            Ok(VolumePruneResponse { volumes_deleted: Some(deleted), space_reclaimed: Some(reclaimed) })
        })
        .await
    }

    pub(super) fn remove_blocking(&self, name: &str) -> Result<()> {
        {
            let mut table = self.table();
            let live = table.get_mut(name).filter(|live| !live.doomed).ok_or_else(|| no_such(name))?;
            // Doomed first: no container can start to use it between the look and the removal.
            live.doomed = true;
        }
        let removed = self.unused(name).and_then(|()| {
            discard(&self.dir.join(name)).map_err(|source| Error::system(format!("remove volume {name}"), source))?;
            self.state.delete(VOLUME, name).map_err(|source| Error::system(format!("forget volume {name}"), source))
        });
        let mut table = self.table();
        if let Err(error) = removed {
            if let Some(live) = table.get_mut(name) {
                live.doomed = false;
            }
            return Err(error);
        }
        table.remove(name);
        drop(table);
        self.publish("destroy", name, None);
        Ok(())
    }

    fn unused(&self, name: &str) -> Result<()> {
        let mut users = self.users_of(name);
        if let Some(live) = self.table().get(name) {
            users.extend(live.mounted_by.iter().cloned());
        }
        users.sort();
        users.dedup();
        if users.is_empty() {
            return Ok(());
        }
        Err(Error::conflict(format!("remove {name}: volume is in use - [{}]", users.join(", "))))
    }
}
