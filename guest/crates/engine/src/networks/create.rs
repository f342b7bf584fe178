//! Creating networks: what is asked, checked and completed.

use std::sync::Arc;

use bollard_stubs::models::NetworkCreateRequest;
use cubby_network::{Subnet, netlink::is_link_name};

use super::{
    Created, Networks,
    ipam::{self, Asked},
    kernel,
    record::{Addresses, BRIDGE_NAME, Driver, NetworkRecord, is_predefined},
    table::{Live, Table},
    template::{self, Template},
    turn,
    vlan::{self, Vlan},
};
use crate::error::{Error, ErrorKind, Result};

impl Networks {
    /// # Errors
    /// Conflict for a taken name, forbidden for predefined names and overlapping subnets, invalid for the rest.
    pub async fn create(self: &Arc<Self>, request: NetworkCreateRequest) -> Result<Created> {
        let networks = self.clone();
        let created = tokio::task::spawn_blocking(move || networks.create_blocking(request)).await;
        created.unwrap_or_else(|error| Err(Error::system("create network", error)))
    }

    fn create_blocking(&self, request: NetworkCreateRequest) -> Result<Created> {
        check(&request)?;
        let _turn = turn::take();
        let routes = self.kernel.foreign_routes()?;
        let mut record = {
            let mut table = self.table();
            let record = complete(request, &table, &routes, self.kernel.engine_id())?;
            // Intent first: what the kernel gets from here on belongs to a record.
            self.store(&record)?;
            table.networks.insert(record.id.clone(), Live::new(record.clone()));
            record
        };
        let made = self.kernel.prepare_link(&mut record).and_then(|()| self.store(&record));
        let made = made.and_then(|()| self.kernel.ensure_link(&record)).and_then(|link| {
            if let Some(live) = self.table().networks.get_mut(&record.id) {
                (live.bridge, live.record) = (link, record.clone());
            }
            self.apply_rules()
        });
        if let Err(error) = made {
            self.discard(&record.id);
            return Err(error);
        }
        self.publish(&record, "create", None);
        Ok(Created { id: record.id, warning: String::new() })
    }

    /// Undoes what there is of a network that could not be made whole.
    fn discard(&self, id: &str) {
        let live = self.table().networks.remove(id);
        let unplugged = live.map_or(Ok(()), |live| self.give_up_link(&live));
        for result in [unplugged, self.erase(id)] {
            if let Err(error) = result {
                tracing::warn!(network = id, err = %error, "half-made network left something behind");
            }
        }
    }
}

fn check(request: &NetworkCreateRequest) -> Result<()> {
    let name = request.name.as_str();
    let forbidden = |text: String| Err(Error::new(ErrorKind::Forbidden, text));
    if is_predefined(name) {
        return forbidden(format!("operation is not permitted on predefined {name} network"));
    }
    // Why so much is allowed: dockerd minds nothing but emptiness, and there are networks with spaces in their names.
    if name.trim().is_empty() {
        return Err(Error::invalid("invalid name: name is empty"));
    }
    if name.contains(|c: char| c.is_control() || c == '/') {
        return Err(Error::invalid(format!("invalid network name {name:?}: it has a slash or a control character")));
    }
    if name.len() > 255 {
        return Err(Error::invalid(format!("invalid network name of {} bytes: at most 255 are allowed", name.len())));
    }
    template::check(request)?;
    if request.config_only == Some(true) {
        return Ok(());
    }
    driver(request)?;
    match request.scope.as_deref().unwrap_or_default() {
        "" | "local" => {}
        "swarm" => return forbidden("cannot create a swarm scoped network when swarm is not active".to_owned()),
        other => return Err(Error::invalid(format!("invalid network scope \"{other}\""))),
    }
    if request.ingress == Some(true) {
        return forbidden("Ingress network can only be global scope network".to_owned());
    }
    Ok(())
}

fn driver(request: &NetworkCreateRequest) -> Result<Driver> {
    match request.driver.as_deref().unwrap_or_default() {
        "" | "default" | "bridge" => Ok(Driver::Bridge),
        "macvlan" => Ok(Driver::Macvlan),
        "ipvlan" => Ok(Driver::Ipvlan),
        driver @ ("host" | "null") => {
            let message = format!("only one instance of \"{driver}\" network is allowed");
            Err(Error::new(ErrorKind::Forbidden, message))
        }
        "overlay" => Err(Error::new(
            ErrorKind::Forbidden,
            "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.",
        )),
        driver => Err(Error::not_found(format!("plugin {driver:?} not found"))),
    }
}

