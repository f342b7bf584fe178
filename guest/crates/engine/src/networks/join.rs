//! A container's way onto its networks and off them again.
//!
//! ```text
//! join:  reserve (lock) ──▶ sandbox, cables, addresses, names (blocking thread) ──▶ enter in the table (lock)
//!          │ nothing to undo       │ failed: give back what was reserved; the sandbox takes its cables with it
//! leave: forget (lock) ──▶ drop sandbox and name server
//! ```
//!
//! A reserved endpoint counts as a user of its network, so no network disappears under a container that is starting.

use std::{net::IpAddr, sync::Arc};

use bollard_stubs::models::EndpointSettings;
use cubby_network::{Interface, Mac, Sandbox, dns};
use tokio::sync::oneshot;

use super::{
    Join, Joined, NetworkMode, Networks,
    endpoint::{self, Reserved},
    kernel::ENDED_WAIT,
    names::View,
    record::Driver,
    table::{Member, Table},
    vlan::Vlan,
};
use crate::error::{Error, Result};

impl Networks {
    /// Gives a container that is about to start its namespace, addresses, and files. [`Networks::leave`] undoes it.
    ///
    /// # Errors
    /// Not found for an unknown network, dockerd's texts for addresses that cannot be had; then nothing is left behind.
    pub async fn join(self: &Arc<Self>, join: Join) -> Result<Joined> {
        if let NetworkMode::Container(other) = &join.mode {
            return self.share(&join, other);
        }
        self.check_asked(&join)?;
        let links = self.resolve_links(&join)?;
        let reserved = self.reserve(&join)?;
        let (networks, id) = (self.clone(), join.container_id.clone());
        let (sender, receiver) = oneshot::channel();
        // Why a task: a caller that is gone half-way must not leave an endpoint that nobody will give back.
        tokio::spawn(async move {
            let maker = networks.clone();
            let made = tokio::task::spawn_blocking(move || maker.make(join, links, reserved)).await;
            let made = made.unwrap_or_else(|error| Err(Error::system("join networks", error)));
            let failed = made.is_err();
            if sender.send(made).is_err() || failed {
                let forgotten = networks.table().forget(&id);
                drop(forgotten);
            }
            networks.refill_spares();
        });
        receiver.await.unwrap_or_else(|error| Err(Error::system("join networks", error)))
    }

    /// After the container's last process: gives back addresses, names and namespace. Unknown ids are fine.
    pub async fn leave(self: &Arc<Self>, container_id: &str) {
        self.close_ports(container_id).await;
        let (member, endpoints) = self.table().forget(container_id);
        for (record, _) in &endpoints {
            self.publish(record, "disconnect", Some(container_id));
        }
        let sandbox = member.and_then(|member| member.sandbox);
        if sandbox.is_some_and(|sandbox| self.kernel.end(sandbox)) {
            let kernel = self.kernel.clone();
            tokio::spawn(async move {
                tokio::time::sleep(ENDED_WAIT).await;
                kernel.let_go();
            });
        }
    }

    /// Takes addresses on every network the container shall be on: all or none.
    fn reserve(&self, join: &Join) -> Result<Vec<Reserved>> {
        let mut table = self.table();
        if table.members.contains_key(&join.container_id) {
            return Err(Error::internal(format!("container {} is on its networks already", join.container_id)));
        }
        let mut reserved = Vec::new();
        for (number, (id, asked)) in wanted(&table, join)?.into_iter().enumerate() {
            let interface = format!("eth{number}");
            let one = table
                .networks
                .get_mut(&id)
                .map(|live| live.reserve(&join.container_id, &join.name, &join.hostname, interface, &asked));
            match one {
                Some(Ok(one)) => reserved.push(one),
                Some(Err(error)) => {
                    table.forget(&join.container_id);
                    return Err(error);
                }
                None => {}
            }
        }
        Ok(reserved)
    }

    /// The part in the kernel. Blocks.
    fn make(
        self: &Arc<Self>,
        join: Join,
        links: Vec<(String, String, Option<IpAddr>)>,
        mut reserved: Vec<Reserved>,
    ) -> Result<Joined> {
        let sandbox = if join.mode == NetworkMode::Host { None } else { Some(Arc::new(self.kernel.sandbox()?)) };
        let gateway = default_route(&reserved);
        if let Some(sandbox) = &sandbox {
            for (at, one) in reserved.iter().enumerate() {
                self.plug(sandbox, one, gateway == Some(at))?;
            }
        }
        for one in &mut reserved {
            one.endpoint.settings.gw_priority.get_or_insert(0);
        }
        let netns = sandbox.as_ref().map(|sandbox| sandbox.duplicate()).transpose();
        let netns = netns.map_err(|source| Error::system("keep network namespace", source))?;
        let own_names = reserved.iter().any(|one| !one.record.is_predefined());
        let upstream = super::resolve::upstream(&join.dns);
        let joined = Joined {
            netns,
            sandbox_id: super::random_id(),
            endpoints: reserved.iter().map(|one| (one.record.name.clone(), one.endpoint.settings.clone())).collect(),
            hosts: super::resolve::hosts(&join, &reserved, gateway, &links),
            resolv_conf: super::resolve::resolv_conf(&join, own_names),
            address: published_at(&reserved, gateway),
        };
        let member = Member {
            name: join.name.clone(),
            hostname: join.hostname.clone(),
            sandbox,
            links: links.into_iter().map(|(alias, target, _)| (alias, target)).collect(),
            dns: None,
            upstream,
        };
        self.table().members.insert(join.container_id.clone(), member);
        if own_names {
            self.serve_names(&join.container_id)?;
        }
        for one in &reserved {
            self.publish(&one.record, "connect", Some(&join.container_id));
        }
        Ok(joined)
    }

