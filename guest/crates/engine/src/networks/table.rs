//! The networks part's memory: what exists and who is on it now. Plain data under one lock that is never held while
//! the kernel or a client is waited for.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
    time::Instant,
};

use bollard_stubs::models::{EndpointSettings, NetworkContainer};
use cubby_network::{Mac, Sandbox, ipam::Pool};

use super::{
    endpoint,
    record::{Addresses, NetworkRecord},
};
use crate::error::{Error, Result};

#[derive(Default)]
pub struct Table {
    /// By id.
    pub networks: BTreeMap<String, Live>,
    /// By container id.
    pub members: HashMap<String, Member>,
}

/// A network and its endpoints.
pub struct Live {
    pub record: NetworkRecord,
    /// Of each subnet that the network has, IPv4 first.
    pub pools: Vec<Pool>,
    /// Index of the link in the kernel; 0 when there is none.
    pub bridge: u32,
    /// By container id.
    pub endpoints: HashMap<String, Endpoint>,
}

/// A container on a network. Exists from the moment its address is taken.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub id: String,
    pub container_name: String,
    /// With their prefixes; IPv4 first.
    pub addresses: Vec<(IpAddr, u8)>,
    pub mac: Option<Mac>,
    /// Name in the sandbox; empty for `host` and `none`.
    pub interface: String,
    /// What DNS answers for, all lower case.
    pub names: Vec<String>,
    /// As shown by inspect.
    pub settings: EndpointSettings,
    /// When this engine entered it.
    pub since: Instant,
}

/// A running container.
#[derive(Default)]
pub struct Member {
    pub name: String,
    pub hostname: String,
    /// `None` in the host's namespace.
    pub sandbox: Option<Arc<Sandbox>>,
    /// `--link`: alias → container name or id; only this container sees them.
    pub links: Vec<(String, String)>,
    /// Serves 127.0.0.11 in the sandbox while the container is on a user network.
    pub dns: Option<cubby_network::dns::Server>,
    pub upstream: Vec<std::net::SocketAddr>,
}

impl Live {
    pub fn new(record: NetworkRecord) -> Self {
        let pools = record.subnets().map(fresh_pool).collect();
        Self { record, pools, bridge: 0, endpoints: HashMap::new() }
    }

    pub fn release(&mut self, container_id: &str) -> Option<Endpoint> {
        let endpoint = self.endpoints.remove(container_id)?;
        self.give_back(&endpoint.addresses);
        Some(endpoint)
    }

    pub fn give_back(&mut self, addresses: &[(IpAddr, u8)]) {
        for (address, _) in addresses {
            // Why all pools: one that does not know the address lets it be.
            self.pools.iter_mut().filter(|pool| pool.subnet().contains(*address)).for_each(|pool| {
                pool.release(*address, Instant::now());
            });
        }
    }

    pub fn containers(&self) -> HashMap<String, NetworkContainer> {
        let shown = self.endpoints.iter().map(|(id, endpoint)| (id.clone(), endpoint.describe()));
        shown.collect()
    }
}

fn fresh_pool(addresses: &Addresses) -> Pool {
    let mut pool = Pool::new(addresses.subnet, addresses.range);
    for reserved in addresses.auxiliary.values().chain(&addresses.gateway) {
        // Why: two names for one auxiliary address are allowed, and it is reserved once.
        let _ = pool.claim(*reserved);
    }
    pool
}

impl Endpoint {
    /// The address of one family, with its prefix.
    pub fn of_family(&self, is_ipv6: bool) -> Option<(IpAddr, u8)> {
        self.addresses.iter().find(|(address, _)| address.is_ipv6() == is_ipv6).copied()
    }

    pub fn has(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|(own, _)| *own == address)
    }

    fn describe(&self) -> NetworkContainer {
        let shown = |is_ipv6| self.of_family(is_ipv6).map(|(ip, prefix)| format!("{ip}/{prefix}")).unwrap_or_default();
        NetworkContainer {
            name: Some(self.container_name.clone()),
            endpoint_id: Some(self.id.clone()),
            mac_address: Some(self.mac.map(|mac| mac.to_string()).unwrap_or_default()),
            ipv4_address: Some(shown(false)),
            ipv6_address: Some(shown(true)),
        }
    }
}

impl Table {
    /// The id of a network by id, name, or unambiguous beginning of an id; in this order.
    pub fn find(&self, name_or_id: &str) -> Result<&str> {
        if let Some((id, _)) = self.networks.get_key_value(name_or_id) {
            return Ok(id);
        }
        if let Some(live) = self.networks.values().find(|live| live.record.name == name_or_id) {
            return Ok(&live.record.id);
        }
        let mut beginning = self.networks.keys().filter(|id| !name_or_id.is_empty() && id.starts_with(name_or_id));
        match (beginning.next(), beginning.next()) {
            (Some(id), None) => Ok(id),
            (Some(_), Some(_)) => {
                Err(Error::invalid(format!("network {name_or_id} is ambiguous (2 matches found on ID prefix)")))
            }
            _ => Err(Error::not_found(format!("network {name_or_id} not found"))),
        }
    }

    pub fn network(&self, name_or_id: &str) -> Result<&Live> {
        let id = self.find(name_or_id)?;
        self.networks.get(id).ok_or_else(|| Error::not_found(format!("network {name_or_id} not found")))
    }

    /// The network that has a container's default route, with the container's endpoint there.
    pub fn routed(&self, container_id: &str) -> Option<(&Live, &Endpoint)> {
        let on = self.networks.values().filter_map(|live| Some((live, live.endpoints.get(container_id)?)));
        let routed = on.filter(|(live, endpoint)| endpoint::leads_out(&live.record, endpoint));
        routed.min_by_key(|(live, endpoint)| endpoint::route_order(&live.record, endpoint))
    }

    /// Forgets a container on every network; its member entry is handed out, to be dropped outside the lock.
    pub fn forget(&mut self, container_id: &str) -> (Option<Member>, Vec<(NetworkRecord, Endpoint)>) {
        let endpoints = self.networks.values_mut().filter_map(|live| {
            let endpoint = live.release(container_id)?;
            Some((live.record.clone(), endpoint))
        });
        let endpoints = endpoints.collect();
        (self.members.remove(container_id), endpoints)
    }
}