/// The record of a checked request. Under the table's lock, so that name and subnet stay free.
fn complete(request: NetworkCreateRequest, table: &Table, routes: &[Subnet], seed: &str) -> Result<NetworkRecord> {
    if table.networks.values().any(|live| live.record.name == request.name) {
        return Err(Error::conflict(format!("network with name {} already exists", request.name)));
    }
    if request.config_only == Some(true) {
        Asked::read(request.ipam.as_ref(), request.enable_ipv6 == Some(true))?;
        let template = Some(Template::of(&request));
        return Ok(NetworkRecord { template, ..common(request, Driver::Null) });
    }
    let config_from = template::source(&request).map(str::to_owned);
    let request = template::apply(request, table)?;
    if request.enable_ipv4 == Some(false) && request.enable_ipv6 != Some(true) {
        return Err(Error::invalid("IPv4 or IPv6 must be enabled"));
    }
    let driver = driver(&request)?;
    let options = request.options.clone().unwrap_or_default();
    let vlan = Vlan::read(driver, &options)?;
    let taken: Vec<Subnet> =
        table.networks.values().flat_map(|live| live.record.subnets()).map(|addresses| addresses.subnet).collect();
    let subnets = subnets(&request, vlan, driver, &taken, routes, seed)?;
    let mut record = NetworkRecord { config_from, ..common(request, driver) };
    record.bridge = link_name(&record, vlan)?;
    for one in subnets {
        let first = if one.subnet.is_ipv6() { &mut record.ipv6 } else { &mut record.addresses };
        match first {
            None => *first = Some(one),
            Some(_) => record.more.push(one),
        }
    }
    vlan::check_shared(&record, table)?;
    Ok(record)
}

/// Every subnet of the network, in the order asked.
fn subnets(
    request: &NetworkCreateRequest,
    vlan: Option<Vlan>,
    driver: Driver,
    taken: &[Subnet],
    routes: &[Subnet],
    seed: &str,
) -> Result<Vec<Addresses>> {
    let with_ipv6 = request.enable_ipv6 == Some(true);
    let asked = Asked::read(request.ipam.as_ref(), with_ipv6)?;
    let with_gateway = match vlan {
        None => true,
        Some(vlan) => !vlan.is_routed() && request.internal != Some(true),
    };
    let mut all = Vec::new();
    if request.enable_ipv4 != Some(false) {
        let choose = |taken: &[Subnet]| ipam::choose_subnet(taken, routes);
        all.extend(ipam::addresses(&asked.ipv4, taken, driver, with_gateway, choose)?);
    }
    if with_ipv6 {
        let choose = |taken: &[Subnet]| ipam::choose_ipv6_subnet(seed, taken, routes);
        all.extend(ipam::addresses(&asked.ipv6, taken, driver, with_gateway, choose)?);
    }
    Ok(all)
}

/// What a record has of its request whatever the driver.
fn common(request: NetworkCreateRequest, driver: Driver) -> NetworkRecord {
    NetworkRecord {
        internal: request.internal.unwrap_or(false),
        attachable: request.attachable.unwrap_or(false),
        ipam_options: request.ipam.and_then(|ipam| ipam.options),
        options: request.options.unwrap_or_default(),
        labels: request.labels.unwrap_or_default(),
        ..NetworkRecord::blank(&request.name, driver)
    }
}

fn link_name(record: &NetworkRecord, vlan: Option<Vlan>) -> Result<String> {
    if vlan.is_some() {
        return vlan::parent(record.driver, &record.options, &record.id);
    }
    match record.options.get(BRIDGE_NAME).filter(|name| !name.is_empty()) {
        Some(name) if !is_link_name(name) => Err(Error::invalid(format!("invalid bridge name \"{name}\""))),
        Some(name) => Ok(name.clone()),
        None => Ok(kernel::bridge_name(&record.id)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_drivers_are_checked() {
        let refused = |name: &str, driver: &str| {
            let request = NetworkCreateRequest { name: name.into(), driver: Some(driver.into()), ..Default::default() };
            check(&request).unwrap_err().message().to_owned()
        };
        assert_eq!(refused("bridge", ""), "operation is not permitted on predefined bridge network");
        assert_eq!(refused(" ", ""), "invalid name: name is empty");
        assert!(refused("a/b", "").starts_with("invalid network name"));
        assert!(refused("a", "overlay9").contains("plugin \"overlay9\" not found"));
        assert!(refused("a", "overlay").contains("not a swarm manager"));
        assert!(refused("a", "host").contains("only one instance"));
        let scoped = NetworkCreateRequest { name: "a".into(), scope: Some("swarm".into()), ..Default::default() };
        assert!(check(&scoped).unwrap_err().message().starts_with("cannot create a swarm scoped network"));
    }
}
