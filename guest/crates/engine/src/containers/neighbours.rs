//! Containers as the networks, volumes and images parts see them.

use bollard_stubs::models::EndpointSettings;
use cubby_image::Digest;

use super::{
    Containers,
    model::{MountRecord, Record},
    start::reshape,
};
use crate::{
    error::Result,
    images::{ImageUse, ImageUsers},
    networks::{NetworkMode, NetworkUser, NetworkUsers},
    volumes::VolumeUsers,
};

impl NetworkUsers for Containers {
    fn network_user(&self, name_or_id: &str) -> Result<NetworkUser> {
        Ok(network_user(&self.find(name_or_id)?.record()))
    }

    fn record_endpoint(&self, container_id: &str, network: &str, endpoint: Option<EndpointSettings>) -> Result<()> {
        let container = self.find(container_id)?;
        let endpoint = endpoint.and_then(|endpoint| reshape(&endpoint));
        self.change(&container, |record| {
            match endpoint {
                Some(endpoint) => _ = record.networks.insert(network.to_owned(), endpoint),
                None => _ = record.networks.remove(network),
            };
        })?;
        Ok(())
    }
}

fn network_user(record: &Record) -> NetworkUser {
    let endpoints = record.networks.iter();
    NetworkUser {
        container_id: record.id.clone(),
        name: record.name.clone(),
        mode: NetworkMode::parse(&record.host_config.network_mode),
        running: record.state.has_process(),
        endpoints: endpoints.filter_map(|(name, endpoint)| Some((name.clone(), reshape(endpoint)?))).collect(),
    }
}

impl VolumeUsers for Containers {
    fn volume_users(&self, volume: &str) -> Vec<String> {
        let table = self.table();
        let using = table.all().map(|container| container.record()).filter(|record| {
            record.mounts.iter().any(|mount| mount.point.kind == "volume" && mount.point.name == volume)
        });
        using.map(|record| record.id.clone()).collect()
    }
}

impl ImageUsers for Containers {
    fn using(&self, image_id: &Digest) -> Vec<ImageUse> {
        let wanted = image_id.to_string();
        let table = self.table();
        let using = table.all().map(|container| container.record()).filter(|record| {
            let mounted = |mount: &MountRecord| mount.point.kind == "image" && mount.spec.source == wanted;
            record.image_id == wanted || record.mounts.iter().any(mounted)
        });
        using.map(|record| ImageUse { container_id: record.id.clone(), running: record.state.running }).collect()
    }
}
