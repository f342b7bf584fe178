//! What may be asked for, and dockerd's words when it may not.

use std::net::IpAddr;

use bollard_stubs::models::EndpointSettings;
use cubby_network::{Mac, ipam::IpamError};

use super::{Join, NetworkMode, Networks, record::NetworkRecord};
use crate::error::{Error, ErrorKind, Result};

/// The address of one family that the user asked for.
pub fn wanted_address(record: &NetworkRecord, asked: &EndpointSettings, is_ipv6: bool) -> Result<Option<IpAddr>> {
    let config = asked.ipam_config.as_ref();
    let text =
        config.and_then(|config| if is_ipv6 { config.ipv6_address.as_deref() } else { config.ipv4_address.as_deref() });
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let family = if is_ipv6 { "IPv6" } else { "IPv4" };
    let address = text.parse().ok().filter(|address: &IpAddr| address.is_ipv6() == is_ipv6);
    let address = address
        .ok_or_else(|| Error::invalid(format!("invalid endpoint settings:\ninvalid {family} address: {text}")))?;
    if record.is_predefined() {
        return Err(Error::invalid("user specified IP address is supported on user defined networks only"));
    }
    if record.subnets().any(|addresses| addresses.subnet.is_ipv6() == is_ipv6 && !addresses.by_user) {
        return Err(Error::invalid(
            "user specified IP address is supported only when connecting to networks with user configured subnets",
        ));
    }
    record.subnet_of(address).map(|_| Some(address)).ok_or_else(|| not_in_subnet(text))
}

/// Both families' wishes, for a container that is not started yet.
pub fn wanted_addresses(record: &NetworkRecord, asked: &EndpointSettings) -> Result<()> {
    wanted_address(record, asked, false).and(wanted_address(record, asked, true)).map(|_| ())
}

fn not_in_subnet(address: &str) -> Error {
    Error::invalid(format!(
        "invalid endpoint settings:\nno configured subnet or ip-range contain the IP address {address}"
    ))
}

/// The MAC of an endpoint: the one asked for, else that of its IPv4 address.
pub fn mac(asked: &EndpointSettings, address: IpAddr) -> Result<Mac> {
    let of = |address| match address {
        IpAddr::V4(address) => Mac::of(address),
        IpAddr::V6(_) => Mac::random(),
    };
    let Some(text) = asked.mac_address.as_deref().filter(|text| !text.is_empty()) else { return Ok(of(address)) };
    let mac: Mac = text.parse().map_err(|_| Error::invalid(format!("invalid MAC address: {text}")))?;
    // Why: settings of an earlier run carry the MAC that was made from the address of then; it was nobody's wish.
    let earlier = asked.ip_address.as_deref().and_then(|text| text.parse().ok()).map(Mac::of);
    Ok(if earlier == Some(mac) { of(address) } else { mac })
}

/// Source: moby libnetwork/drivers/ipvlan/ipvlan_endpoint.go.
pub fn no_mac(asked: &EndpointSettings) -> Result<()> {
    match asked.mac_address.as_deref() {
        None | Some("") => Ok(()),
        Some(_) => Err(Error::invalid("ipvlan interfaces do not support custom mac address assignment")),
    }
}

pub fn ipam(error: IpamError, record: &NetworkRecord) -> Error {
    match error {
        IpamError::Taken => Error::new(ErrorKind::Forbidden, "Address already in use"),
        IpamError::Outside(_) => Error::invalid(error.to_string()),
        IpamError::Exhausted(_) => Error::internal(format!("{error}: {} ({})", record.name, record.id)),
    }
}

/// `container:alias` or `container`, as `(alias, container)`.
pub fn parse_links(links: &[String]) -> Vec<(String, String)> {
    let pairs = links.iter().map(|link| {
        let (target, alias) = link.split_once(':').unwrap_or((link, link));
        let tail = |text: &str| text.rsplit('/').next().unwrap_or_default().to_owned();
        (tail(alias).to_lowercase(), tail(target))
    });
    pairs.collect()
}

impl Networks {
    /// What does not depend on any network.
    pub(super) fn check_asked(&self, join: &Join) -> Result<()> {
        if join.endpoints.len() > 1 && !join.mode.is_private() {
            let mode = &join.mode;
            return Err(Error::invalid(format!(
                "conflicting options: cannot attach both user-defined and non-user-defined network-modes ({mode})"
            )));
        }
        let bridge = join.endpoints.iter().find(|(name, _)| *name == "bridge").map(|(_, asked)| asked);
        let aliases = bridge.and_then(|asked| asked.aliases.as_ref()).is_some_and(|aliases| !aliases.is_empty());
        if join.mode == NetworkMode::Bridge && aliases {
            return Err(Error::invalid("network-scoped aliases are only supported for user-defined networks"));
        }
        Ok(())
    }

    /// Links with the address their target has on the default network now, for the hosts file there.
    pub(super) fn resolve_links(&self, join: &Join) -> Result<Vec<(String, String, Option<IpAddr>)>> {
        let mut resolved = Vec::new();
        for (alias, target) in parse_links(&join.links) {
            let id = self.user(&target)?.container_id;
            let table = self.table();
            if join.mode == NetworkMode::Bridge && !table.members.contains_key(&id) {
                return Err(Error::conflict(format!(
                    "Cannot link to a non running container: /{target} AS /{}/{alias}",
                    join.name
                )));
            }
            let bridge = table.network("bridge")?;
            let address = bridge.endpoints.get(&id).and_then(|endpoint| Some(endpoint.addresses.first()?.0));
            resolved.push((alias, id, address.filter(|_| join.mode == NetworkMode::Bridge)));
        }
        Ok(resolved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_read() {
        let links = ["db".to_owned(), "/web:/app/WWW".to_owned()];
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(parse_links(&links), [pair("db", "db"), pair("www", "web")]);
    }

    #[test]
    fn an_ipv6_address_is_not_promised_where_there_is_no_ipv6() {
        let config =
            bollard_stubs::models::EndpointIpamConfig { ipv6_address: Some("fd00::2".into()), ..Default::default() };
        let asked = EndpointSettings { ipam_config: Some(config), ..EndpointSettings::default() };
        let record = NetworkRecord::blank("n", super::super::record::Driver::Bridge);
        assert!(wanted_addresses(&record, &asked).unwrap_err().message().ends_with("contain the IP address fd00::2"));
    }

    #[test]
    fn a_mac_of_an_earlier_address_was_nobodys_wish() {
        let asked = |mac: &str, address: &str| EndpointSettings {
            mac_address: Some(mac.to_owned()),
            ip_address: Some(address.to_owned()),
            ..EndpointSettings::default()
        };
        let v4 = std::net::Ipv4Addr::new(10, 0, 0, 7);
        let address = IpAddr::V4(v4);
        assert_eq!(mac(&asked("02:42:0a:00:00:05", "10.0.0.5"), address).unwrap(), Mac::of(v4));
        assert_eq!(mac(&asked("02:42:0a:00:00:05", ""), address).unwrap().to_string(), "02:42:0a:00:00:05");
        assert!(mac(&asked("nonsense", ""), address).is_err());
    }
}
