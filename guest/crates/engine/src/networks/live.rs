//! Connecting and disconnecting containers that exist, running or not.

use std::sync::Arc;

use bollard_stubs::models::EndpointSettings;

use super::{
    NetworkMode, NetworkUser, Networks,
    endpoint::Reserved,
    record::{Driver, NetworkRecord},
};
use crate::error::{Error, ErrorKind, Result};

impl Networks {
    /// Puts a container, running or not, on one more network.
    ///
    /// # Errors
    /// Not found for either, forbidden when it is on the network already, invalid or conflict for what cannot be.
    pub async fn connect(self: &Arc<Self>, network: &str, container: &str, asked: EndpointSettings) -> Result<()> {
        let networks = self.clone();
        let (network, container) = (network.to_owned(), container.to_owned());
        let connected =
            tokio::task::spawn_blocking(move || networks.connect_blocking(&network, &container, asked)).await;
        connected.unwrap_or_else(|error| Err(Error::system("connect to network", error)))
    }

    /// Takes a container, running or not, off a network. `force`: one that is gone is no error.
    pub async fn disconnect(self: &Arc<Self>, network: &str, container: &str, force: bool) -> Result<()> {
        let networks = self.clone();
        let (network, container) = (network.to_owned(), container.to_owned());
        let done = tokio::task::spawn_blocking(move || networks.disconnect_blocking(&network, &container, force)).await;
        done.unwrap_or_else(|error| Err(Error::system("disconnect from network", error)))
    }

    fn connect_blocking(self: &Arc<Self>, network: &str, container: &str, asked: EndpointSettings) -> Result<()> {
        let record = self.table().network(network)?.record.clone();
        let user = self.user(container)?;
        check_connect(&record, &user)?;
        super::checks::wanted_addresses(&record, &asked)?;
        if !user.running {
            let settings = EndpointSettings { network_id: Some(record.id.clone()), ..asked };
            return self.users()?.record_endpoint(&user.container_id, &record.name, Some(settings));
        }
        let (sandbox, hostname) = {
            let table = self.table();
            let member = table.members.get(&user.container_id);
            let member = member.ok_or_else(|| Error::conflict(format!("container {} is not running", user.name)))?;
            (member.sandbox.clone(), member.hostname.clone())
        };
        let sandbox = sandbox.ok_or_else(|| Error::invalid("container sharing network namespace with another container or host cannot be connected to any other network"))?;
        let interfaces =
            sandbox.interfaces().map_err(|source| Error::system("list interfaces of the container", source))?;
        let free =
            (0..).map(|number| format!("eth{number}")).find(|name| !interfaces.contains(name)).unwrap_or_default();
        let (reserved, routed) = {
            let mut table = self.table();
            let live = table
                .networks
                .get_mut(&record.id)
                .ok_or_else(|| Error::not_found(format!("network {network} not found")))?;
            let reserved = live.reserve(&user.container_id, &user.name, &hostname, free, &asked)?;
            let routed = table.routed(&user.container_id).is_some_and(|(live, _)| live.record.id == record.id);
            (reserved, routed)
        };
        let made = self
            .plug(&sandbox, &reserved, routed)
            .and_then(|()| if record.is_predefined() { Ok(()) } else { self.serve_names(&user.container_id) });
        let kept = made.and_then(|()| {
            self.users()?.record_endpoint(&user.container_id, &record.name, Some(reserved.endpoint.settings.clone()))
        });
        if kept.is_err() {
            self.unplug(&user.container_id, &reserved);
        } else {
            self.publish(&record, "connect", Some(&user.container_id));
        }
        kept
    }

    /// Undoes what there is of a live endpoint.
    fn unplug(&self, container_id: &str, reserved: &Reserved) {
        let sandbox = {
            let mut table = self.table();
            if let Some(live) = table.networks.get_mut(&reserved.record.id) {
                live.release(container_id);
            }
            table.members.get(container_id).and_then(|member| member.sandbox.clone())
        };
        if let (Some(sandbox), Some((address, _))) = (sandbox, reserved.endpoint.addresses.first())
            && let Err(error) = sandbox.remove(*address)
        {
            tracing::warn!(container_id, network = %reserved.record.name, err = %error, "interface could not be removed");
        }
    }

