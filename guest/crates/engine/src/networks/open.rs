//! Start and stop: records and kernel made to agree.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, OnceLock},
};

use cubby_network::Subnet;

use super::{
    NETWORK, Networks, ipam,
    kernel::{Kernel, bridge_name},
    record::{BRIDGE_NAME, Driver, NetworkRecord},
    table::{Live, Table},
    turn,
};
use crate::{
    engine::Config,
    error::{Error, Result},
    events::EventBus,
    state::State,
};

impl Networks {
    /// Reads the records, creates `bridge`, `host` and `none` when they are missing, and makes bridges and rules in the
    /// kernel anew. `engine_id` marks what is ours where several engines share a kernel.
    pub async fn open(config: &Config, engine_id: &str, state: Arc<State>, events: Arc<EventBus>) -> Result<Arc<Self>> {
        let (in_guest, engine_id) = (config.in_guest, engine_id.to_owned());
        let opened = tokio::task::spawn_blocking(move || open(&engine_id, in_guest, state, events)).await;
        let networks = opened.unwrap_or_else(|error| Err(Error::system("open networks", error)))?;
        networks.refill_spares();
        Ok(networks)
    }

    /// Removes every bridge and rule: on a clean stop, after the last container left.
    pub async fn close(self: &Arc<Self>) {
        let networks = self.clone();
        let closed = tokio::task::spawn_blocking(move || networks.close_blocking()).await;
        if let Err(error) = closed {
            tracing::warn!(err = %error, "networks were not closed");
        }
    }

    fn close_blocking(&self) {
        let (members, bridges) = {
            let mut table = self.table();
            let owned = table.networks.values().filter(|live| live.record.owns_link() && live.bridge != 0);
            let bridges: BTreeSet<u32> = owned.map(|live| live.bridge).collect();
            (std::mem::take(&mut table.members), bridges)
        };
        drop(members);
        self.kernel.drop_spares();
        self.kernel.let_go();
        let removed = bridges.into_iter().map(|index| self.kernel.remove_link(index));
        for result in removed.chain([self.kernel.remove_rules()]) {
            if let Err(error) = result {
                tracing::warn!(err = %error, "networks left something in the kernel");
            }
        }
    }
}

fn open(engine_id: &str, in_guest: bool, state: Arc<State>, events: Arc<EventBus>) -> Result<Arc<Networks>> {
    let kernel = Kernel::open(engine_id, in_guest)?;
    let (records, unreadable) =
        state.all::<NetworkRecord>(NETWORK).map_err(|source| Error::system("read networks", source))?;
    for error in unreadable {
        tracing::error!(err = %error, "network is left out");
    }
    let mut table = Table::default();
    table.networks.extend(records.into_iter().map(|(id, record)| (id, Live::new(record))));
    let networks = Networks {
        state,
        events,
        users: OnceLock::new(),
        table: Mutex::new(table),
        kernel: Arc::new(kernel),
        rules: Mutex::new(()),
    };
    networks.kernel.sweep(|id| networks.table().networks.contains_key(id))?;
    networks.kernel.enable_forwarding()?;
    {
        let _turn = turn::take();
        networks.predefine(in_guest)?;
        networks.make_bridges();
    }
    networks.apply_rules()?;
    Ok(Arc::new(networks))
}

impl Networks {
    fn predefine(&self, in_guest: bool) -> Result<()> {
        for (name, driver) in [("host", Driver::Host), ("none", Driver::Null)] {
            if self.table().network(name).is_err() {
                self.enter(NetworkRecord::blank(name, driver))?;
            }
        }
        let routes = self.kernel.foreign_routes()?;
        let existing = self.table().network("bridge").ok().map(|live| live.record.clone());
        let mut record = existing.clone().unwrap_or_else(|| NetworkRecord::blank("bridge", Driver::Bridge));
        let name = if in_guest { "docker0" } else { "cubby0" };
        if record.bridge.is_empty() || self.kernel.is_foreign(&record.bridge)? {
            let taken = self.kernel.is_foreign(name)?;
            record.bridge = if taken { bridge_name(&record.id) } else { name.to_owned() };
        }
        let others: Vec<Subnet> = {
            let table = self.table();
            let others = table.networks.values().filter(|live| live.record.name != "bridge");
            others.flat_map(|live| live.record.subnets()).map(|addresses| addresses.subnet).collect()
        };
        let clashes = |subnet: Subnet| routes.iter().any(|route| route.overlaps(subnet));
        if record.addresses.as_ref().is_none_or(|addresses| clashes(addresses.subnet)) {
            let chosen = ipam::chosen(ipam::choose_subnet(&others, &routes)?);
            if let Some(former) = &record.addresses {
                tracing::warn!(former = %former.subnet, now = %chosen.subnet, "the host routes the default network's subnet elsewhere: it moves");
            }
            record.addresses = Some(chosen);
        }
        record.options = default_options(&record.bridge);
        if existing.as_ref() == Some(&record) { Ok(()) } else { self.enter(record) }
    }

    fn enter(&self, record: NetworkRecord) -> Result<()> {
        self.store(&record)?;
        self.table().networks.insert(record.id.clone(), Live::new(record));
        Ok(())
    }

    /// A network whose link cannot be made stays, unusable, and says why in the log: the engine starts all the same.
    fn make_bridges(&self) {
        let records: Vec<NetworkRecord> = self.table().networks.values().map(|live| live.record.clone()).collect();
        for record in records {
            match self.kernel.ensure_link(&record) {
                Ok(index) => {
                    if let Some(live) = self.table().networks.get_mut(&record.id) {
                        live.bridge = index;
                    }
                }
                Err(error) => tracing::error!(network = %record.name, err = %error, "network is unusable"),
            }
        }
    }
}

/// What dockerd shows for its default network.
fn default_options(bridge: &str) -> HashMap<String, String> {
    let prefix = "com.docker.network.bridge";
    HashMap::from([
        (format!("{prefix}.default_bridge"), "true".to_owned()),
        (format!("{prefix}.enable_icc"), "true".to_owned()),
        (format!("{prefix}.enable_ip_masquerade"), "true".to_owned()),
        (format!("{prefix}.host_binding_ipv4"), "0.0.0.0".to_owned()),
        (BRIDGE_NAME.to_owned(), bridge.to_owned()),
        ("com.docker.network.driver.mtu".to_owned(), "1500".to_owned()),
    ])
}
