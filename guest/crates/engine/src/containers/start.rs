//! Start: everything a process needs, in order, and all of it undone when something fails.

use std::{
    os::fd::OwnedFd,
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime},
};

use cubby_runtime::{
    Namespace, NamespaceKind, OwnerMap, Spawn, SpawnError, Spawned, Stdio, Target, WinSize, cgroup::Cgroup,
    seccomp::Program,
};
use oci_spec::runtime::Spec;

use super::{
    Container, Containers,
    container::Live,
    files_owner::files_owner,
    model::{Endpoint, PortMap, Record},
    netfiles, ports,
    remove::RemoveOptions,
    sharing::Mounts,
    spec::{self, Context, FileMounts, Security},
    streams,
    users::{Accounts, User},
};
use crate::{
    error::{Error, ErrorKind, Result},
    logs::{Log, LogOptions, Subject},
    networks::{Dns, Join, Joined, NetworkMode},
    ports::Publication,
};

/// The parent of containers' cgroups, unless they ask for another.
pub(crate) const CGROUP_PARENT: &str = "cubby";

pub(super) fn cgroup_parent(record: &Record) -> &str {
    match record.host_config.resources.cgroup_parent.as_str() {
        "" => CGROUP_PARENT,
        parent => parent,
    }
}

/// Why a start failed: for the client, and as the exit code that the container keeps.
struct Failure {
    error: Error,
    exit_code: i32,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, exit_code: 128 }
    }
}

/// What the files of a container tell, and the mount they are on.
struct Rootfs {
    mount: OwnedFd,
    user: User,
    /// Whose the host's files shall be.
    owner: Option<OwnerMap>,
}

impl Containers {
    /// Starts a container.
    ///
    /// # Errors
    /// Not modified when it runs already; conflicts; and whatever keeps its process from running, worded as dockerd does.
    pub async fn start(&self, name: &str) -> Result<()> {
        let container = self.find(name)?;
        self.settled(&container).await;
        let state = &container.record().state;
        if state.paused {
            return Err(Error::conflict("cannot start a paused container, try unpause instead"));
        }
        if state.running {
            return Err(Error::not_modified());
        }
        self.start_container(&container, true).await
    }

    /// `by_hand`: a client asks, not the restart policy.
    pub(super) async fn start_container(&self, container: &Arc<Container>, by_hand: bool) -> Result<()> {
        let transition = container.transition.lock().await;
        let record = container.record();
        if by_hand && record.state.running {
            return Ok(());
        }
        if record.state.removing || record.state.dead {
            return Err(Error::conflict("container is marked for removal and cannot be started"));
        }
        if self.is_shutting_down() {
            return Err(Error::new(ErrorKind::Unavailable, "the engine is shutting down"));
        }
        if by_hand {
            container.stay_stopped.send_replace(false);
            *container.backoff.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Duration::ZERO;
        }
        self.change(container, |record| {
            record.starting = true;
            if by_hand {
                record.restart_count = 0;
                record.manually_stopped = false;
            }
        })?;
        let Err(failure) = self.launch(container).await else {
            container.restarting_by_hand.store(false, Ordering::Release);
            return Ok(());
        };
        self.end_failed_start(container, &failure).await;
        drop(transition);
        if container.record().host_config.auto_remove {
            let options = RemoveOptions { force: true, volumes: true, ..RemoveOptions::default() };
            if let Err(error) = self.remove_container(container, options).await {
                tracing::error!(container_id = container.id, err = %error, "container stays after its failed start");
            }
        }
        Err(failure.error)
    }

    async fn end_failed_start(&self, container: &Arc<Container>, failure: &Failure) {
        self.give_back(&container.record()).await;
        self.give_back_cgroup(&container.record()).await;
        let text = failure.error.message().to_owned();
        let code = failure.exit_code;
        self.note(container, |record| {
            record.starting = false;
            record.state.error = text.clone();
            record.state.exit_code = code;
            record.ports = PortMap::new();
        });
        container.streams.stdout.close();
        container.streams.stderr.close();
        container.streams.stdin.close();
        container.streams.stdin.reset();
        container.remember_failure(code);
    }

