//! What a container shares with others at its start: namespaces, `/dev/shm`, and trees of images.

use std::{os::fd::OwnedFd, path::PathBuf, sync::Arc};

use cubby_image::snapshot::{self, Access};
use cubby_runtime::{Namespace, NamespaceKind, OwnerMap};

use super::{
    Container, Containers,
    model::{MountRecord, Record},
    sources,
    spec::ReadyMount,
};
use crate::{
    error::{Error, Result},
    host_files::{self, Source},
};

/// The user's mounts, and the descriptors of those that have no path.
#[derive(Default)]
pub(super) struct Mounts {
    pub ready: Vec<ReadyMount>,
    pub detached: Vec<OwnedFd>,
}

impl Mounts {
    fn attach(&mut self, tree: OwnedFd, destination: String, read_only: bool, subpath: String) {
        let index = self.detached.len();
        self.detached.push(tree);
        self.ready.push(ReadyMount::Detached { index, destination, read_only, subpath });
    }
}

impl Containers {
    /// Namespaces of other containers, by descriptor: a pid could become another process's meanwhile.
    ///
    /// # Errors
    /// As dockerd: a container that is not there or does not run is the system's fault for process ids, a bad request
    /// or a conflict for the others.
    pub(super) fn shared_namespaces(&self, record: &Record) -> Result<Vec<Namespace>> {
        let host = &record.host_config;
        if let Some(other) = host.network_container() {
            self.network_donor(record, other)?;
        }
        let mut namespaces = Vec::new();
        if let Some(other) = host.ipc_mode.strip_prefix("container:") {
            namespaces.push(namespace_of(&*self.ipc_donor(other)?, NamespaceKind::Ipc)?);
        }
        if let Some(other) = host.pid_mode.strip_prefix("container:") {
            let joined = self.running(other).and_then(|other| namespace_of(&other, NamespaceKind::Pid));
            namespaces.push(joined.map_err(|error| {
                Error::internal(format!("failed to join PID namespace: {}", error.message())).with_source(error)
            })?);
        }
        Ok(namespaces)
    }

    /// The network part hands over the namespace itself.
    fn network_donor(&self, record: &Record, name: &str) -> Result<()> {
        let other = self
            .find(name)
            .map_err(|error| Error::internal(format!("joining network namespace of container: {}", error.message())))?;
        if other.id == record.id {
            return Err(Error::internal("cannot join own network namespace"));
        }
        let other = other.record();
        let name = &other.name;
        match other.state.status() {
            "running" | "paused" => Ok(()),
            "restarting" => Err(Error::conflict(format!(
                "cannot join network namespace of container: Container {name} is restarting, wait until the container \
                 is running"
            ))),
            status => Err(Error::conflict(format!(
                "cannot join network namespace of a non running container: container {name} is {status}"
            ))),
        }
    }

    fn ipc_donor(&self, name: &str) -> Result<Arc<Container>> {
        let other = self.running(name)?;
        match other.record().host_config.ipc_mode.as_str() {
            "shareable" => Ok(other),
            _ => Err(Error::invalid(format!(
                "container {name}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)"
            ))),
        }
    }

    fn running(&self, name: &str) -> Result<Arc<Container>> {
        let other = self.find(name).map_err(|error| Error::invalid(error.message()))?;
        let state = &other.record().state;
        if state.restarting {
            return Err(Error::conflict(format!(
                "Container {name} is restarting, wait until the container is running"
            )));
        }
        if !state.running {
            return Err(super::kill::not_running(name));
        }
        Ok(other)
    }

