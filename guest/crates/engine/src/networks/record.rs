//! What a network is: the part that is kept in the state database.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use bollard_stubs::models::{self, ConfigReference, Ipam, IpamConfig, NetworkContainer};
use cubby_network::Subnet;
use serde::{Deserialize, Serialize};

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
}

impl Driver {
    pub fn name(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Host => "host",
            Self::Null => "null",
        }
    }
}

/// One object of `kind = "network"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkRecord {
    pub id: String,
    pub name: String,
    /// RFC 3339.
    pub created: String,
    pub driver: Driver,
    pub internal: bool,
    pub attachable: bool,
    /// IPv4; only of the driver `bridge`, and none where IPv6 is alone.
    pub addresses: Option<Addresses>,
    #[serde(default)]
    pub ipv6: Option<Addresses>,
    pub ipam_options: Option<HashMap<String, String>>,
    pub options: HashMap<String, String>,
    pub labels: HashMap<String, String>,
    /// Name of the link in the kernel; empty for the other drivers.
    pub bridge: String,
}

/// The addresses of a network, of one family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    pub subnet: Subnet,
    pub range: Option<Subnet>,
    pub gateway: IpAddr,
    pub auxiliary: BTreeMap<String, IpAddr>,
    /// The user chose the subnet, so containers may choose their addresses.
    pub by_user: bool,
}

impl NetworkRecord {
    pub fn is_predefined(&self) -> bool {
        is_predefined(&self.name)
    }

    /// IPv4 first.
    pub fn families(&self) -> impl Iterator<Item = &Addresses> {
        self.addresses.iter().chain(&self.ipv6)
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
        let config = self.families().map(|addresses| IpamConfig {
            subnet: Some(addresses.subnet.to_string()),
            ip_range: addresses.range.map(|range| range.to_string()),
            gateway: Some(addresses.gateway.to_string()),
            auxiliary_addresses: (!addresses.auxiliary.is_empty())
                .then(|| addresses.auxiliary.iter().map(|(k, v)| (k.clone(), v.to_string())).collect()),
        });
        models::Network {
            name: Some(self.name.clone()),
            id: Some(self.id.clone()),
            created: Some(self.created.clone()),
            scope: Some("local".to_owned()),
            driver: Some(self.driver.name().to_owned()),
            enable_ipv4: Some(self.ipv6.is_none() || self.addresses.is_some()),
            enable_ipv6: Some(self.ipv6.is_some()),
            ipam: Some(Ipam {
                driver: Some("default".to_owned()),
                config: Some(config.collect()),
                options: self.ipam_options.clone(),
            }),
            internal: Some(self.internal),
            attachable: Some(self.attachable),
            ingress: Some(false),
            config_from: Some(ConfigReference { network: Some(String::new()) }),
            config_only: Some(false),
            containers: Some(containers),
            options: Some(self.options.clone()),
            labels: Some(self.labels.clone()),
            peers: None,
        }
    }
}

pub fn is_predefined(name: &str) -> bool {
    matches!(name, "bridge" | "host" | "none")
}