    /// Gives back what a start took and a stop must return. Every step is fine with nothing to do.
    pub(super) async fn give_back(&self, record: &Record) {
        self.parts.networks.leave(&record.id).await;
        for mount in record.mounts.iter().filter(|mount| mount.point.kind == "volume") {
            self.parts.volumes.unmount(&mount.point.name, &record.id).await;
        }
    }

    pub(super) async fn give_back_cgroup(&self, record: &Record) {
        match self.parts.cgroups.open(cgroup_parent(record), &record.id) {
            Ok(cgroup) => self.remove_cgroup(&record.id, cgroup).await,
            Err(error) => tracing::warn!(container_id = record.id, err = %error, "cgroup stays"),
        }
    }

    pub(super) async fn remove_cgroup(&self, id: &str, cgroup: Cgroup) {
        let removed = tokio::task::spawn_blocking(move || {
            // Why: with a shared process namespace the first process's end is not everybody's.
            let killed = cgroup.kill_all();
            cgroup.remove(Duration::from_secs(2)).and(killed)
        });
        if let Ok(Err(error)) = removed.await {
            tracing::warn!(container_id = id, err = %error, "cgroup stays");
        }
    }

    async fn launch(&self, container: &Arc<Container>) -> Result<(), Failure> {
        let record = container.record();
        let security = Security::parse(&record.host_config)?;
        let join = self.shared_namespaces(&record)?;
        let joined = self.join_network(&record).await?;
        let files = self.network_files(&record, joined.as_ref()).await?;
        let rootfs = self.open_rootfs(&record).await?;
        let outside = self.outside(&record, &rootfs.mount).await?;
        let record = match [outside.env, self.linked_environment(&record)].concat() {
            env if env == record.linked_env => record,
            env => self.note(container, |record| record.linked_env = env),
        };
        let Mounts { mut ready, detached } = self.ready_mounts(&record, rootfs.owner).await?;
        ready.extend(outside.mount);
        let context = Context { record: &record, user: &rootfs.user, security: &security, mounts: ready, files };
        let spec = spec::build(context).map_err(Error::internal)?;
        let seccomp = security.filter(&record.host_config).map_err(Error::internal)?;
        let cgroup = self.make_cgroup(&record, &spec).await?;
        let (publication, ports) = self.publish(&record, joined.as_ref()).await?;
        let log = self.open_log(&record)?;
        let mut namespaces = join;
        let (endpoints, sandbox_key) = match joined {
            Some(joined) => {
                namespaces.extend(joined.netns.map(|fd| Namespace { kind: NamespaceKind::Network, fd }));
                (convert(joined.endpoints), joined.sandbox_id)
            }
            None => Default::default(),
        };
        let target = Target::Container {
            rootfs: rootfs.mount,
            join: namespaces,
            mounts: detached,
            init: record.host_config.pid_mode.is_empty() && record.host_config.init == Some(true),
        };
        let process = self.spawn(&record, spec, target, &cgroup, seccomp).await?;
        let pid = process.pid;
        self.take_process(container, process, log, cgroup, Some(publication))
            .map_err(|source| Error::system("read the container's output", source))?;
        // A client's input that ended before the start ended without the keeper knowing of the process.
        if container.streams.stdin.is_closed() {
            self.close_stdin(&record.id, &container.streams).await;
        }
        let record = self.note(container, |record| {
            record.state = crate::containers::model::State {
                running: true,
                pid,
                started_at: Some(SystemTime::now()),
                finished_at: record.state.finished_at,
                ..Default::default()
            };
            record.started_before = true;
            record.starting = false;
            record.networks.extend(endpoints);
            record.ports = ports;
            record.sandbox_key = sandbox_key;
        });
        self.watch_oom(container);
        self.watch_health(container);
        self.event(&record, "start", &[]);
        self.watch_exit(container.clone());
        Ok(())
    }

    /// Connects a process's streams; the container is live from here on.
    pub(super) fn take_process(
        &self,
        container: &Arc<Container>,
        mut process: Spawned,
        log: Arc<Log>,
        cgroup: Cgroup,
        publication: Option<Publication>,
    ) -> std::io::Result<()> {
        let pumps = streams::start((&mut process).into(), &container.streams, Some(&log))?;
        let pidfd = Arc::new(process.pidfd);
        *container.live() = Some(Live { pidfd, log, pumps: Some(pumps), cgroup, publication, health: None, oom: None });
        Ok(())
    }

