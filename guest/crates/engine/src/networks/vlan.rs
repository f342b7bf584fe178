//! Networks of the drivers `macvlan` and `ipvlan`: their containers share a link of the host's, the *parent*, and stand on the
//! network behind it themselves. No bridge, no rules, no published ports; the host itself does not reach them.
//! Source: moby 28, libnetwork/drivers/{macvlan,ipvlan}.
//!
//! | `-o parent=` | what the network is on |
//! |---|---|
//! | `eth0` | that link, which stays whatever happens |
//! | `eth0.20` that exists | the same |
//! | `eth0.20` that does not | VLAN 20 of `eth0`, which goes with the last network on it |
//! | nothing | a dummy: containers reach each other and nobody else |

use std::collections::HashMap;

use cubby_network::{IpvlanFlag, IpvlanMode, MacvlanMode, netlink::is_link_name};

use super::{
    record::{Driver, NetworkRecord},
    table::Table,
};
use crate::error::{Error, Result};

/// How children of the parent are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vlan {
    Macvlan(MacvlanMode),
    Ipvlan(IpvlanMode, IpvlanFlag),
}

impl Vlan {
    /// None for other drivers.
    ///
    /// # Errors
    /// Invalid for a mode or flag that there is not.
    pub fn read(driver: Driver, options: &HashMap<String, String>) -> Result<Option<Self>> {
        let option = |name: &str| options.get(name).map(String::as_str).unwrap_or_default();
        match driver {
            Driver::Macvlan => {
                let mode = match option("macvlan_mode") {
                    "" | "bridge" => MacvlanMode::Bridge,
                    "private" => MacvlanMode::Private,
                    "passthru" => MacvlanMode::Passthru,
                    "vepa" => MacvlanMode::Vepa,
                    other => {
                        return Err(Error::invalid(format!(
                            "requested macvlan mode '{other}' is not valid, 'bridge' mode is the macvlan driver default"
                        )));
                    }
                };
                Ok(Some(Self::Macvlan(mode)))
            }
            Driver::Ipvlan => {
                let mode = match option("ipvlan_mode") {
                    "" | "l2" => IpvlanMode::L2,
                    "l3" => IpvlanMode::L3,
                    "l3s" => IpvlanMode::L3s,
                    other => {
                        return Err(Error::invalid(format!(
                            "requested ipvlan mode '{other}' is not valid, 'l2' mode is the ipvlan driver default"
                        )));
                    }
                };
                let flag = match option("ipvlan_flag") {
                    "" | "bridge" => IpvlanFlag::Bridge,
                    "private" => IpvlanFlag::Private,
                    "vepa" => IpvlanFlag::Vepa,
                    other => {
                        return Err(Error::invalid(format!(
                            "requested ipvlan flag '{other}' is not valid, 'bridge' is the ipvlan driver default"
                        )));
                    }
                };
                Ok(Some(Self::Ipvlan(mode, flag)))
            }
            _ => Ok(None),
        }
    }

    /// Of a network that exists, whose options were checked.
    pub fn of(record: &NetworkRecord) -> Option<Self> {
        Self::read(record.driver, &record.options).ok().flatten()
    }

    /// Packets are routed to the parent, which has no use for a gateway.
    pub fn is_routed(self) -> bool {
        matches!(self, Self::Ipvlan(IpvlanMode::L3 | IpvlanMode::L3s, _))
    }
}

/// The name of the parent: what is asked, else a dummy of the network's own.
///
/// # Errors
/// Invalid for a link that cannot be one.
pub fn parent(driver: Driver, options: &HashMap<String, String>, id: &str) -> Result<String> {
    let Some(asked) = options.get("parent").filter(|name| !name.is_empty()) else { return Ok(dummy_name(driver, id)) };
    if asked == "lo" {
        let driver = driver.name();
        return Err(Error::invalid(format!("loopback interface is not a valid {driver} parent link")));
    }
    if !is_link_name(asked) {
        return Err(Error::invalid(format!("invalid parent interface name \"{asked}\"")));
    }
    Ok(asked.clone())
}

pub fn dummy_name(driver: Driver, id: &str) -> String {
    let prefix = if driver == Driver::Ipvlan { "di-" } else { "dm-" };
    format!("{prefix}{}", id.get(..12).unwrap_or(id))
}