    /// Makes a reserved endpoint in the sandbox. `routed`: its gateway is the container's default route. Blocks.
    pub(super) fn plug(&self, sandbox: &Sandbox, one: &Reserved, routed: bool) -> Result<()> {
        let Reserved { record, bridge, endpoint } = one;
        let name = &endpoint.interface;
        if name.is_empty() {
            return Ok(());
        }
        let outside = match Vlan::of(record) {
            Some(vlan) => {
                self.kernel.plug_child(record, vlan, *bridge, sandbox, name, endpoint.mac)?;
                None
            }
            None => {
                let mac = endpoint.mac.unwrap_or_else(Mac::random);
                Some(self.kernel.plug(record, *bridge, sandbox.netns(), name, mac)?)
            }
        };
        let gateways = if routed { record.gateways(&endpoint.addresses) } else { Vec::new() };
        let interface = Interface { name, addresses: &endpoint.addresses, gateways: &gateways };
        if endpoint.of_family(true).is_some() {
            sandbox.enable_ipv6(name).map_err(|source| Error::system(format!("switch IPv6 on for {name}"), source))?;
        }
        sandbox.configure(&interface).map_err(|source| Error::system(format!("set up {name}"), source))?;
        outside.map_or(Ok(()), |outside| self.kernel.settle(&outside, &record.bridge))
    }

    /// Starts the name server of a member if it has none. Blocks.
    pub(super) fn serve_names(self: &Arc<Self>, container_id: &str) -> Result<()> {
        let sandbox = match self.table().members.get(container_id) {
            Some(member) if member.dns.is_none() => member.sandbox.clone(),
            _ => None,
        };
        let Some(sandbox) = sandbox else { return Ok(()) };
        let view = View::new(self, container_id);
        let server = dns::Server::start(&sandbox, Arc::new(view));
        let server = server.map_err(|source| Error::system("serve names in the sandbox", source))?;
        if let Some(member) = self.table().members.get_mut(container_id) {
            member.dns = Some(server);
        }
        Ok(())
    }
}

/// The networks to join, each with what was asked: the mode's own first, then by name.
fn wanted(table: &Table, join: &Join) -> Result<Vec<(String, EndpointSettings)>> {
    let first = join.mode.network().map(|name| table.find(name)).transpose()?;
    let mut wanted: Vec<(String, EndpointSettings)> = Vec::new();
    let mut others: Vec<_> = join.endpoints.iter().collect();
    others.sort_by_key(|(name, _)| *name);
    for (name, asked) in others {
        // Why: a record may still have the network's former id or name beside the other.
        let id =
            table.find(asked.network_id.as_deref().filter(|id| table.networks.contains_key(*id)).unwrap_or(name))?;
        if !wanted.iter().any(|(known, _)| known == id) {
            wanted.push((id.to_owned(), asked.clone()));
        }
    }
    if let Some(first) = first {
        match wanted.iter().position(|(id, _)| id == first) {
            Some(at) => wanted[..=at].rotate_right(1),
            None if wanted.is_empty() || !join.mode.is_private() => {
                wanted.insert(0, (first.to_owned(), EndpointSettings::default()))
            }
            None => {}
        }
    }
    if !join.mode.is_private() {
        wanted.truncate(1);
    }
    Ok(wanted)
}

/// Which endpoint has the default route; none on internal networks alone.
fn default_route(reserved: &[Reserved]) -> Option<usize> {
    let routed = reserved.iter().enumerate().filter(|(_, one)| endpoint::leads_out(&one.record, &one.endpoint));
    routed.min_by_key(|(_, one)| endpoint::route_order(&one.record, &one.endpoint)).map(|(at, _)| at)
}

/// Where published ports lead: the address on the bridge that has the default route, else on the last one.
fn published_at(reserved: &[Reserved], gateway: Option<usize>) -> Option<IpAddr> {
    let on_bridge = |one: &&Reserved| one.record.driver == Driver::Bridge;
    let routed = gateway.map(|at| &reserved[at]).filter(on_bridge);
    routed.or_else(|| reserved.iter().rfind(on_bridge)).and_then(|one| Some(one.endpoint.addresses.first()?.0))
}