    async fn spawn(
        &self,
        record: &Record,
        spec: Spec,
        target: Target,
        cgroup: &Cgroup,
        seccomp: Option<Arc<Program>>,
    ) -> Result<Spawned, Failure> {
        let [rows, cols] = record.host_config.console_size.map(|n| u16::try_from(n).unwrap_or_default());
        let spawn = Spawn {
            key: record.id.clone(),
            meta: Vec::new(),
            spec: Arc::new(spec),
            target,
            stdio: Stdio { tty: record.config.tty.then_some(WinSize { rows, cols }), stdin: record.config.open_stdin },
            cgroup: Some(cgroup.path().clone()),
            seccomp,
        };
        self.parts.runtime.spawn(spawn).await.map_err(|error| {
            const PREFIX: &str = "failed to create task for container: failed to create shim task: OCI runtime create \
                                  failed: runc create failed";
            match error {
                SpawnError::Runtime(error) => Error::system("start the container's process", error).into(),
                error => failure(format!("{PREFIX}: {error}: unknown")),
            }
        })
    }

    async fn make_cgroup(&self, record: &Record, spec: &Spec) -> Result<Cgroup> {
        let resources = spec.linux().as_ref().and_then(|linux| linux.resources().clone());
        let (cgroups, id, parent) = (self.parts.cgroups.clone(), record.id.clone(), cgroup_parent(record).to_owned());
        let made = tokio::task::spawn_blocking(move || cgroups.create(&parent, &id, resources.as_ref())).await;
        made.map_err(|error| Error::internal(format!("cgroup: {error}")))?
            .map_err(|source| Error::system("create the container's cgroup", source))
    }

    fn open_log(&self, record: &Record) -> Result<Arc<Log>> {
        let options = LogOptions::parse(&record.host_config.log_config)?;
        let attributes = options.attributes(&Subject {
            id: &record.id,
            name: &record.name,
            image: &record.config.image,
            image_id: &record.image_id,
            command: super::list::command(record),
            labels: record.config.labels().map(|(key, value)| (key.clone(), value.clone())).collect(),
            env: record.config.env(),
        });
        let path = self.log_path(record);
        if let Some(parent) = path.as_deref().and_then(std::path::Path::parent) {
            std::fs::create_dir_all(parent).map_err(|source| Error::system("create the log's directory", source))?;
        }
        let log = Log::open(path.as_deref(), options, attributes)
            .and_then(|log| log.with_journal(self.journal.clone(), record.id.clone()));
        log.map(Arc::new).map_err(|source| Error::system("open the container's log", source))
    }

    pub(super) fn reopen_log(&self, record: &Record) -> Result<Arc<Log>> {
        self.open_log(record)
    }

    /// Mounts the root filesystem, finds the user in it, makes the working directory. Blocking work on its own thread.
    async fn open_rootfs(&self, record: &Arc<Record>) -> Result<Rootfs> {
        let (me, record) = (self.me(), record.clone());
        let opened = tokio::task::spawn_blocking(move || {
            let mount = me.mount_root(&record)?;
            let accounts =
                Accounts::read(&mount).map_err(|source| Error::system("read the container's accounts", source))?;
            let groups = record.host_config.group_add.clone().unwrap_or_default();
            let user = accounts.resolve(&record.config.user, &groups).map_err(Error::internal)?;
            let cwd = &record.config.working_dir;
            if !cwd.is_empty() {
                super::sources::make_directories(&mount, cwd)
                    .map_err(|source| Error::system(format!("create the working directory {cwd}"), source))?;
            }
            let owner = files_owner(&record, &accounts, &user);
            Ok(Rootfs { mount, user, owner })
        });
        opened.await.map_err(|error| Error::internal(format!("root filesystem: {error}")))?
    }

