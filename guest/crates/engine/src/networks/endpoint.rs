//! Endpoints: a container's address and names on one network, taken and given back.

use std::{net::Ipv4Addr, time::Instant};

use bollard_stubs::models::EndpointSettings;
use cubby_network::Mac;

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
        let address = self.take_address(asked)?;
        let mac = address.map(|(ip, _)| checks::mac(asked, ip)).transpose();
        let mac = match mac {
            Ok(mac) => mac,
            Err(error) => {
                self.give_back(address);
                return Err(error);
            }
        };
        let names = names::own_names(container_id, name, hostname, asked);
        let mut endpoint = Endpoint {
            id: super::random_id(),
            container_name: name.to_owned(),
            address,
            mac,
            interface: if address.is_some() { interface } else { String::new() },
            names: names.iter().map(|name| name.to_lowercase()).collect(),
            settings: asked.clone(),
        };
        endpoint.settings = filled(&self.record, &endpoint, asked, names);
        self.endpoints.insert(container_id.to_owned(), endpoint.clone());
        Ok(Reserved { record: self.record.clone(), bridge: self.bridge, endpoint })
    }

    fn take_address(&mut self, asked: &EndpointSettings) -> Result<Option<(Ipv4Addr, u8)>> {
        let Some(pool) = &mut self.pool else { return Ok(None) };
        let prefix = pool.subnet().prefix();
        let address = match checks::wanted_address(&self.record, asked)? {
            Some(address) => pool.claim(address).map(|()| address),
            None => pool.allocate(Instant::now()),
        };
        address.map(|address| Some((address, prefix))).map_err(|error| checks::ipam(error, &self.record))
    }

    fn give_back(&mut self, address: Option<(Ipv4Addr, u8)>) {
        if let (Some(pool), Some((address, _))) = (&mut self.pool, address) {
            pool.release(address, Instant::now());
        }
    }

    /// Enters an endpoint as an earlier engine left it.
    pub fn restore(&mut self, container_id: &str, name: &str, settings: &EndpointSettings) -> Result<()> {
        let address = settings.ip_address.as_deref().and_then(|text| text.parse().ok());
        let address = match (&mut self.pool, address) {
            (Some(pool), Some(address)) => {
                pool.claim(address).map_err(|error| checks::ipam(error, &self.record))?;
                Some((address, pool.subnet().prefix()))
            }
            _ => None,
        };
        let endpoint = Endpoint {
            id: settings.endpoint_id.clone().unwrap_or_default(),
            container_name: name.to_owned(),
            address,
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
    let gateway = record.addresses.as_ref().filter(|_| !record.internal).map(|addresses| addresses.gateway.to_string());
    EndpointSettings {
        network_id: Some(record.id.clone()),
        endpoint_id: Some(endpoint.id.clone()),
        gateway: Some(gateway.unwrap_or_default()),
        ip_address: Some(endpoint.address.map(|(ip, _)| ip.to_string()).unwrap_or_default()),
        ip_prefix_len: Some(endpoint.address.map_or(0, |(_, prefix)| i64::from(prefix))),
        mac_address: Some(endpoint.mac.map(|mac| mac.to_string()).unwrap_or_default()),
        ipv6_gateway: Some(String::new()),
        global_ipv6_address: Some(String::new()),
        global_ipv6_prefix_len: Some(0),
        dns_names: (record.driver == Driver::Bridge && !record.is_predefined()).then_some(names),
        ..asked.clone()
    }
}
