//! Create: a request becomes a record, a writable layer and a name, or leaves nothing behind.

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use cubby_image::{ImageConfig, Platform, snapshot};

use super::{
    Container, Containers,
    model::{Config, CreateRequest, Created, Endpoint, Healthcheck, HostConfig, Record, Sequence, State},
    names, random_id,
    spec::defaults,
    windows,
};
use crate::{
    error::{Error, Result},
    images::Image,
    logs::LogOptions,
    networks::NetworkMode,
};

/// How to create, beside what.
#[derive(Clone, Debug, Default)]
pub struct CreateOptions {
    /// Only an image of this platform will do.
    pub platform: Option<Platform>,
    /// What is mounted below a read-only mount stays writable, as it was before API 1.44.
    pub flat_read_only: bool,
}

impl Containers {
    /// Creates a container. `name`: with or without slash; `None` invents one.
    ///
    /// # Errors
    /// Invalid requests, unknown images and networks, taken names: in dockerd's words, with nothing left behind.
    pub async fn create(&self, name: Option<&str>, request: CreateRequest) -> Result<Created> {
        self.create_for(name, request, CreateOptions::default()).await
    }

    /// [`Containers::create`] with what is not part of the container.
    ///
    /// # Errors
    /// As there; not found when the image is of another platform than the one asked for.
    pub async fn create_for(
        &self,
        name: Option<&str>,
        request: CreateRequest,
        CreateOptions { platform, flat_read_only }: CreateOptions,
    ) -> Result<Created> {
        let CreateRequest { config, host_config: mut host, networking_config } = request;
        let Some(mut config) = config else {
            return Err(Error::invalid("config cannot be empty in order to create a container"));
        };
        if self.parts.config.in_guest {
            windows::translate(&mut host);
        }
        let mut warnings = self.check(&mut config, &mut host)?;
        let image = if config.image.is_empty() { None } else { Some(self.parts.images.find(&config.image)?) };
        if let Some(image) = &image {
            image.must_fit(&config.image, platform.as_ref())?;
            merge(&mut config, image.config());
            warnings.extend(self.platform_warning(image).filter(|_| platform.is_none()));
        }
        let (path, args) = command(&mut config)?;
        LogOptions::check(&host.log_config)?;
        if host.storage_opt.as_ref().is_some_and(|options| !options.is_empty()) {
            // Why not invalid: to dockerd it is the storage's failure, not the request's.
            return Err(Error::internal(
                "--storage-opt is supported only for overlay over xfs with 'pquota' mount option",
            ));
        }
        if host.masked_paths.is_none() && !host.privileged {
            host.masked_paths = Some(defaults::masked_paths());
        }
        if host.readonly_paths.is_none() && !host.privileged {
            host.readonly_paths = Some(defaults::readonly_paths());
        }
        let networks = networks(&config, &host, networking_config.endpoints)?;
        let links = self.links_of(&host)?;
        let id = random_id()?;
        if config.hostname.is_empty() {
            config.hostname = match host.network_mode.as_str() {
                "host" => self.parts.host.hostname.clone(),
                _ => id[..12].to_owned(),
            };
        }
        let record = Record {
            name: self.take_name(name, &id)?,
            id,
            created: SystemTime::now(),
            path,
            args,
            config,
            host_config: host,
            image_id: image.map(|image| image.id.to_string()).unwrap_or_default(),
            state: State::default(),
            restart_count: 0,
            mounts: Vec::new(),
            networks,
            ports: BTreeMap::new(),
            sandbox_key: String::new(),
            links,
            linked_env: Vec::new(),
            started_before: false,
            manually_stopped: false,
            starting: false,
            remove_volumes: false,
            complete: false,
        };
        let id = record.id.clone();
        match self.build(record, flat_read_only).await {
            Ok(record) => self.event(&record, "create", &[]),
            Err(error) => {
                self.table_mut().remove(&id);
                return Err(error);
            }
        }
        Ok(Created { id, warnings })
    }

    /// Intent, work, commit. On error the work is undone; the name is the caller's to release.
    async fn build(&self, mut record: Record, flat_read_only: bool) -> Result<Arc<Record>> {
        self.save(&record)?;
        let built = async {
            self.register_mounts(&mut record).await?;
            for mount in record.mounts.iter_mut().filter(|mount| flat_read_only && !mount.point.rw) {
                mount.spec.bind_options.get_or_insert_default().read_only_non_recursive = true;
            }
            self.save(&record)?;
            let directory = self.directory(&record.id);
            let made = tokio::task::spawn_blocking(move || snapshot::prepare(&directory)).await;
            let made = made.map_err(|error| Error::internal(format!("container directory: {error}")))?;
            made.map_err(|source| Error::system("create the container's directory", source))?;
            self.fill_volumes(&record).await?;
            record.complete = true;
            self.save(&record)
        }
        .await;
        if let Err(error) = built {
            self.undo_create(&record).await;
            return Err(error);
        }
        let container = Container::new(record);
        let record = container.record();
        self.table_mut().insert(container);
        // Why only now: the image may have been removed since `find`, by someone who did not see this container yet.
        if !record.image_id.is_empty() && self.image_of(&record).is_none() {
            self.undo_create(&record).await;
            return Err(Error::not_found(format!("No such image: {}", record.config.image)));
        }
        Ok(record)
    }

