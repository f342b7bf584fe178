//! What a network is: the part that is kept in the state database.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::SystemTime,
};

use bollard_stubs::models::{self, ConfigReference, Ipam, IpamConfig, NetworkContainer};
use cubby_network::Subnet;
use serde::{Deserialize, Serialize};

use super::{template::Template, vlan::Vlan};
use crate::timestamps::rfc3339_nano;

/// Option by which a user names the bridge. Source: moby libnetwork/drivers/bridge/labels.go, as are the following.
pub const BRIDGE_NAME: &str = "com.docker.network.bridge.name";
const ICC: &str = "com.docker.network.bridge.enable_icc";
const MASQUERADE: &str = "com.docker.network.bridge.enable_ip_masquerade";
const MTU: &str = "com.docker.network.driver.mtu";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    Bridge,
    Host,
    Null,
    Macvlan,
    Ipvlan,
}

impl Driver {
    pub fn name(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Host => "host",
            Self::Null => "null",
            Self::Macvlan => "macvlan",
            Self::Ipvlan => "ipvlan",
        }
    }

    /// Containers on its networks have addresses and names.
    pub fn has_addresses(self) -> bool {
        !matches!(self, Self::Host | Self::Null)
    }
}

/// One object of `kind = "network"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetworkRecord {
    pub id: String,
    pub name: String,
    /// RFC 3339.
    pub created: String,
    pub driver: Driver,
    pub internal: bool,
    pub attachable: bool,
    /// IPv4; none of the drivers `host` and `null`, nor where IPv6 is alone.
    pub addresses: Option<Addresses>,
    #[serde(default)]
    pub ipv6: Option<Addresses>,
    /// Further subnets of either family; `macvlan` and `ipvlan` can have such.
    #[serde(default)]
    pub more: Vec<Addresses>,
    pub ipam_options: Option<HashMap<String, String>>,
    pub options: HashMap<String, String>,
    pub labels: HashMap<String, String>,
    /// Name of the link in the kernel: the bridge, or what `macvlan` and `ipvlan` share; empty for the other drivers.
    pub bridge: String,
    /// A link that `macvlan` or `ipvlan` share was made by us.
    #[serde(default)]
    pub made_parent: bool,
    /// Of a configuration network.
    #[serde(default)]
    pub template: Option<Template>,
    /// The configuration network that the settings are from.
    #[serde(default)]
    pub config_from: Option<String>,
}

/// One subnet of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    pub subnet: Subnet,
    pub range: Option<Subnet>,
    /// None where containers are not led out.
    pub gateway: Option<IpAddr>,
    pub auxiliary: BTreeMap<String, IpAddr>,
    /// The user chose the subnet, so containers may choose their addresses.
    pub by_user: bool,
}

impl NetworkRecord {
    /// A network that is named and nothing else.
    pub fn blank(name: &str, driver: Driver) -> Self {
        Self {
            id: super::random_id(),
            name: name.to_owned(),
            created: rfc3339_nano(SystemTime::now()),
            driver,
            internal: false,
            attachable: false,
            addresses: None,
            ipv6: None,
            more: Vec::new(),
            ipam_options: None,
            options: HashMap::new(),
            labels: HashMap::new(),
            bridge: String::new(),
            made_parent: false,
            template: None,
            config_from: None,
        }
    }

    pub fn is_predefined(&self) -> bool {
        is_predefined(&self.name)
    }

    /// Every subnet, IPv4 first.
    pub fn subnets(&self) -> impl Iterator<Item = &Addresses> {
        let all = || self.addresses.iter().chain(&self.ipv6).chain(&self.more);
        let of_family = move |is_ipv6| all().filter(move |one| one.subnet.is_ipv6() == is_ipv6);
        of_family(false).chain(of_family(true))
    }

    /// The subnet that an address is of.
    pub fn subnet_of(&self, address: IpAddr) -> Option<&Addresses> {
        self.subnets().find(|one| one.subnet.contains(address))
    }

    /// Whether containers reach anything but each other through it.
    pub fn leads_out(&self) -> bool {
        let by_itself = self.made_parent && self.options.get("parent").is_none_or(String::is_empty);
        !self.internal && !by_itself
    }

    /// The link in the kernel goes with the network.
    pub fn owns_link(&self) -> bool {
        self.driver == Driver::Bridge || self.made_parent
    }

    /// The gateways for a container with these addresses; an unspecified one where the link itself leads everywhere.
    pub fn gateways(&self, addresses: &[(IpAddr, u8)]) -> Vec<IpAddr> {
        if !self.leads_out() {
            return Vec::new();
        }
        if Vlan::of(self).is_some_and(Vlan::is_routed) {
            let any = |address: &IpAddr| match address {
                IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            };
            return addresses.iter().map(|(address, _)| any(address)).collect();
        }
        addresses.iter().filter_map(|(address, _)| self.subnet_of(*address)?.gateway).collect()
    }

    /// Containers see each other; otherwise only the gateway.
    pub fn containers_connect(&self) -> bool {
        self.flag(ICC)
    }

    pub fn masquerades(&self) -> bool {
        !self.internal && self.flag(MASQUERADE)
    }

    fn flag(&self, option: &str) -> bool {
        self.options.get(option).is_none_or(|value| !matches!(value.as_str(), "false" | "0" | "f" | "False" | "FALSE"))
    }

    pub fn mtu(&self) -> u32 {
        let asked = self.options.get(MTU).and_then(|text| text.parse().ok());
        asked.filter(|mtu| (68..=65535).contains(mtu)).unwrap_or(1500)
    }

    /// Docker's shape, with who is on the network now.
    pub fn describe(&self, containers: HashMap<String, NetworkContainer>) -> models::Network {
        let (ipv4, ipv6) = match &self.template {
            Some(template) => (template.enable_ipv4, template.enable_ipv6),
            None => (self.ipv6.is_none() || self.addresses.is_some(), self.ipv6.is_some()),
        };
        models::Network {
            name: Some(self.name.clone()),
            id: Some(self.id.clone()),
            created: Some(self.created.clone()),
            scope: Some("local".to_owned()),
            driver: Some(self.driver.name().to_owned()),
            enable_ipv4: Some(ipv4),
            enable_ipv6: Some(ipv6),
            ipam: Some(Ipam {
                driver: Some("default".to_owned()),
                config: Some(self.describe_subnets()),
                options: self.ipam_options.clone(),
            }),
            internal: Some(self.internal),
            attachable: Some(self.attachable),
            ingress: Some(false),
            config_from: Some(ConfigReference { network: Some(self.config_from.clone().unwrap_or_default()) }),
            config_only: Some(self.template.is_some()),
            containers: Some(containers),
            options: Some(self.options.clone()),
            labels: Some(self.labels.clone()),
            peers: None,
        }
    }

    fn describe_subnets(&self) -> Vec<IpamConfig> {
        if let Some(template) = &self.template {
            return template.ipam.as_ref().and_then(|ipam| ipam.config.clone()).unwrap_or_default();
        }
        let config = self.subnets().map(|addresses| IpamConfig {
            subnet: Some(addresses.subnet.to_string()),
            ip_range: addresses.range.map(|range| range.to_string()),
            gateway: addresses.gateway.map(|gateway| gateway.to_string()),
            auxiliary_addresses: (!addresses.auxiliary.is_empty())
                .then(|| addresses.auxiliary.iter().map(|(k, v)| (k.clone(), v.to_string())).collect()),
        });
        config.collect()
    }
}

pub fn is_predefined(name: &str) -> bool {
    matches!(name, "bridge" | "host" | "none")
}
