//! Networks: what exists, who is on them, and what Docker's clients may ask.
//!
//! `kind = "network"` of the state database holds what a network *is*. Who is on it now is kept in memory only: a
//! running container's record has its filled endpoints, and [`Networks::rejoin`] learns them from there after an engine
//! crash. Bridges, rules and sandboxes in the kernel are made from the two and can be made again at any time.
//!
//! A sandbox is a descriptor and nothing else: when a container's processes and the engine's descriptor are gone, the
//! kernel removes the namespace and the cables in it. Nothing has to be found and swept after a crash.

mod adopt;
mod attach;
mod checks;
mod create;
mod endpoint;
mod forwards;
mod ipam;
mod join;
mod kernel;
mod live;
mod mark;
mod mode;
mod names;
mod open;
mod parent;
mod ports;
mod query;
mod record;
mod remove;
mod resolve;
mod table;
mod template;
mod turn;
mod vlan;

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    time::Duration,
};

pub use attach::{Dns, Join, Joined, NetworkUser, NetworkUsers, Rejoin};
pub use mode::NetworkMode;

use crate::{
    error::{Error, Result},
    events::{Event, EventBus},
    state::State,
};
use kernel::Kernel;
use record::NetworkRecord;
use table::Table;

const NETWORK: &str = "network";

/// See the module's documentation.
pub struct Networks {
    state: Arc<State>,
    events: Arc<EventBus>,
    users: OnceLock<Weak<dyn NetworkUsers>>,
    table: Mutex<Table>,
    kernel: Arc<Kernel>,
    /// Held while rules are written, so that the last writer has seen every network.
    rules: Mutex<()>,
}

/// What became of a create request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    pub id: String,
    pub warning: String,
}

impl Networks {
    /// Tells who the containers are. Once, before the first request.
    pub fn set_users(&self, users: Weak<dyn NetworkUsers>) {
        // Why: a second call can only come from a second start of the same engine object, with the same users.
        let _ = self.users.set(users);
    }

    fn users(&self) -> Result<Arc<dyn NetworkUsers>> {
        let users = self.users.get().and_then(Weak::upgrade);
        users.ok_or_else(|| Error::unavailable("the engine is not ready yet or stops"))
    }

    fn user(&self, name_or_id: &str) -> Result<NetworkUser> {
        self.users()?.network_user(name_or_id)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A running container's new name, for DNS and inspect.
    pub fn renamed(&self, container_id: &str, name: &str) {
        let mut table = self.table();
        let Some(member) = table.members.get_mut(container_id) else { return };
        let former = std::mem::replace(&mut member.name, name.to_owned());
        for live in table.networks.values_mut() {
            let Some(endpoint) = live.endpoints.get_mut(container_id) else { continue };
            endpoint.container_name = name.to_owned();
            endpoint.names.retain(|known| *known != former.to_lowercase());
            endpoint.names.insert(0, name.to_lowercase());
            if let Some(names) = &mut endpoint.settings.dns_names {
                names.retain(|known| *known != former);
                names.insert(0, name.to_owned());
            }
        }
    }

    /// A container's endpoints as they are now, by network name; empty when it does not run.
    pub fn endpoints(&self, container_id: &str) -> HashMap<String, bollard_stubs::models::EndpointSettings> {
        let table = self.table();
        let on = table.networks.values().filter_map(|live| Some((live, live.endpoints.get(container_id)?)));
        on.map(|(live, endpoint)| (live.record.name.clone(), endpoint.settings.clone())).collect()
    }

    /// For how long a running container has had an address, none when no container has it: what the forwarder may dial.
    pub fn container_age(&self, address: std::net::IpAddr) -> Option<Duration> {
        let table = self.table();
        let mut endpoints = table.networks.values().flat_map(|live| live.endpoints.values());
        endpoints.find(|endpoint| endpoint.has(address)).map(|endpoint| endpoint.since.elapsed())
    }

    /// How many networks there are.
    pub fn count(&self) -> usize {
        self.table().networks.len()
    }

    /// Creating and removing a network means another table of rules. Blocks.
    fn apply_rules(&self) -> Result<()> {
        let _turn = self.rules_turn();
        let records: Vec<NetworkRecord> = self.table().networks.values().map(|live| live.record.clone()).collect();
        self.kernel.apply_rules(records.iter())
    }

    fn rules_turn(&self) -> MutexGuard<'_, ()> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refill_spares(&self) {
        let kernel = self.kernel.clone();
        tokio::task::spawn_blocking(move || kernel.refill());
    }

    fn store(&self, record: &NetworkRecord) -> Result<()> {
        let stored = self.state.put(NETWORK, &record.id, record);
        stored.map_err(|source| Error::system(format!("keep network {}", record.name), source))
    }

    fn erase(&self, id: &str) -> Result<()> {
        self.state.delete(NETWORK, id).map_err(|source| Error::system(format!("forget network {id}"), source))?;
        Ok(())
    }

    /// `create`, `destroy`, `connect`, `disconnect`, with the attributes dockerd gives them.
    fn publish(&self, record: &NetworkRecord, action: &str, container_id: Option<&str>) {
        let mut attributes = HashMap::from([
            ("name".to_owned(), record.name.clone()),
            ("type".to_owned(), record.driver.name().to_owned()),
        ]);
        if let Some(id) = container_id {
            attributes.insert("container".to_owned(), id.to_owned());
        }
        self.events.publish(Event::now("network", action, record.id.clone(), attributes));
    }
}

/// 64 hexadecimal digits.
fn random_id() -> String {
    (0..4).map(|_| format!("{:016x}", fastrand::u64(..))).collect()
}
