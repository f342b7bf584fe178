//! Start-up: what an earlier engine left is taken back, finished or undone.
//!
//! | found | becomes |
//! |---|---|
//! | create not finished | undone |
//! | removal not finished | finished |
//! | running, process kept | taken back with its streams, or ended with its exact exit code |
//! | running, process unknown (the machine restarted) | exited 255, then what its restart policy says |
//! | process without a record | killed |

use std::{collections::HashMap, os::fd::OwnedFd, sync::Arc, time::SystemTime};

use cubby_runtime::{Kept, Namespace, NamespaceKind};

use super::{
    Container, Containers, KIND,
    container::Live,
    model::{PortMap, Record},
    ports,
    remove::RemoveOptions,
    start::{cgroup_parent, reshape},
};
use crate::{
    error::{Error, Result},
    networks::{Dns, NetworkMode, Rejoin},
    ports::Publication,
};

/// The exit code of a container whose process died with its machine. Source: moby daemon/daemon.go `restore`.
const DIED_WITH_MACHINE: i32 = 255;

pub(super) async fn restore(containers: &Arc<Containers>) -> Result<()> {
    let failed = |source| Error::system("read the containers' records", source);
    let (records, unreadable) = containers.parts.state.all::<Record>(KIND).map_err(failed)?;
    for error in unreadable {
        tracing::error!(err = %error, "container record is not readable; the container is ignored");
    }
    let mut kept: HashMap<String, Kept> = HashMap::new();
    let adopted = containers.parts.runtime.adopt().await;
    for process in adopted.map_err(|source| Error::system("ask the keeper what it keeps", source))? {
        kept.insert(process.key.clone(), process);
    }
    containers.empty_trash();
    let mut standing = Vec::new();
    for (id, record) in records {
        if !record.complete {
            tracing::info!(container_id = id, "undoing an unfinished create");
            containers.undo_create(&record).await;
        } else if record.state.removing || record.state.dead {
            tracing::info!(container_id = id, "finishing a removal");
            containers.give_back(&record).await;
            containers.give_back_cgroup(&record).await;
            let mounts = if record.remove_volumes { record.mounts.clone() } else { Vec::new() };
            containers.undo_create(&Record { mounts, ..record }).await;
        } else {
            standing.push(containers.enter(record));
        }
    }
    let mut to_start = Vec::new();
    for container in standing {
        let process = kept.remove(&container.id);
        let record = container.record();
        if record.starting {
            containers.undo_start(&container, process).await;
        } else if record.state.running {
            containers.take_back(&container, process).await;
        }
        let record = container.record();
        if containers.wants_start(&container) {
            to_start.push(container);
        } else if record.host_config.auto_remove && record.started_before && !record.state.running {
            containers.remove_after_crash(container);
        }
    }
    containers.journal.sweep();
    for (key, process) in kept {
        discard(containers, &key, process).await;
    }
    for container in to_start {
        let me = containers.clone();
        tokio::spawn(async move {
            if let Err(error) = me.start_container(&container, false).await {
                tracing::warn!(container_id = container.id, err = %error, "container was not started again");
            }
        });
    }
    Ok(())
}

/// A process that belongs to no container: an exec whose client has gone ends with its container, the rest is killed.
async fn discard(containers: &Containers, key: &str, process: Kept) {
    let is_exec = process.meta == crate::exec::META;
    if process.exited.is_none() && !is_exec {
        tracing::warn!(container_id = key, "a process without a container is killed");
        if let Err(error) = cubby_runtime::signal(&process.process.pidfd, super::signals::KILL) {
            tracing::debug!(container_id = key, err = %error, "it has ended already");
        }
    }
    if let Err(error) = containers.parts.runtime.release(key).await {
        tracing::warn!(container_id = key, err = %error, "the keeper could not be told to forget a process");
    }
}

impl Containers {
    fn enter(&self, record: Record) -> Arc<Container> {
        let container = Container::new(record);
        let record = container.record();
        let mut table = self.table_mut();
        if let Err(error) = table.reserve(&record.name, &record.id) {
            tracing::error!(container_id = record.id, err = %error, "two containers have one name");
        }
        table.insert(container.clone());
        container
    }

    /// A start that a crash interrupted. Its process may run already, with nobody who knew it: it goes.
    async fn undo_start(&self, container: &Arc<Container>, process: Option<Kept>) {
        tracing::info!(container_id = container.id, "undoing an unfinished start");
        if let Some(process) = process {
            discard(self, &container.id, process).await;
        }
        let record = container.record();
        self.give_back(&record).await;
        self.give_back_cgroup(&record).await;
        self.note(container, |record| {
            record.starting = false;
            record.state.running = false;
            record.state.restarting = false;
        });
    }

    async fn take_back(&self, container: &Arc<Container>, process: Option<Kept>) {
        let record = container.record();
        let taken = match process {
            None => false,
            Some(_) if record.state.restarting => false,
            Some(kept) => self.adopt(container, &record, kept).await,
        };
        if !taken {
            tracing::info!(container_id = record.id, "container did not outlive its machine");
            self.give_back(&record).await;
            self.give_back_cgroup(&record).await;
            let restarting = record.state.restarting;
            self.note(container, |record| {
                record.state.running = false;
                record.state.restarting = false;
                record.state.paused = false;
                record.state.pid = 0;
                if !restarting {
                    record.state.exit_code = DIED_WITH_MACHINE;
                    record.state.finished_at = Some(SystemTime::now());
                }
                record.ports = PortMap::new();
            });
        }
    }