    /// Every mount of the user's, its source in place.
    pub(super) async fn ready_mounts(&self, record: &Arc<Record>, owner: Option<OwnerMap>) -> Result<Mounts> {
        let mut mounts = Mounts::default();
        for mount in &record.mounts {
            match mount.point.kind.as_str() {
                "image" => {
                    let subpath = mount.spec.image_options.as_ref().map_or("", |options| &options.subpath);
                    let tree = self.image_tree(mount).await?;
                    if !subpath.is_empty() {
                        // Why now: the child that attaches it has other words for what it does not find.
                        sources::open_below(&tree, subpath)?;
                    }
                    mounts.attach(tree, mount.point.destination.clone(), true, subpath.to_owned());
                }
                "volume" => {
                    let directory = self.parts.volumes.mount(&mount.point.name, &record.id).await?;
                    mounts.ready.push(sources::ready(mount, Some(directory)).await?);
                }
                "bind" if self.parts.config.in_guest => self.bind_from_host(mount, owner, &mut mounts).await?,
                _ => mounts.ready.push(sources::ready(mount, None).await?),
            }
        }
        for (target, options) in record.host_config.tmpfs.iter().flatten() {
            mounts.ready.push(sources::tmpfs(target, options)?);
        }
        super::propagation::check(&mounts.ready, &self.parts.config.data_root).map_err(Error::internal)?;
        let has_shm = mounts.ready.iter().any(|mount| mount.destination() == SHM);
        if let Some(other) = record.host_config.ipc_mode.strip_prefix("container:").filter(|_| !has_shm) {
            let donor = self.ipc_donor(other)?;
            let copied = tokio::task::spawn_blocking(move || shm_of(&donor)).await;
            let tree = copied.map_err(|error| Error::internal(format!("shared memory: {error}")))??;
            mounts.attach(tree, SHM.to_owned(), false, String::new());
        }
        Ok(mounts)
    }

    /// In the guest a source is the host's, or one of the few that are the guest's own.
    async fn bind_from_host(&self, mount: &MountRecord, owner: Option<OwnerMap>, mounts: &mut Mounts) -> Result<()> {
        let (path, create) = (mount.point.source.clone(), mount.create_source);
        let recursive = !mount.spec.bind_options.as_ref().is_some_and(|options| options.non_recursive);
        let found = tokio::task::spawn_blocking(move || {
            let source = match host_files::find(&path)? {
                Some(source) => source,
                None if create => host_files::make(&path)?,
                None => return Err(super::mounts::no_bind_source(&path)),
            };
            match source {
                Source::Guest(path) => Ok(Err(path)),
                Source::Host(found) => host_files::cut_out(&found, recursive)
                    .map(|tree| Ok(host_files::owned_by(tree, owner)))
                    .map_err(|source| Error::system(format!("mount {path} of the host"), source)),
            }
        });
        match found.await.map_err(|error| Error::internal(format!("mount: {error}")))?? {
            Ok(tree) => mounts.attach(tree, mount.point.destination.clone(), !mount.point.rw, String::new()),
            Err(path) => mounts.ready.push(sources::bind(mount, path)),
        }
        Ok(())
    }

    /// An image's files, read-only, attached nowhere.
    async fn image_tree(&self, mount: &MountRecord) -> Result<OwnedFd> {
        let no_such = || Error::not_found(format!("No such image: {}", mount.point.name));
        let id = mount.spec.source.parse().map_err(|_| no_such())?;
        let image = self.parts.images.retained(&id).ok_or_else(no_such)?;
        let mut lowers: Vec<PathBuf> = image.lower_dirs.to_vec();
        let empty = self.parts.config.data_root.join("layers").join("empty");
        if !lowers.contains(&empty) {
            // Why: overlayfs wants two layers.
            lowers.push(empty);
        }
        let made = tokio::task::spawn_blocking(move || snapshot::mount_detached(&lowers, Access::ReadOnly)).await;
        made.map_err(|error| Error::internal(format!("image mount: {error}")))?
            .map_err(|source| Error::system(format!("mount image {}", mount.point.name), source))
    }
}

const SHM: &str = "/dev/shm";

fn namespace_of(container: &Container, kind: NamespaceKind) -> Result<Namespace> {
    let pidfd = container.live().as_ref().map(|live| live.pidfd.clone());
    let pidfd = pidfd.ok_or_else(|| super::kill::not_running(&container.id))?;
    Namespace::of(&*pidfd, kind)
        .map_err(|source| Error::system(format!("join a namespace of container {}", container.id), source))
}

/// The shared memory of a running container: the same filesystem, mounted once more and attached nowhere.
fn shm_of(container: &Container) -> Result<OwnedFd> {
    let pidfd = container.live().as_ref().map(|live| live.pidfd.clone());
    let pidfd = pidfd.ok_or_else(|| super::kill::not_running(&container.id))?;
    cubby_runtime::shared_mount(&*pidfd, SHM)
        .map_err(|source| Error::system(format!("share {SHM} of container {}", container.id), source))
}