    async fn join_network(&self, record: &Record) -> Result<Option<Joined>, Failure> {
        if record.config.network_disabled {
            return Ok(None);
        }
        let host = &record.host_config;
        let list = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
        let join = Join {
            container_id: record.id.clone(),
            name: record.name.clone(),
            hostname: record.config.hostname.clone(),
            domainname: record.config.domainname.clone(),
            mode: NetworkMode::parse(&host.network_mode),
            endpoints: record
                .networks
                .iter()
                .filter_map(|(name, endpoint)| Some((name.clone(), reshape(&endpoint)?)))
                .collect(),
            dns: Dns { servers: list(&host.dns), search: list(&host.dns_search), options: list(&host.dns_options) },
            extra_hosts: list(&host.extra_hosts),
            links: self.link_texts(record),
            host_gateway: self.parts.publisher.as_ref().and_then(|publisher| publisher.host_gateway()),
        };
        match self.parts.networks.join(join).await {
            Ok(joined) => Ok(Some(joined)),
            Err(error) => {
                let text = format!("failed to set up container networking: {}", error.message());
                Err(Error::new(error.kind(), text).with_source(error).into())
            }
        }
    }

    async fn network_files(&self, record: &Record, joined: Option<&Joined>) -> Result<FileMounts> {
        if let Some(other) = record.host_config.network_container() {
            return Ok(netfiles::paths(&self.directory(&self.find(other)?.id)));
        }
        let (hosts, resolv) =
            joined.map(|joined| (joined.hosts.clone(), joined.resolv_conf.clone())).unwrap_or_default();
        let (directory, hostname) = (self.directory(&record.id), record.config.hostname.clone());
        let written =
            tokio::task::spawn_blocking(move || netfiles::write(&directory, &hostname, &hosts, &resolv)).await;
        written
            .map_err(|error| Error::internal(format!("network files: {error}")))?
            .map_err(|source| Error::system("write the container's network files", source))
    }

    async fn publish(&self, record: &Record, joined: Option<&Joined>) -> Result<(Publication, PortMap), Failure> {
        let nothing = Publication { host_ports: Vec::new(), guard: Box::new(()) };
        let address = joined.and_then(|joined| joined.address);
        let Some(address) = address.filter(|_| NetworkMode::parse(&record.host_config.network_mode).is_private())
        else {
            return Ok((nothing, PortMap::new()));
        };
        let (names, wanted) = ports::wanted(record, address)?;
        if wanted.is_empty() {
            return Ok((nothing, ports::published(record, &[], &[], &[])));
        }
        let Some(publisher) = &self.parts.publisher else {
            return Err(Error::not_implemented("this engine publishes no ports").into());
        };
        let failed = |error: Error| {
            Error::new(
                error.kind(),
                format!(
                    "failed to set up container networking: driver failed programming external connectivity on \
                     endpoint {} ({}): {}",
                    record.name,
                    joined
                        .and_then(|joined| joined.endpoints.values().next()?.endpoint_id.as_deref())
                        .unwrap_or_default(),
                    error.message()
                ),
            )
        };
        let published = publisher.publish(&record.id, &record.name, wanted.clone()).await.map_err(failed)?;
        self.parts.networks.open_ports(&record.id, &wanted, &published.host_ports).await.map_err(failed)?;
        let map = ports::published(record, &names, &wanted, &published.host_ports);
        Ok((published, map))
    }
}

/// The same endpoint in the shape of the networks part, or back.
pub(super) fn reshape<A: serde::Serialize, B: serde::de::DeserializeOwned>(endpoint: &A) -> Option<B> {
    serde_json::from_value(serde_json::to_value(endpoint).ok()?).ok()
}

fn convert(
    endpoints: std::collections::HashMap<String, bollard_stubs::models::EndpointSettings>,
) -> Vec<(String, Endpoint)> {
    endpoints.iter().filter_map(|(name, endpoint)| Some((name.clone(), reshape(endpoint)?))).collect()
}

/// What runc's words mean for the client. Source: moby daemon/errors.go `setExitCodeFromError`.
pub(crate) fn start_failure(text: String) -> (Error, i32) {
    let lower = text.to_lowercase();
    if lower.contains("permission denied") {
        (Error::invalid(text), 126)
    } else if lower.contains("is a directory") {
        (Error::invalid(format!("{text}: permission denied")), 126)
    } else if lower.contains("not a directory") {
        let hint = "Are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host path \
                    exists and is the expected type";
        (Error::invalid(format!("{text}: {hint}")), 127)
    } else if lower.contains("executable file not found") || lower.contains("no such file or directory") {
        (Error::invalid(text), 127)
    } else {
        (Error::new(ErrorKind::System, text), 128)
    }
}

fn failure(text: String) -> Failure {
    let (error, exit_code) = start_failure(text);
    Failure { error, exit_code }
}