/// `eth0.20` as link and VLAN.
///
/// # Errors
/// Invalid for another shape or a VLAN that cannot be; dockerd's words.
pub fn tagged(name: &str) -> Result<(&str, u16)> {
    let Some((link, id)) = name.split_once('.') else {
        return Err(Error::invalid(format!("invalid subinterface vlan name {name}, example formatting is eth0.10")));
    };
    if id.contains('.') {
        return Err(Error::invalid(format!(
            "required interface name format is: name.vlan_id, ex. eth0.10 for vlan 10, instead received {name}"
        )));
    }
    let number: i64 = id
        .parse()
        .map_err(|_| Error::invalid(format!("unable to parse a valid vlan id from: {id} (ex. eth0.10 for vlan 10)")))?;
    match u16::try_from(number) {
        Ok(id @ 1..=4094) => Ok((link, id)),
        _ => Err(Error::invalid(format!("vlan id must be between 1-4094, received: {number}"))),
    }
}

/// Who else is on the parent, and may not share it.
///
/// # Errors
/// Conflict; an ipvlan parent has one network, a macvlan one in mode `passthru` too.
pub fn check_shared(record: &NetworkRecord, table: &Table) -> Result<()> {
    let Some(own) = Vlan::of(record) else { return Ok(()) };
    let others = table.networks.values().map(|live| &live.record);
    for other in others.filter(|other| other.bridge == record.bridge && other.id != record.id) {
        let passthru = Vlan::Macvlan(MacvlanMode::Passthru);
        let refusal = match Vlan::of(other) {
            Some(theirs) if own == passthru && matches!(theirs, Vlan::Macvlan(_)) => format!(
                "cannot use mode passthru, macvlan network {} is already using parent interface {}",
                other.id, other.bridge
            ),
            Some(theirs) if theirs == passthru => format!(
                "macvlan network {} is already using parent interface {} in mode passthru",
                other.id, other.bridge
            ),
            Some(Vlan::Ipvlan(..)) if matches!(own, Vlan::Ipvlan(..)) => {
                let name = dummy_name(Driver::Ipvlan, &other.id);
                format!("network {name} is already using parent interface {}", other.bridge)
            }
            _ => continue,
        };
        return Err(Error::conflict(refusal));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_or_refused_in_dockerds_words() {
        let read = |driver, name: &str, value: &str| {
            Vlan::read(driver, &[(name.to_owned(), value.to_owned())].into())
                .map_err(|error| error.message().to_owned())
        };
        assert_eq!(read(Driver::Macvlan, "", ""), Ok(Some(Vlan::Macvlan(MacvlanMode::Bridge))));
        assert_eq!(
            read(Driver::Macvlan, "macvlan_mode", "x").unwrap_err(),
            "requested macvlan mode 'x' is not valid, 'bridge' mode is the macvlan driver default"
        );
        let l3s = read(Driver::Ipvlan, "ipvlan_mode", "l3s").unwrap().unwrap();
        assert!(l3s.is_routed());
        assert!(read(Driver::Ipvlan, "ipvlan_flag", "x").unwrap_err().contains("ipvlan flag 'x' is not valid"));
        assert_eq!(read(Driver::Bridge, "macvlan_mode", "x"), Ok(None));
    }

    #[test]
    fn parents_are_links_vlans_or_a_dummy() {
        let named = |name: &str| {
            parent(Driver::Macvlan, &[("parent".to_owned(), name.to_owned())].into(), "0123456789abcdef")
                .map_err(|error| error.message().to_owned())
        };
        assert_eq!(named("eth0").unwrap(), "eth0");
        assert_eq!(named("").unwrap(), "dm-0123456789ab");
        assert_eq!(named("lo").unwrap_err(), "loopback interface is not a valid macvlan parent link");
        assert!(named("a/b").is_err() && named("sixteen-or-more-x").is_err());
        assert_eq!(tagged("eth0.20").unwrap(), ("eth0", 20));
        let refused = |name: &str| tagged(name).unwrap_err().message().to_owned();
        assert_eq!(refused("eth9"), "invalid subinterface vlan name eth9, example formatting is eth0.10");
        assert_eq!(refused("eth0.4095"), "vlan id must be between 1-4094, received: 4095");
        assert_eq!(refused("eth0.x"), "unable to parse a valid vlan id from: x (ex. eth0.10 for vlan 10)");
        assert!(refused("eth0.1.2").starts_with("required interface name format"));
    }
}
