//! Which names mean which container, seen from one of them.

use std::{
    cmp::Reverse,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Weak},
};

use bollard_stubs::models::EndpointSettings;
use cubby_network::dns::Zone;

use super::{Networks, checks, table::Endpoint};

/// What a container is called on a user network: name, aliases, short id, hostname. Source: moby daemon/network.go
/// `buildEndpointDNSNames`.
pub fn own_names(container_id: &str, name: &str, hostname: &str, asked: &EndpointSettings) -> Vec<String> {
    let short = container_id.get(..12).unwrap_or(container_id);
    let mut names: Vec<String> = Vec::new();
    let aliases = asked.aliases.iter().flatten().map(String::as_str);
    for candidate in [name].into_iter().chain(aliases).chain([short, hostname]) {
        if !candidate.is_empty() && !names.iter().any(|known| known == candidate) {
            names.push(candidate.to_owned());
        }
    }
    names
}

/// The names that one container sees: of everybody on the user networks that it is on, and its own links.
pub struct View {
    networks: Weak<Networks>,
    container_id: String,
}

impl View {
    pub fn new(networks: &Arc<Networks>, container_id: &str) -> Self {
        Self { networks: Arc::downgrade(networks), container_id: container_id.to_owned() }
    }
}

impl Zone for View {
    fn addresses(&self, name: &str) -> Option<Vec<IpAddr>> {
        let networks = self.networks.upgrade()?;
        let table = networks.table();
        let member = table.members.get(&self.container_id)?;
        let own = table.networks.values().filter_map(|live| Some((live, live.endpoints.get(&self.container_id)?)));
        let mut visible: Vec<_> = own.filter(|(live, _)| !live.record.is_predefined()).collect();
        // Why in order: who shares several networks with somebody shall be told one way there, the one that routes.
        visible.sort_by_key(|(live, own)| {
            (live.record.internal, Reverse(own.settings.gw_priority.unwrap_or(0)), live.record.name.clone())
        });
        for (live, own) in visible {
            let here = checks::parse_links(own.settings.links.as_deref().unwrap_or_default());
            let linked = member.links.iter().chain(&here).find(|(alias, _)| alias == name);
            let is_linked = |id: &str, endpoint: &Endpoint| {
                linked.is_some_and(|(_, target)| id == target || endpoint.container_name == *target)
            };
            let network = live.record.name.to_lowercase();
            let plain = name.strip_suffix(&network).and_then(|rest| rest.strip_suffix('.')).unwrap_or(name);
            let named = live.endpoints.iter().filter(|(id, endpoint)| {
                is_linked(id, endpoint) || endpoint.names.iter().any(|own| own == name || own == plain)
            });
            let mut found: Vec<IpAddr> =
                named.flat_map(|(_, endpoint)| endpoint.addresses.iter().map(|(address, _)| *address)).collect();
            if !found.is_empty() {
                // Why: several containers may share an alias, and clients take the first; turns spread the load.
                fastrand::shuffle(&mut found);
                return Some(found);
            }
        }
        None
    }

    fn name_of(&self, address: IpAddr) -> Option<String> {
        let networks = self.networks.upgrade()?;
        let table = networks.table();
        let visible = table.networks.values().filter(|live| live.endpoints.contains_key(&self.container_id));
        let mut named = visible.filter(|live| !live.record.is_predefined()).flat_map(|live| {
            let here = live.endpoints.values().filter(|endpoint| endpoint.has(address));
            here.map(|endpoint| format!("{}.{}", endpoint.container_name, live.record.name))
        });
        named.next()
    }

    fn upstream(&self) -> Vec<SocketAddr> {
        let Some(networks) = self.networks.upgrade() else { return Vec::new() };
        let table = networks.table();
        let outside = table
            .networks
            .values()
            .any(|live| !live.record.internal && live.endpoints.contains_key(&self.container_id));
        let member = table.members.get(&self.container_id).filter(|_| outside);
        member.map(|member| member.upstream.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_dockers_order_without_repeats() {
        let asked = EndpointSettings { aliases: Some(vec!["db".into(), "web".into()]), ..EndpointSettings::default() };
        let names = own_names("0123456789abcdef", "web", "0123456789ab", &asked);
        assert_eq!(names, ["web", "db", "0123456789ab"]);
    }
}