    /// Removes what an unfinished create has made; also after a crash.
    pub(super) async fn undo_create(&self, record: &Record) {
        self.remove_anonymous_volumes(record).await;
        self.remove_directory(&record.id).await;
        if let Err(error) = self.parts.state.delete(super::KIND, &record.id) {
            tracing::error!(container_id = record.id, err = %error, "unfinished container could not be forgotten");
        }
    }

    fn take_name(&self, wanted: Option<&str>, id: &str) -> Result<String> {
        if let Some(wanted) = wanted.filter(|name| !name.is_empty()) {
            let name = names::check(wanted)?;
            self.table_mut().reserve(name, id)?;
            return Ok(name.to_owned());
        }
        for attempt in 0..6 {
            let name = names::invent(attempt);
            if self.table_mut().reserve(&name, id).is_ok() {
                return Ok(name);
            }
        }
        let name = id[..12].to_owned();
        self.table_mut().reserve(&name, id)?;
        Ok(name)
    }

    /// The image a container stands on, also when its names are gone.
    pub(crate) fn image_of(&self, record: &Record) -> Option<Arc<Image>> {
        self.parts.images.retained(&record.image_id.parse().ok()?)
    }

    fn platform_warning(&self, image: &Image) -> Option<String> {
        let ours = self.parts.host.go_arch;
        let theirs = image.platform();
        (theirs.architecture != ours && !theirs.architecture.is_empty()).then(|| {
            format!(
                "The requested image's platform ({}/{}) does not match the detected host platform (linux/{ours}) and \
                 no specific platform was requested",
                theirs.os, theirs.architecture
            )
        })
    }
}

/// The networks asked for, by the name they were asked by.
fn networks(
    config: &Config,
    host: &HostConfig,
    wanted: BTreeMap<String, Option<Endpoint>>,
) -> Result<BTreeMap<String, Endpoint>> {
    let mode = NetworkMode::parse(&host.network_mode);
    let mut networks: BTreeMap<String, Endpoint> = BTreeMap::new();
    let Some(first) = mode.network() else {
        return match wanted.is_empty() {
            true => Ok(networks),
            false => Err(Error::invalid(
                "conflicting options: cannot attach both user-defined and non-user-defined network-modes",
            )),
        };
    };
    for (name, endpoint) in wanted {
        let name = if name == "default" { first.to_owned() } else { name };
        let endpoint = endpoint.unwrap_or_default();
        check_endpoint(&name, &endpoint)?;
        if !mode.is_private() && name != first {
            return Err(Error::invalid(
                "conflicting options: cannot attach both user-defined and non-user-defined network-modes",
            ));
        }
        networks.insert(name, endpoint);
    }
    let endpoint = networks.entry(first.to_owned()).or_default();
    if endpoint.mac_address.is_empty() {
        endpoint.mac_address = config.mac_address.clone();
    }
    Ok(networks)
}

fn check_endpoint(network: &str, endpoint: &Endpoint) -> Result<()> {
    let refuse = |fault: String| {
        Err(Error::invalid(format!("invalid config for network {network}: invalid endpoint settings:\n{fault}")))
    };
    let ipam = endpoint.ipam_config.clone().unwrap_or_default();
    if !ipam.ipv4_address.is_empty() && ipam.ipv4_address.parse::<std::net::Ipv4Addr>().is_err() {
        return refuse(format!("invalid IPv4 address: {}", ipam.ipv4_address));
    }
    if !ipam.ipv6_address.is_empty() && ipam.ipv6_address.parse::<std::net::Ipv6Addr>().is_err() {
        return refuse(format!("invalid IPv6 address: {}", ipam.ipv6_address));
    }
    let mac = &endpoint.mac_address;
    let parts: Vec<&str> = mac.split([':', '-']).collect();
    if !mac.is_empty() && (parts.len() != 6 || parts.iter().any(|part| u8::from_str_radix(part, 16).is_err())) {
        return refuse(format!("invalid MAC address: {mac}"));
    }
    Ok(())
}

/// Entrypoint and arguments.
fn command(config: &mut Config) -> Result<(String, Vec<String>)> {
    if config.entrypoint.as_ref().is_some_and(|words| words.0 == [""]) {
        config.entrypoint = None;
    }
    let entrypoint = config.entrypoint.iter().flat_map(|words| words.0.iter());
    let mut words = entrypoint.chain(config.cmd.iter().flat_map(|words| words.0.iter())).cloned();
    let path = words.next().ok_or_else(|| Error::invalid("no command specified"))?;
    let args: Vec<String> = words.collect();
    if path.contains('\0') || args.iter().any(|word| word.contains('\0')) {
        return Err(Error::invalid("command contains a NUL byte"));
    }
    Ok((path, args))
}

