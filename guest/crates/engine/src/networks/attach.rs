//! What the containers part asks of [`super::Networks`] and what it gets.

use std::{collections::HashMap, net::IpAddr, os::fd::OwnedFd};

use bollard_stubs::models::EndpointSettings;

use super::NetworkMode;
use crate::error::Result;

/// A container that is about to start.
#[derive(Debug)]
pub struct Join {
    pub container_id: String,
    /// Without the leading slash.
    pub name: String,
    pub hostname: String,
    pub domainname: String,
    pub mode: NetworkMode,
    /// The networks the container shall be on, by name or id, with what the user asked for each; may be empty, then
    /// `mode` alone decides. Filled endpoints of an earlier run may be given back as they are.
    pub endpoints: HashMap<String, EndpointSettings>,
    pub dns: Dns,
    /// `name:address` of `--add-host`; the address may be `host-gateway`.
    pub extra_hosts: Vec<String>,
    /// `container:alias` of `--link`.
    pub links: Vec<String>,
    /// What `host-gateway` means. `None`: the gateway of the container's first network.
    pub host_gateway: Option<IpAddr>,
}

/// `--dns`, `--dns-search`, `--dns-option`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dns {
    pub servers: Vec<String>,
    pub search: Vec<String>,
    pub options: Vec<String>,
}

/// A container's place in the network, ready for its process.
#[derive(Debug, Default)]
pub struct Joined {
    /// `None` in mode `host`: share the engine's namespace.
    pub netns: Option<OwnedFd>,
    /// Names the sandbox in `NetworkSettings.SandboxID`.
    pub sandbox_id: String,
    /// By network name, filled: what inspect shows and what is given to [`super::Networks::rejoin`] later.
    pub endpoints: HashMap<String, EndpointSettings>,
    /// Contents of `/etc/hosts` and `/etc/resolv.conf`. With mode `container:…` the other container's files count
    /// instead.
    pub hosts: String,
    pub resolv_conf: String,
    /// Where published ports lead: the address on the network that has the default route.
    pub address: Option<IpAddr>,
}

/// A running container that an earlier engine left.
#[derive(Debug)]
pub struct Rejoin {
    pub container_id: String,
    pub name: String,
    pub hostname: String,
    pub mode: NetworkMode,
    /// `/proc/<pid>/ns/net` of its first process; not needed for mode `host`.
    pub netns: Option<OwnedFd>,
    /// As in [`Joined::endpoints`].
    pub endpoints: HashMap<String, EndpointSettings>,
    pub dns: Dns,
    pub links: Vec<String>,
}

/// A container as the networks part needs to see it.
#[derive(Clone, Debug)]
pub struct NetworkUser {
    pub container_id: String,
    pub name: String,
    pub mode: NetworkMode,
    /// Has a process now: its endpoints are live.
    pub running: bool,
    /// By network name, filled or as asked for.
    pub endpoints: HashMap<String, EndpointSettings>,
}

/// The containers part, seen from the networks part. Registered by [`super::Networks::set_users`].
pub trait NetworkUsers: Send + Sync + 'static {
    /// By id, unambiguous prefix of an id, or name.
    ///
    /// # Errors
    /// `No such container: …`.
    fn network_user(&self, name_or_id: &str) -> Result<NetworkUser>;

    /// Writes an endpoint into the container's record (`Some`) or removes it (`None`). Called after a live change and
    /// for stopped containers instead of one. Must not call back into the networks part.
    ///
    /// # Errors
    /// When the record cannot be kept.
    fn record_endpoint(&self, container_id: &str, network: &str, endpoint: Option<EndpointSettings>) -> Result<()>;
}
