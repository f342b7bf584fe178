//! Creating networks: what is asked, checked and completed.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::SystemTime};

use bollard_stubs::models::{Ipam, IpamConfig, NetworkCreateRequest};
use cubby_network::{Subnet, ipam};

use super::{
    Created, Networks, kernel,
    record::{Addresses, BRIDGE_NAME, Driver, NetworkRecord, is_predefined},
    table::{Live, Table},
};
use crate::{
    error::{Error, ErrorKind, Result},
    timestamps::rfc3339_nano,
};

/// Longest name of a link in the kernel (`IFNAMSIZ` less the NUL).
const LINK_NAME_BYTES: usize = 15;

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
        let routes = self.kernel.foreign_routes()?;
        let record = {
            let mut table = self.table();
            let record = complete(request, &table, &routes, self.kernel.engine_id())?;
            // Intent first: what the kernel gets from here on belongs to a record.
            self.store(&record)?;
            table.networks.insert(record.id.clone(), Live::new(record.clone()));
            record
        };
        let made = self.kernel.ensure_bridge(&record);
        let made = made.and_then(|bridge| {
            if let Some(live) = self.table().networks.get_mut(&record.id) {
                live.bridge = bridge;
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
        let bridge = live.map_or(0, |live| live.bridge);
        let unplugged = if bridge == 0 { Ok(()) } else { self.kernel.remove_link(bridge) };
        for result in [unplugged, self.erase(id)] {
            if let Err(error) = result {
                tracing::warn!(network = id, err = %error, "half-made network left something behind");
            }
        }
    }
}

fn check(request: &NetworkCreateRequest) -> Result<()> {
    let name = request.name.as_str();
    if is_predefined(name) {
        return Err(Error::new(
            ErrorKind::Forbidden,
            format!("operation is not permitted on predefined {name} network"),
        ));
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
    match request.driver.as_deref().unwrap_or_default() {
        "" | "default" | "bridge" => {}
        driver @ ("host" | "null") => {
            let message = format!("only one instance of \"{driver}\" network is allowed");
            return Err(Error::new(ErrorKind::Forbidden, message));
        }
        driver => {
            return Err(Error::not_found(format!(
                "could not find plugin {driver} in v1 plugin registry: plugin \"{driver}\" not found"
            )));
        }
    }
    if !matches!(request.scope.as_deref().unwrap_or_default(), "" | "local") || request.ingress == Some(true) {
        return Err(Error::new(
            ErrorKind::Forbidden,
            "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.",
        ));
    }
    if request.config_only == Some(true)
        || request.config_from.as_ref().is_some_and(|from| from.network.as_deref().is_some_and(|name| !name.is_empty()))
    {
        return Err(Error::not_implemented("config-only networks are not supported"));
    }
    if request.enable_ipv4 == Some(false) && request.enable_ipv6 != Some(true) {
        return Err(Error::invalid("IPv4 or IPv6 must be enabled"));
    }
    Ok(())
}

/// The record of a checked request. Under the table's lock, so that name and subnet stay free.
fn complete(request: NetworkCreateRequest, table: &Table, routes: &[Subnet], seed: &str) -> Result<NetworkRecord> {
    if table.networks.values().any(|live| live.record.name == request.name) {
        return Err(Error::conflict(format!("network with name {} already exists", request.name)));
    }
    let id = super::random_id();
    let options = request.options.unwrap_or_default();
    let bridge = options.get(BRIDGE_NAME).filter(|name| !name.is_empty()).cloned();
    if let Some(name) = bridge.as_deref()
        && (name.len() > LINK_NAME_BYTES || name.contains(['/', ' ', ':']) || matches!(name, "." | ".."))
    {
        return Err(Error::invalid(format!("invalid bridge name \"{name}\"")));
    }
    let taken: Vec<Subnet> =
        table.networks.values().flat_map(|live| live.record.families()).map(|addresses| addresses.subnet).collect();
    let (asked_ipv4, asked_ipv6) = asked(request.ipam.as_ref())?;
    let addresses = (request.enable_ipv4 != Some(false)).then(|| match asked_ipv4 {
        Some(config) => asked_addresses(config, &taken),
        None => choose_addresses(&taken, routes),
    });
    let ipv6 = (request.enable_ipv6 == Some(true)).then(|| match asked_ipv6 {
        Some(config) => asked_addresses(config, &taken),
        None => choose_ipv6_addresses(seed, &taken, routes),
    });
    let (addresses, ipv6) = (addresses.transpose()?, ipv6.transpose()?);
    Ok(NetworkRecord {
        bridge: bridge.unwrap_or_else(|| kernel::bridge_name(&id)),
        id,
        name: request.name,
        created: rfc3339_nano(SystemTime::now()),
        driver: Driver::Bridge,
        internal: request.internal.unwrap_or(false),
        attachable: request.attachable.unwrap_or(false),
        addresses,
        ipv6,
        ipam_options: request.ipam.and_then(|ipam| ipam.options),
        options,
        labels: request.labels.unwrap_or_default(),
    })
}

/// What is asked for IPv4 and for IPv6, at most one subnet of each.
fn asked(ipam: Option<&Ipam>) -> Result<(Option<&IpamConfig>, Option<&IpamConfig>)> {
    let driver = ipam.and_then(|ipam| ipam.driver.as_deref()).unwrap_or_default();
    if !matches!(driver, "" | "default") {
        return Err(Error::invalid(format!("invalid ipam driver: \"{driver}\" not found")));
    }
    let configs = ipam.and_then(|ipam| ipam.config.as_deref()).unwrap_or_default();
    let empty = |text: &Option<String>| text.as_deref().unwrap_or_default().is_empty();
    let says_nothing = |config: &IpamConfig| {
        empty(&config.subnet)
            && empty(&config.ip_range)
            && empty(&config.gateway)
            && config.auxiliary_addresses.is_none()
    };
    let wanted = configs.iter().filter(|config| !says_nothing(config));
    let is_ipv6 = |config: &IpamConfig| config.subnet.as_deref().is_some_and(|subnet| subnet.contains(':'));
    let (ipv6, ipv4): (Vec<&IpamConfig>, Vec<&IpamConfig>) = wanted.partition(|config| is_ipv6(config));
    if ipv4.len() > 1 || ipv6.len() > 1 {
        return Err(Error::invalid("bridge driver doesn't support multiple subnets"));
    }
    Ok((ipv4.first().copied(), ipv6.first().copied()))
}

/// A default subnet that no network has and no route leads to.
pub(super) fn choose_addresses(taken: &[Subnet], routes: &[Subnet]) -> Result<Addresses> {
    let subnet = ipam::choose_subnet(&[taken, routes].concat())
        .ok_or_else(|| Error::invalid("all predefined address pools have been fully subnetted"))?;
    if let Some(avoided) = ipam::choose_subnet(taken).filter(|first| *first != subnet)
        && let Some(route) = routes.iter().find(|route| route.overlaps(avoided))
    {
        tracing::warn!(%avoided, %route, chosen = %subnet, "subnets that this machine routes elsewhere are avoided");
    }
    Ok(chosen(subnet))
}

fn choose_ipv6_addresses(seed: &str, taken: &[Subnet], routes: &[Subnet]) -> Result<Addresses> {
    let subnet = ipam::choose_ipv6_subnet(seed, &[taken, routes].concat());
    subnet.map(chosen).ok_or_else(|| Error::invalid("all predefined address pools have been fully subnetted"))
}

fn chosen(subnet: Subnet) -> Addresses {
    Addresses { subnet, range: None, gateway: subnet.hosts().0, auxiliary: BTreeMap::new(), by_user: false }
}

fn asked_addresses(config: &IpamConfig, taken: &[Subnet]) -> Result<Addresses> {
    let invalid = |text: String| Error::invalid(format!("invalid network config:\n{text}"));
    let text = config.subnet.as_deref().unwrap_or_default();
    let subnet: Subnet =
        text.parse().map_err(|_| invalid(format!("invalid subnet {text}: invalid CIDR block notation")))?;
    let host_bits = text.split('/').next().and_then(|text| text.parse::<IpAddr>().ok()) != Some(subnet.address());
    if host_bits {
        return Err(invalid(format!("invalid subnet {text}: it should be {subnet}")));
    }
    if subnet.prefix() > if subnet.is_ipv6() { 126 } else { 30 } {
        return Err(invalid(format!("invalid subnet {text}: it has no room for a gateway and a container")));
    }
    if let Some(other) = taken.iter().find(|other| subnet.overlaps(**other)) {
        tracing::info!(%subnet, %other, "network refused");
        return Err(Error::new(
            ErrorKind::Forbidden,
            "invalid pool request: Pool overlaps with other one on this address space",
        ));
    }
    let range = config.ip_range.as_deref().filter(|text| !text.is_empty()).map(|text| {
        let range: Result<Subnet, _> = text.parse();
        range
            .ok()
            .filter(|range| subnet.covers(*range))
            .ok_or_else(|| invalid(format!("invalid ip-range {text}: parent subnet {subnet} doesn't contain ip-range")))
    });
    let inside = |what: &str, text: &str| -> Result<IpAddr> {
        let address: Option<IpAddr> = text.parse().ok();
        let (low, high) = subnet.hosts();
        address.filter(|address| (low..=high).contains(address)).ok_or_else(|| {
            invalid(format!("invalid {what} {text}: parent subnet {subnet} doesn't contain this address"))
        })
    };
    let gateway = config.gateway.as_deref().filter(|text| !text.is_empty());
    // Why: some clients write the gateway with the subnet's prefix.
    let gateway = gateway.map(|text| inside("gateway address", text.split('/').next().unwrap_or(text))).transpose()?;
    let auxiliary = config.auxiliary_addresses.iter().flatten();
    let auxiliary = auxiliary.map(|(name, text)| Ok((name.clone(), inside("auxiliary address", text)?)));
    let range = range.transpose()?;
    let first = range.map_or(subnet.hosts().0, |range| range.address().max(subnet.hosts().0));
    Ok(Addresses {
        subnet,
        range,
        gateway: gateway.unwrap_or(first),
        auxiliary: auxiliary.collect::<Result<_>>()?,
        by_user: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(subnet: &str, range: &str, gateway: &str) -> IpamConfig {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        IpamConfig { subnet: text(subnet), ip_range: text(range), gateway: text(gateway), auxiliary_addresses: None }
    }

    #[test]
    fn asked_subnets_are_checked() {
        let taken = ["10.1.0.0/16".parse().unwrap()];
        let refused = |subnet: &str, range: &str, gateway: &str| {
            asked_addresses(&config(subnet, range, gateway), &taken).unwrap_err().message().to_owned()
        };
        assert!(refused("10.2.0.1/16", "", "").contains("it should be 10.2.0.0/16"));
        assert!(refused("10.1.4.0/24", "", "").contains("Pool overlaps"));
        assert!(refused("10.2.0.0/33", "", "").contains("invalid CIDR"));
        assert!(refused("10.2.0.0/24", "10.3.0.0/25", "").contains("invalid ip-range"));
        assert!(refused("10.2.0.0/24", "", "10.3.0.1").contains("invalid gateway"));
        assert!(refused("10.2.0.0/31", "", "").contains("no room"));
        let good = asked_addresses(&config("10.2.0.0/24", "10.2.0.128/25", "10.2.0.254"), &taken).unwrap();
        assert_eq!((good.gateway, good.by_user), (IpAddr::from([10, 2, 0, 254]), true));
        assert_eq!(asked_addresses(&config("10.2.0.0/24", "", ""), &[]).unwrap().gateway, IpAddr::from([10, 2, 0, 1]));
        let ipv6 = asked_addresses(&config("fd00:0::/64", "", ""), &[]).unwrap();
        assert_eq!(ipv6.gateway.to_string(), "fd00::1");
        assert!(refused("fd00::5/64", "", "").contains("it should be fd00::/64"));
    }

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
        assert!(refused("a", "host").contains("only one instance"));
    }
}
