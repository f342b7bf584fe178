//! Removing networks, one or all that nobody uses.

use std::sync::Arc;

use bollard_stubs::models::NetworkPruneResponse;

use super::{Networks, record::NetworkRecord, table::Table, template};
use crate::{
    error::{Error, ErrorKind, Result},
    filters::Filters,
    images::{timestamp, unix_seconds},
};

impl Networks {
    /// # Errors
    /// Not found, or forbidden while containers are on it.
    pub async fn remove(self: &Arc<Self>, name_or_id: &str) -> Result<()> {
        let (networks, name) = (self.clone(), name_or_id.to_owned());
        let removed = tokio::task::spawn_blocking(move || networks.remove_blocking(&name)).await;
        removed.unwrap_or_else(|error| Err(Error::system("remove network", error)))
    }

    /// Removes every user network without endpoints that the filters (`label`, `label!`, `until`) let through.
    pub async fn prune(self: &Arc<Self>, filters: &Filters) -> Result<NetworkPruneResponse> {
        filters.allow(&["label", "label!", "until"])?;
        let until = filters.values("until").map(timestamp).reduce(|a, b| Ok(a?.min(b?))).transpose()?;
        let unused: Vec<NetworkRecord> = {
            let table = self.table();
            let networks =
                table.networks.values().filter(|live| live.endpoints.is_empty() && may_be_pruned(&live.record));
            networks.map(|live| live.record.clone()).collect()
        };
        let mut deleted = Vec::new();
        for record in unused {
            let old_enough = until.is_none_or(|until| unix_seconds(&record.created) < until);
            if !old_enough || !filters.labels(&record.labels) {
                continue;
            }
            match self.remove(&record.id).await {
                Ok(()) => deleted.push(record.name),
                // Why: somebody else removed it or started to use it meanwhile; both are fine.
                Err(error) => tracing::info!(network = %record.name, err = %error, "not pruned"),
            }
        }
        let event =
            crate::events::Event::now("network", "prune", "", [("reclaimed".to_owned(), "0".to_owned())].into());
        self.events.publish(event);
        Ok(NetworkPruneResponse { networks_deleted: Some(deleted) })
    }

    fn remove_blocking(&self, name_or_id: &str) -> Result<()> {
        let live = {
            let mut table = self.table();
            let id = removable(&table, name_or_id)?;
            self.erase(&id)?;
            table.networks.remove(&id)
        };
        let Some(live) = live else { return Ok(()) };
        let unplugged = self.give_up_link(&live);
        let ruled = self.apply_rules();
        if live.record.template.is_none() {
            self.publish(&live.record, "destroy", None);
        }
        unplugged.and(ruled)
    }
}

/// Source: moby 28, daemon/prune.go (`localNetworksPrune`).
fn may_be_pruned(record: &NetworkRecord) -> bool {
    !record.is_predefined() && record.template.is_none()
}

fn removable(table: &Table, name_or_id: &str) -> Result<String> {
    let live = table.network(name_or_id)?;
    let record = &live.record;
    if record.is_predefined() {
        let message = format!("{} is a pre-defined network and cannot be removed", record.name);
        return Err(Error::new(ErrorKind::Forbidden, message));
    }
    template::check_unused(record, table)?;
    if live.endpoints.is_empty() {
        return Ok(record.id.clone());
    }
    let mut users: Vec<String> = live
        .endpoints
        .values()
        .map(|endpoint| {
            format!("name:\"{}\" id:\"{}\"", endpoint.container_name, endpoint.id.get(..12).unwrap_or_default())
        })
        .collect();
    users.sort();
    let message =
        format!("error while removing network: network {} has active endpoints ({})", record.name, users.join(", "));
    Err(Error::new(ErrorKind::Forbidden, message))
}
