//! Endpoints: a container's address and names on one network, taken and given back.

use std::{net::IpAddr, time::Instant};

use bollard_stubs::models::EndpointSettings;
use cubby_network::Mac;

use super::{
    checks, names,
    record::{Addresses, Driver, NetworkRecord},
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
        let addresses = self.take_addresses(asked)?;
        let mac = addresses.first().map(|(ip, _)| checks::mac(asked, *ip)).transpose();
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
        };
        endpoint.settings = filled(&self.record, &endpoint, asked, names);
        self.endpoints.insert(container_id.to_owned(), endpoint.clone());
        Ok(Reserved { record: self.record.clone(), bridge: self.bridge, endpoint })
    }

    /// An address of each family, or none at all.
    fn take_addresses(&mut self, asked: &EndpointSettings) -> Result<Vec<(IpAddr, u8)>> {
        let mut taken = Vec::new();
        for at in 0..self.pools.len() {
            let wanted = checks::wanted_address(&self.record, asked, self.pools[at].subnet().is_ipv6());
            let pool = &mut self.pools[at];
            let address = wanted.and_then(|wanted| {
                let address = match wanted {
                    Some(address) => pool.claim(address).map(|()| address),
                    None => pool.allocate(Instant::now()),
                };
                address.map_err(|error| checks::ipam(error, &self.record))
            });
            match address {
                Ok(address) => taken.push((address, pool.subnet().prefix())),
                Err(error) => {
                    self.give_back(&taken);
                    return Err(error);
                }
            }
        }
        Ok(taken)
    }

    /// Enters an endpoint as an earlier engine left it.
    pub fn restore(&mut self, container_id: &str, name: &str, settings: &EndpointSettings) -> Result<()> {
        let shown = [&settings.ip_address, &settings.global_ipv6_address];
        let shown: Vec<IpAddr> = shown.into_iter().flatten().filter_map(|text| text.parse().ok()).collect();
        let mut addresses = Vec::new();
        for pool in &mut self.pools {
            let own = shown.iter().find(|address| address.is_ipv6() == pool.subnet().is_ipv6());
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
        };
        self.endpoints.insert(container_id.to_owned(), endpoint);
        Ok(())
    }
}

/// What inspect shows of the endpoint.
fn filled(
    record: &NetworkRecord,
    endpoint: &Endpoint,
    asked: &EndpointSettings,
    names: Vec<String>,
) -> EndpointSettings {
    let routed = |addresses: &Option<Addresses>| {
        let gateway = addresses.as_ref().filter(|_| !record.internal).map(|addresses| addresses.gateway.to_string());
        Some(gateway.unwrap_or_default())
    };
    let address = |is_ipv6| endpoint.of_family(is_ipv6);
    EndpointSettings {
        network_id: Some(record.id.clone()),
        endpoint_id: Some(endpoint.id.clone()),
        gateway: routed(&record.addresses),
        ip_address: Some(address(false).map(|(ip, _)| ip.to_string()).unwrap_or_default()),
        ip_prefix_len: Some(address(false).map_or(0, |(_, prefix)| i64::from(prefix))),
        mac_address: Some(endpoint.mac.map(|mac| mac.to_string()).unwrap_or_default()),
        ipv6_gateway: routed(&record.ipv6),
        global_ipv6_address: Some(address(true).map(|(ip, _)| ip.to_string()).unwrap_or_default()),
        global_ipv6_prefix_len: Some(address(true).map_or(0, |(_, prefix)| i64::from(prefix))),
        dns_names: (record.driver == Driver::Bridge && !record.is_predefined()).then_some(names),
        ..asked.clone()
    }
}
