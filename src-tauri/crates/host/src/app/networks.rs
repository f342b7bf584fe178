//! What the networks page asks for.

use bollard::models::{Ipam, IpamConfig, NetworkConnectRequest, NetworkCreateRequest, NetworkDisconnectRequest};
use bollard::query_parameters::PruneNetworksOptions;

use super::Inner;
use crate::engine::errors::app_error;
use crate::schema::{AppError, NetworkCommand, NetworkReply, PruneItem, PrunePreview};

pub(super) async fn call(inner: &Inner, command: NetworkCommand) -> Result<NetworkReply, AppError> {
    let docker = inner.engine()?;
    match command {
        NetworkCommand::Create { name, subnet, internal, ipv6 } => {
            let config = subnet.map(|subnet| vec![IpamConfig { subnet: Some(subnet), ..IpamConfig::default() }]);
            let wanted = NetworkCreateRequest {
                name: name.trim().to_owned(),
                driver: Some("bridge".to_owned()),
                internal: Some(internal),
                attachable: Some(true),
                enable_ipv6: Some(ipv6),
                ipam: config.map(|config| Ipam { config: Some(config), ..Ipam::default() }),
                ..NetworkCreateRequest::default()
            };
            let made = docker.create_network(wanted).await;
            made.map(|_| NetworkReply::Done).map_err(|err| app_error("The network could not be made", err))
        }
        NetworkCommand::Remove { id } => {
            let removed = docker.remove_network(&id).await;
            removed.map(|()| NetworkReply::Done).map_err(|err| app_error("The network could not be removed", err))
        }
        NetworkCommand::Connect { id, container } => {
            let wanted = NetworkConnectRequest { container: Some(container), ..NetworkConnectRequest::default() };
            let done = docker.connect_network(&id, wanted).await;
            done.map(|()| NetworkReply::Done).map_err(|err| app_error("It could not join the network", err))
        }
        NetworkCommand::Disconnect { id, container } => {
            let wanted = NetworkDisconnectRequest { container: Some(container), force: Some(false) };
            let done = docker.disconnect_network(&id, wanted).await;
            done.map(|()| NetworkReply::Done).map_err(|err| app_error("It could not leave the network", err))
        }
        NetworkCommand::PrunePreview => Ok(NetworkReply::PrunePreview { preview: preview(inner) }),
        NetworkCommand::Prune => {
            let pruned = docker.prune_networks(None::<PruneNetworksOptions>).await;
            let pruned = pruned.map_err(|err| app_error("Nothing was removed", err))?;
            Ok(NetworkReply::Pruned { names: pruned.networks_deleted.unwrap_or_default() })
        }
    }
}

fn preview(inner: &Inner) -> PrunePreview {
    let networks = inner.world.snapshot().networks;
    let goes = networks.into_iter().filter(|network| !network.builtin && network.members.is_empty());
    let items = goes.map(|network| PruneItem { id: network.id, name: network.name, bytes: Some(0) }).collect();
    PrunePreview { items, bytes: 0 }
}
