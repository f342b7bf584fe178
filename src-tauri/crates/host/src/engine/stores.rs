//! Volumes and networks as rows, and what is done with them.

use std::collections::HashMap;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models;
use bollard::query_parameters::{InspectNetworkOptions, ListNetworksOptions, ListVolumesOptions};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::bin;
use super::convert::unix_ms;
use crate::schema::{Member, Network, Volume};

/// Requests at once.
const AT_ONCE: usize = 8;
const PROJECT: &str = "com.docker.compose.project";
/// Docker's own mark on volumes without a name, since 23.0.
const ANONYMOUS: &str = "com.docker.volume.anonymous";

/// By name.
pub async fn volumes(docker: &Docker) -> Result<Vec<Volume>, Error> {
    let listed = match docker.list_volumes(None::<ListVolumesOptions>).await {
        // An engine without them.
        Err(Error::DockerResponseServerError { status_code: 404 | 501, .. }) => return Ok(Vec::new()),
        listed => listed?,
    };
    let mut rows = bin::volumes::read(listed.volumes.unwrap_or_default().into_iter().map(volume).collect());
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(rows)
}

pub fn volume(found: models::Volume) -> Volume {
    let mut labels: Vec<_> = found.labels.into_iter().collect();
    labels.sort();
    Volume {
        anonymous: labels.iter().any(|(name, _)| name == ANONYMOUS) || is_random(&found.name),
        compose_project: labels.iter().find(|(name, _)| name == PROJECT).map(|(_, project)| project.clone()),
        name: found.name,
        driver: found.driver,
        created_unix_ms: found.created_at.as_deref().and_then(unix_ms).unwrap_or_default(),
        labels,
        binned: None,
    }
}

fn is_random(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Built-in ones last, the others by name. Only inspecting one tells who is on it.
pub async fn networks(docker: &Docker) -> Result<Vec<Network>, Error> {
    let listed = match docker.list_networks(None::<ListNetworksOptions>).await {
        Err(Error::DockerResponseServerError { status_code: 404 | 501, .. }) => return Ok(Vec::new()),
        listed => listed?,
    };
    let ids = listed.into_iter().filter_map(|network| network.id);
    let inspected = stream::iter(ids).map(|id| async move {
        match docker.inspect_network(&id, None::<InspectNetworkOptions>).await {
            Ok(found) => Ok(Some(network(found))),
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(err) => Err(err),
        }
    });
    let rows: Vec<Option<Network>> = inspected.buffered(AT_ONCE).try_collect().await?;
    let mut rows: Vec<_> = rows.into_iter().flatten().collect();
    rows.sort_by(|a, b| (a.builtin, &a.name).cmp(&(b.builtin, &b.name)));
    Ok(rows)
}

fn network(found: models::Network) -> Network {
    let name = found.name.unwrap_or_default();
    let ipam = found.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
    let project = found.labels.as_ref().and_then(|labels| labels.get(PROJECT).cloned());
    Network {
        id: found.id.unwrap_or_default(),
        builtin: matches!(name.as_str(), "bridge" | "host" | "none"),
        driver: found.driver.unwrap_or_default(),
        internal: found.internal.unwrap_or_default(),
        ipv6: found.enable_ipv6.unwrap_or_default(),
        subnets: ipam.iter().filter_map(|config| config.subnet.clone()).collect(),
        gateways: ipam.into_iter().filter_map(|config| config.gateway).collect(),
        created_unix_ms: found.created.as_deref().and_then(unix_ms).unwrap_or_default(),
        compose_project: project,
        members: members(found.containers.unwrap_or_default()),
        name,
    }
}

fn members(found: HashMap<String, models::NetworkContainer>) -> Vec<Member> {
    let member = |(id, container): (String, models::NetworkContainer)| Member {
        id,
        name: container.name.unwrap_or_default().trim_start_matches('/').to_owned(),
        address: container
            .ipv4_address
            .filter(|address| !address.is_empty())
            .or(container.ipv6_address)
            .unwrap_or_default(),
    };
    let mut members: Vec<_> = found.into_iter().map(member).collect();
    members.sort_by(|a, b| a.name.cmp(&b.name));
    members
}