/// Fills a request with what its image says. Source: moby daemon/commit.go `merge`.
fn merge(config: &mut Config, image: &ImageConfig) {
    if config.user.is_empty() {
        config.user = image.user.clone();
    }
    for port in image.exposed_ports.iter().flatten().map(|(port, _)| port) {
        config.exposed_ports.get_or_insert_default().entry(port.clone()).or_default();
    }
    let env = config.env.get_or_insert_default();
    let key = |pair: &str| pair.split('=').next().unwrap_or_default().to_owned();
    let given: Vec<String> = env.iter().map(|pair| key(pair)).collect();
    env.extend(image.env.iter().filter(|pair| !given.contains(&key(pair))).cloned());
    for (label, value) in image.labels.iter().flatten() {
        config.labels.get_or_insert_default().entry(label.clone()).or_insert_with(|| value.clone());
    }
    config.labels.get_or_insert_default();
    if config.entrypoint.as_ref().is_none_or(|words| words.0.is_empty()) {
        if config.cmd.as_ref().is_none_or(|words| words.0.is_empty()) {
            config.cmd = image.cmd.clone().map(Sequence);
        }
        if config.entrypoint.is_none() {
            config.entrypoint = image.entrypoint.clone().map(Sequence);
        }
    }
    if config.working_dir.is_empty() {
        config.working_dir = image.working_dir.clone();
    }
    for volume in image.volumes.iter().flatten().map(|(volume, _)| volume) {
        config.volumes.get_or_insert_default().entry(volume.clone()).or_default();
    }
    if config.stop_signal.is_empty() {
        config.stop_signal = image.stop_signal.clone().unwrap_or_default();
    }
    if config.shell.is_none() {
        config.shell = image.shell.clone().map(Sequence);
    }
    merge_health(config, image);
}

fn merge_health(config: &mut Config, image: &ImageConfig) {
    let Some(theirs) = &image.healthcheck else { return };
    let ours = config.healthcheck.get_or_insert_with(Healthcheck::default);
    if ours.test.is_empty() {
        ours.test = theirs.test.clone();
    }
    for (ours, theirs) in [
        (&mut ours.interval, theirs.interval),
        (&mut ours.timeout, theirs.timeout),
        (&mut ours.start_period, theirs.start_period),
        (&mut ours.start_interval, theirs.start_interval),
        (&mut ours.retries, theirs.retries),
    ] {
        if *ours == 0 {
            *ours = theirs;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> ImageConfig {
        ImageConfig {
            env: vec!["PATH=/bin".into(), "A=image".into()],
            entrypoint: Some(vec!["/entry".into()]),
            cmd: Some(vec!["default".into()]),
            user: "app".into(),
            working_dir: "/srv".into(),
            ..ImageConfig::default()
        }
    }

    fn words(words: &[&str]) -> Option<Sequence> {
        Some(Sequence(words.iter().map(|&word| word.to_owned()).collect()))
    }

    #[test]
    fn the_request_wins_and_the_image_fills() {
        let mut config = Config { env: Some(vec!["A=mine".into()]), ..Config::default() };
        merge(&mut config, &image());
        assert_eq!(config.env(), ["A=mine", "PATH=/bin"]);
        assert_eq!((config.user.as_str(), config.working_dir.as_str()), ("app", "/srv"));
        assert_eq!(command(&mut config).unwrap(), ("/entry".to_owned(), vec!["default".to_owned()]));
    }

    #[test]
    fn a_command_replaces_the_images_and_an_entrypoint_both() {
        let mut config = Config { cmd: words(&["mine"]), ..Config::default() };
        merge(&mut config, &image());
        assert_eq!(command(&mut config).unwrap(), ("/entry".to_owned(), vec!["mine".to_owned()]));
        let mut config = Config { entrypoint: words(&["/mine"]), ..Config::default() };
        merge(&mut config, &image());
        assert_eq!(command(&mut config).unwrap(), ("/mine".to_owned(), Vec::<String>::new()));
        let mut config = Config { entrypoint: words(&[""]), cmd: words(&["sh"]), ..Config::default() };
        merge(&mut config, &image());
        assert_eq!(command(&mut config).unwrap().0, "sh");
        assert_eq!(command(&mut Config::default()).unwrap_err().message(), "no command specified");
    }

    #[test]
    fn endpoints_are_checked() {
        let endpoint = Endpoint { mac_address: "zz:00:00:00:00:00".into(), ..Endpoint::default() };
        assert!(check_endpoint("a", &endpoint).is_err());
        let endpoint = Endpoint { mac_address: "02:42:ac:11:00:02".into(), ..Endpoint::default() };
        assert!(check_endpoint("a", &endpoint).is_ok());
    }
}