    /// True when the container goes on under this engine (its end may be known already).
    async fn adopt(&self, container: &Arc<Container>, record: &Arc<Record>, kept: Kept) -> bool {
        let log = match self.reopen_log(record) {
            Ok(log) => log,
            Err(error) => {
                tracing::error!(container_id = record.id, err = %error, "the log of a running container cannot be opened");
                return false;
            }
        };
        let ended = kept.exited.is_some();
        let netns = (!ended).then(|| Namespace::of(&kept.process.pidfd, NamespaceKind::Network).ok()).flatten();
        let cgroup = match self.parts.cgroups.open(cgroup_parent(record), &record.id) {
            Ok(cgroup) => cgroup,
            Err(error) => {
                tracing::error!(container_id = record.id, err = %error, "no cgroup of a running container");
                return false;
            }
        };
        if let Err(error) = self.take_process(container, kept.process, log, cgroup, None) {
            tracing::error!(container_id = record.id, err = %error, "the output of a running container cannot be read");
            return false;
        }
        for mount in record.mounts.iter().filter(|mount| mount.point.kind == "volume") {
            self.parts.volumes.remount(&mount.point.name, &record.id);
        }
        if !ended {
            self.rejoin(record, netns.map(|namespace| namespace.fd)).await;
            self.republish(container, record).await;
            self.watch_oom(container);
            self.watch_health(container);
        }
        self.watch_exit(container.clone());
        true
    }

    async fn rejoin(&self, record: &Record, netns: Option<OwnedFd>) {
        let host = &record.host_config;
        let list = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
        let endpoints = record.networks.iter();
        let rejoin = Rejoin {
            container_id: record.id.clone(),
            name: record.name.clone(),
            hostname: record.config.hostname.clone(),
            mode: NetworkMode::parse(&host.network_mode),
            netns,
            endpoints: endpoints.filter_map(|(name, endpoint)| Some((name.clone(), reshape(endpoint)?))).collect(),
            dns: Dns { servers: list(&host.dns), search: list(&host.dns_search), options: list(&host.dns_options) },
            links: self.link_texts(record),
        };
        if let Err(error) = self.parts.networks.rejoin(rejoin).await {
            tracing::error!(container_id = record.id, err = %error, "a running container lost its place in the network");
        }
    }

    /// Opens the same host ports again.
    async fn republish(&self, container: &Container, record: &Record) {
        let address = record.networks.values().find_map(|endpoint| {
            let shown = [&endpoint.ip_address, &endpoint.global_ipv6_address];
            shown.into_iter().find_map(|text| text.parse().ok())
        });
        let (Some(address), Some(publisher)) = (address, &self.parts.publisher) else { return };
        let Ok((names, mut wanted)) = ports::wanted(record, address) else { return };
        if wanted.is_empty() {
            return;
        }
        let mut before: HashMap<&String, Vec<u16>> = HashMap::new();
        for (port, bindings) in &record.ports {
            let ports = bindings.iter().flatten().filter_map(|binding| binding.host_port.parse().ok());
            before.insert(port, ports.rev().collect());
        }
        for (name, port) in names.iter().zip(&mut wanted) {
            if let Some(host_port) = before.get_mut(name).and_then(Vec::pop) {
                (port.host_port, port.host_port_end) = (host_port, host_port);
            }
        }
        match publisher.publish(&record.id, &record.name, wanted.clone()).await {
            Ok(publication) => {
                if let Err(error) = self.parts.networks.open_ports(&record.id, &wanted, &publication.host_ports).await {
                    tracing::error!(container_id = record.id, err = %error, "ports of a running container stay closed");
                }
                set_publication(container, publication);
            }
            Err(error) => {
                tracing::error!(container_id = record.id, err = %error, "ports of a running container stay closed");
            }
        }
    }

    /// `--rm` promised so.
    fn remove_after_crash(&self, container: Arc<Container>) {
        let me = self.me();
        tokio::spawn(async move {
            let options = RemoveOptions { force: true, volumes: true, ..RemoveOptions::default() };
            if let Err(error) = me.remove_container(&container, options).await {
                tracing::warn!(container_id = container.id, err = %error, "container was not removed after its end");
            }
        });
    }

    /// Source: moby daemon/daemon.go `restore`, restartmanager.
    fn wants_start(&self, container: &Container) -> bool {
        let record = container.record();
        if record.state.running || !record.started_before || record.host_config.auto_remove {
            return false;
        }
        match record.host_config.restart_policy.name.as_str() {
            "always" => true,
            "unless-stopped" => !record.manually_stopped,
            "on-failure" => record.state.exit_code == DIED_WITH_MACHINE,
            _ => false,
        }
    }
}

fn set_publication(container: &Container, publication: Publication) {
    if let Some(Live { publication: slot, .. }) = container.live().as_mut() {
        *slot = Some(publication);
    }
}