    fn disconnect_blocking(self: &Arc<Self>, network: &str, container: &str, force: bool) -> Result<()> {
        // Why in this order: moby `DisconnectContainerFromNetwork` looks for the container first.
        let user = match self.user(container) {
            Err(_) if force => None,
            user => Some(user?),
        };
        let record = self.table().network(network)?.record.clone();
        let Some(user) = user else { return self.drop_stale(&record.id, container) };
        if record.driver == Driver::Host {
            return Err(Error::new(
                ErrorKind::Forbidden,
                "container cannot be disconnected from host network or connected to host network",
            ));
        }
        let live = self.table().network(&record.id)?.endpoints.get(&user.container_id).cloned();
        let recorded = user.endpoints.contains_key(&record.name);
        if live.is_none() && !recorded {
            let message = format!("container {} is not connected to network {}", user.container_id, record.name);
            return Err(Error::new(ErrorKind::Forbidden, message));
        }
        if let Some(endpoint) = live {
            self.unplug(&user.container_id, &Reserved { record: record.clone(), bridge: 0, endpoint });
            self.move_route(&user.container_id);
            self.publish(&record, "disconnect", Some(&user.container_id));
        }
        self.users()?.record_endpoint(&user.container_id, &record.name, None)
    }

    /// `disconnect --force` of a container that is gone.
    fn drop_stale(&self, network_id: &str, container: &str) -> Result<()> {
        let mut table = self.table();
        let live = table.networks.get_mut(network_id);
        let id = live.as_ref().and_then(|live| {
            let stale =
                live.endpoints.iter().find(|(id, endpoint)| *id == container || endpoint.container_name == container);
            stale.map(|(id, _)| id.clone())
        });
        match (live, id) {
            (Some(live), Some(id)) => {
                live.release(&id);
                Ok(())
            }
            _ => Err(Error::not_found(format!("endpoint {container} not found"))),
        }
    }

    /// The default route went with its interface: another network takes over.
    fn move_route(&self, container_id: &str) {
        let next = {
            let table = self.table();
            let next = table.routed(container_id).and_then(|(live, endpoint)| {
                Some((live.record.gateways(&endpoint.addresses), endpoint.addresses.first()?.0))
            });
            next.zip(table.members.get(container_id).and_then(|member| member.sandbox.clone()))
        };
        let Some(((gateways, address), sandbox)) = next else { return };
        for gateway in gateways {
            if let Err(error) = sandbox.route(address, gateway) {
                tracing::warn!(container_id, err = %error, "default route could not be moved");
            }
        }
    }
}

fn check_connect(record: &NetworkRecord, user: &NetworkUser) -> Result<()> {
    let network = &record.name;
    match (&user.mode, record.driver) {
        _ if record.template.is_some() => {
            Err(Error::new(ErrorKind::Forbidden, "cannot create endpoint on configuration-only network"))
        }
        (NetworkMode::Container(_), _) => Err(Error::invalid(
            "container sharing network namespace with another container or host cannot be connected to any other network",
        )),
        (NetworkMode::Host, _) | (_, Driver::Host) => Err(Error::new(
            ErrorKind::Forbidden,
            "container cannot be disconnected from host network or connected to host network",
        )),
        (NetworkMode::None, _) | (_, Driver::Null) => Err(Error::new(
            ErrorKind::Forbidden,
            "container cannot be connected to multiple networks with one of the networks in private (none) mode",
        )),
        _ if user.endpoints.contains_key(network) => Err(Error::new(
            ErrorKind::Forbidden,
            format!("endpoint with name {} already exists in network {network}", user.name),
        )),
        _ => Ok(()),
    }
}
