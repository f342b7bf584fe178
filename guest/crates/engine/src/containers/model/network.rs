//! A container's part in networks.

use std::collections::BTreeMap;

use cubby_network::Mac;

use super::go::{go_struct, is_zero};

go_struct! {
    pub struct NetworkingConfig {
        "EndpointsConfig" endpoints: BTreeMap<String, Option<Endpoint>>,
    }
}

go_struct! {
    /// Source: moby `network.EndpointSettings`.
    pub struct Endpoint {
        "IPAMConfig" ipam_config: Option<IpamConfig>,
        "Links" links: Option<Vec<String>>,
        "Aliases" aliases: Option<Vec<String>>,
        "MacAddress" mac_address: String,
        "DriverOpts" driver_opts: Option<BTreeMap<String, String>>,
        "GwPriority" gw_priority: i64,
        "NetworkID" network_id: String,
        "EndpointID" endpoint_id: String,
        "Gateway" gateway: String,
        "IPAddress" ip_address: String,
        "IPPrefixLen" ip_prefix_len: u8,
        "IPv6Gateway" ipv6_gateway: String,
        "GlobalIPv6Address" global_ipv6_address: String,
        "GlobalIPv6PrefixLen" global_ipv6_prefix_len: u8,
        "DNSNames" dns_names: Option<Vec<String>>,
    }
}

go_struct! {
    pub struct IpamConfig {
        #[serde(skip_serializing_if = "is_zero")]
        "IPv4Address" ipv4_address: String,
        #[serde(skip_serializing_if = "is_zero")]
        "IPv6Address" ipv6_address: String,
        #[serde(skip_serializing_if = "is_zero")]
        "LinkLocalIPs" link_local_ips: Vec<String>,
    }
}

impl Endpoint {
    /// The MAC that somebody asked for, or nothing: one that was made from the address is nobody's wish.
    pub fn chosen_mac(&self) -> &str {
        let is_made = match self.ip_address.parse() {
            Ok(address) => self.mac_address.parse() == Ok(Mac::of(address)),
            // Without an IPv4 address it is random.
            Err(_) => !self.global_ipv6_address.is_empty(),
        };
        if is_made { "" } else { &self.mac_address }
    }

    /// The same wishes without what a former connection got.
    pub fn wishes(&self) -> Self {
        Self {
            ipam_config: self.ipam_config.clone(),
            links: self.links.clone(),
            aliases: self.aliases.clone(),
            driver_opts: self.driver_opts.clone(),
            gw_priority: self.gw_priority,
            network_id: self.network_id.clone(),
            dns_names: self.dns_names.clone(),
            mac_address: self.chosen_mac().to_owned(),
            ..Self::default()
        }
    }
}
