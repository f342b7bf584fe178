//! Endpoints: a container's address and names on one network, taken and given back.

use std::{cmp::Reverse, net::IpAddr, time::Instant};

use bollard_stubs::models::EndpointSettings;
use cubby_network::{Mac, ipam::IpamError};

use super::{
    checks, names,
    record::{Driver, NetworkRecord},
    table::{Endpoint, Live},
};
use crate::error::{Error, ErrorKind, Result};

/// An endpoint that is reserved, with what is needed to make it in the kernel.
#[derive(Clone)]
pub struct Reserved {
    pub record: NetworkRecord,
    pub bridge: u32,
    pub endpoint: Endpoint,
}

impl Live {
    /// Takes an address and enters the endpoint.
    pub fn reserve(
        &mut self,
        container_id: &str,
        name: &str,
        hostname: &str,
        interface: String,
        asked: &EndpointSettings,
    ) -> Result<Reserved> {
        if self.endpoints.contains_key(container_id) {
            return Err(Error::new(
                ErrorKind::Forbidden,
                format!("endpoint with name {name} already exists in network {}", self.record.name),
            ));
        }
        if self.record.template.is_some() {
            let message = "cannot create endpoint on configuration-only network";
            return Err(Error::new(ErrorKind::Forbidden, message));
        }
        let addresses = self.take_addresses(asked)?;
        let mac = match self.record.driver {
            // Why: such a link has its parent's.
            Driver::Ipvlan => checks::no_mac(asked).map(|()| None),
            _ => addresses.first().map(|(ip, _)| checks::mac(asked, *ip)).transpose(),
        };
        let mac = match mac {
            Ok(mac) => mac,
            Err(error) => {
                self.give_back(&addresses);
                return Err(error);
            }
        };
        let names = names::own_names(container_id, name, hostname, asked);
        let mut endpoint = Endpoint {
            id: super::random_id(),
            container_name: name.to_owned(),
            interface: if addresses.is_empty() { String::new() } else { interface },
            addresses,
            mac,
            names: names.iter().map(|name| name.to_lowercase()).collect(),
            settings: asked.clone(),
            since: Instant::now(),
        };
        endpoint.settings = filled(&self.record, &endpoint, asked, names);
        self.endpoints.insert(container_id.to_owned(), endpoint.clone());
        Ok(Reserved { record: self.record.clone(), bridge: self.bridge, endpoint })
    }

    /// An address of each family, or none at all.
    fn take_addresses(&mut self, asked: &EndpointSettings) -> Result<Vec<(IpAddr, u8)>> {
        let mut taken = Vec::new();
        for is_ipv6 in [false, true] {
            match self.take_address(asked, is_ipv6) {
                Ok(address) => taken.extend(address),
                Err(error) => {
                    self.give_back(&taken);
                    return Err(error);
                }
            }
        }
        Ok(taken)
    }

    /// The address asked for, or one of the first subnet of the family that has any left.
    fn take_address(&mut self, asked: &EndpointSettings, is_ipv6: bool) -> Result<Option<(IpAddr, u8)>> {
        let wanted = checks::wanted_address(&self.record, asked, is_ipv6)?;
        let pools = self.pools.iter_mut().filter(|pool| pool.subnet().is_ipv6() == is_ipv6);
        let mut full = None;
        for pool in pools.filter(|pool| wanted.is_none_or(|address| pool.subnet().contains(address))) {
            let address = match wanted {
                Some(address) => pool.claim(address).map(|()| address),
                None => pool.allocate(Instant::now()),
            };
            match address {
                Ok(address) => return Ok(Some((address, pool.subnet().prefix()))),
                Err(error @ IpamError::Exhausted(_)) => full = Some(error),
                Err(error) => return Err(checks::ipam(error, &self.record)),
            }
        }
        full.map_or(Ok(None), |error| Err(checks::ipam(error, &self.record)))
    }

    /// Enters an endpoint as an earlier engine left it.
    pub fn restore(&mut self, container_id: &str, name: &str, settings: &EndpointSettings) -> Result<()> {
        let shown = [&settings.ip_address, &settings.global_ipv6_address];
        let shown: Vec<IpAddr> = shown.into_iter().flatten().filter_map(|text| text.parse().ok()).collect();
        let mut addresses = Vec::new();
        for pool in &mut self.pools {
            let own = shown.iter().find(|address| pool.subnet().contains(**address));
            if let Some(address) = own {
                pool.claim(*address).map_err(|error| checks::ipam(error, &self.record))?;
                addresses.push((*address, pool.subnet().prefix()));
            }
        }
        let endpoint = Endpoint {
            id: settings.endpoint_id.clone().unwrap_or_default(),
            container_name: name.to_owned(),
            addresses,
            mac: settings.mac_address.as_deref().and_then(|text| text.parse::<Mac>().ok()),
            interface: String::new(),
            names: settings.dns_names.iter().flatten().map(|name| name.to_lowercase()).collect(),
            settings: settings.clone(),
            since: Instant::now(),
        };
        self.endpoints.insert(container_id.to_owned(), endpoint);
        Ok(())
    }
}

/// In which order endpoints are asked for the default route: the highest priority first, then the first name.
/// Source: moby 28, libnetwork/sandbox.go (`Endpoint.Less`).
pub fn route_order(record: &NetworkRecord, endpoint: &Endpoint) -> (Reverse<i64>, String) {
    (Reverse(endpoint.settings.gw_priority.unwrap_or(0)), record.name.clone())
}

/// Whether an endpoint can have the default route.
pub fn leads_out(record: &NetworkRecord, endpoint: &Endpoint) -> bool {
    record.leads_out() && !endpoint.addresses.is_empty()
}

/// What inspect shows of the endpoint.
fn filled(
    record: &NetworkRecord,
    endpoint: &Endpoint,
    asked: &EndpointSettings,
    names: Vec<String>,
) -> EndpointSettings {
    let gateways = record.gateways(&endpoint.addresses);
    let routed = |is_ipv6| {
        let gateway = gateways.iter().find(|gateway| gateway.is_ipv6() == is_ipv6 && !gateway.is_unspecified());
        Some(gateway.map(IpAddr::to_string).unwrap_or_default())
    };
    let address = |is_ipv6| endpoint.of_family(is_ipv6);
    EndpointSettings {
        network_id: Some(record.id.clone()),
        endpoint_id: Some(endpoint.id.clone()),
        gateway: routed(false),
        ip_address: Some(address(false).map(|(ip, _)| ip.to_string()).unwrap_or_default()),
        ip_prefix_len: Some(address(false).map_or(0, |(_, prefix)| i64::from(prefix))),
        mac_address: Some(endpoint.mac.map(|mac| mac.to_string()).unwrap_or_default()),
        ipv6_gateway: routed(true),
        global_ipv6_address: Some(address(true).map(|(ip, _)| ip.to_string()).unwrap_or_default()),
        global_ipv6_prefix_len: Some(address(true).map_or(0, |(_, prefix)| i64::from(prefix))),
        dns_names: (record.driver.has_addresses() && !record.is_predefined()).then_some(names),
        ..asked.clone()
    }
}
