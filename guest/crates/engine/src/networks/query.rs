//! Inspect and list.

use bollard_stubs::models::Network;

use super::{Networks, record::NetworkRecord, table::Live};
use crate::{
    error::{Error, Result},
    filters::Filters,
};

const FILTERS: &[&str] = &["dangling", "driver", "id", "label", "name", "scope", "type"];

impl Networks {
    /// One network by id, name or unambiguous beginning of an id, with the containers on it.
    ///
    /// # Errors
    /// Not found; invalid when several ids begin so.
    pub fn inspect(&self, name_or_id: &str) -> Result<Network> {
        let table = self.table();
        let live = table.network(name_or_id)?;
        Ok(live.record.describe(live.containers()))
    }

    /// Every network that the filters let through, newest first, without the containers on it, as dockerd lists them.
    pub fn list(&self, filters: &Filters) -> Result<Vec<Network>> {
        filters.allow(FILTERS)?;
        let dangling = filters.flag("dangling")?;
        if let Some(kind) = filters.values("type").find(|kind| !matches!(*kind, "custom" | "builtin")) {
            return Err(Error::invalid(format!("invalid filter: 'type'='{kind}'")));
        }
        let table = self.table();
        let mut wanted: Vec<&Live> = table.networks.values().filter(|live| matches(&live.record, filters)).collect();
        if let Some(dangling) = dangling {
            wanted.retain(|live| (live.endpoints.is_empty() && !live.record.is_predefined()) == dangling);
        }
        wanted.sort_by(|a, b| a.record.name.cmp(&b.record.name));
        Ok(wanted.into_iter().map(|live| live.record.describe(Default::default())).collect())
    }
}

pub(super) fn matches(record: &NetworkRecord, filters: &Filters) -> bool {
    let kind = if record.is_predefined() { "builtin" } else { "custom" };
    filters.exact("driver", record.driver.name())
        && filters.any("id", |id| record.id.starts_with(id))
        && filters.any("name", |name| record.name.contains(name))
        && filters.exact("scope", "local")
        && filters.exact("type", kind)
        && filters.labels(&record.labels)
}
