//! `-v`, `--mount`, `--volumes-from` and the image's volumes: read, checked, and given their volumes.
//! Source: moby volume/mounts linux_parser.go, daemon/volumes.go.

use std::{collections::HashMap, path::Path};

use bollard_stubs::models::VolumeCreateOptions;

use super::{
    Containers,
    files::copy_up,
    model::{BindOptions, DriverConfig, MountPoint, MountRecord, MountSpec, Record, VolumeOptions},
    propagation, random_id, sources,
};
use crate::{
    error::{Error, Result},
    host_files,
};

const PROPAGATIONS: &[&str] = &["private", "rprivate", "slave", "rslave", "shared", "rshared"];
const DEFAULT_PROPAGATION: &str = "rprivate";

/// Go's `path.Clean` of an absolute path.
pub fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// True for a relative path that stays below its start. Source: Go `filepath.IsLocal`.
pub fn is_local(path: &str) -> bool {
    let mut depth = 0i32;
    !path.is_empty()
        && !path.starts_with('/')
        && path.split('/').all(|part| {
            depth += match part {
                "" | "." => 0,
                ".." => -1,
                _ => 1,
            };
            depth >= 0
        })
}

/// A place inside the container.
pub fn check_target(target: &str) -> Result<()> {
    target_fault(target).map_or(Ok(()), |fault| Err(Error::invalid(fault)))
}

fn target_fault(target: &str) -> Option<String> {
    if !target.starts_with('/') {
        Some(format!("invalid mount path: '{target}' mount path must be absolute"))
    } else if clean(target) == "/" {
        Some("invalid specification: destination can't be '/'".to_owned())
    } else {
        target.contains('\0').then(|| format!("invalid mount path: {target:?}"))
    }
}

/// Checks one of `HostConfig.Mounts`. `exists`: a bind's source must be there.
pub fn check_spec(spec: &MountSpec, exists: bool) -> Result<()> {
    match spec_fault(spec, exists) {
        None => Ok(()),
        Some(fault) => Err(Error::invalid(format!("invalid mount config for type {:?}: {fault}", spec.kind))),
    }
}

fn spec_fault(spec: &MountSpec, exists: bool) -> Option<String> {
    let extra = |name: &str| Some(format!("field {name} must not be specified"));
    let missing = |name: &str| Some(format!("field {name} must not be empty"));
    if spec.target.is_empty() {
        return missing("Target");
    }
    if let Some(fault) = target_fault(&spec.target) {
        return Some(fault);
    }
    let misplaced = [
        ("BindOptions", spec.bind_options.is_some(), "bind"),
        ("VolumeOptions", spec.volume_options.is_some(), "volume"),
        ("ImageOptions", spec.image_options.is_some(), "image"),
        ("TmpfsOptions", spec.tmpfs_options.is_some(), "tmpfs"),
    ];
    if !matches!(spec.kind.as_str(), "bind" | "volume" | "tmpfs" | "image") {
        return Some("mount type unknown".to_owned());
    }
    if let Some((name, ..)) = misplaced.iter().find(|(_, given, kind)| *given && spec.kind != *kind) {
        return extra(name);
    }
    match spec.kind.as_str() {
        "bind" => bind_fault(spec, exists),
        "volume" => volume_fault(spec),
        "tmpfs" => {
            if !spec.source.is_empty() {
                return extra("Source");
            }
            let options = spec.tmpfs_options.clone().unwrap_or_default();
            let known = |option: &Vec<String>| matches!(option.first().map(String::as_str), Some("exec" | "noexec"));
            match options.options.iter().flatten().find(|option| !known(option)) {
                Some(option) => Some(format!("invalid option: {}", option.join("="))),
                None => (options.size_bytes < 0).then(|| "invalid size".to_owned()),
            }
        }
        _ if spec.source.is_empty() => missing("Source"),
        _ => match spec.image_options.as_ref().map(|options| options.subpath.as_str()) {
            Some(subpath) if !subpath.is_empty() && !is_local(subpath) => Some(INVALID_SUBPATH.to_owned()),
            _ => None,
        },
    }
}

const INVALID_SUBPATH: &str = "subpath must be a relative path within the volume";

fn bind_fault(spec: &MountSpec, exists: bool) -> Option<String> {
    if spec.source.is_empty() {
        return Some("field Source must not be empty".to_owned());
    }
    let options = spec.bind_options.clone().unwrap_or_default();
    if !options.propagation.is_empty() && !PROPAGATIONS.contains(&options.propagation.as_str()) {
        return Some(format!("invalid propagation mode: {}", options.propagation));
    }
    if !spec.source.starts_with('/') {
        return Some(format!("invalid mount path: '{}' mount path must be absolute", spec.source));
    }
    let absent = exists && !options.create_mountpoint && !Path::new(&spec.source).exists();
    absent.then(|| format!("bind source path does not exist: {}", spec.source))
}

fn volume_fault(spec: &MountSpec) -> Option<String> {
    let anonymous = spec.source.is_empty();
    if let Some(options) = spec.volume_options.as_ref().filter(|options| !options.subpath.is_empty()) {
        if anonymous {
            return Some("must not set Subpath when using anonymous volumes".to_owned());
        }
        if !is_local(&options.subpath) {
            return Some(INVALID_SUBPATH.to_owned());
        }
    }
    (spec.read_only && anonymous).then(|| "must not set ReadOnly mode when using anonymous volumes".to_owned())
}

/// Reads `source:target:mode` of `HostConfig.Binds`.
pub fn parse_bind(raw: &str, driver: &str) -> Result<MountRecord> {
    let invalid = || Error::invalid(format!("invalid volume specification: '{raw}'"));
    let parts: Vec<&str> = raw.splitn(4, ':').collect();
    let (source, target, mode) = match parts.as_slice() {
        [target] => ("", *target, ""),
        [source, target] if !is_mode(target) => (*source, *target, ""),
        [source, target, mode] => (*source, *target, *mode),
        _ => return Err(invalid()),
    };
    if parts[0].is_empty() {
        return Err(invalid());
    }
    if !is_mode(mode) {
        return Err(Error::invalid(format!("invalid mode: {mode}")));
    }
    let words: Vec<&str> = mode.split(',').collect();
    let mut spec = MountSpec {
        kind: if source.starts_with('/') { "bind" } else { "volume" }.to_owned(),
        source: source.to_owned(),
        target: target.to_owned(),
        read_only: words.contains(&"ro"),
        ..MountSpec::default()
    };
    if spec.kind == "volume" && (!driver.is_empty() || words.contains(&"nocopy")) {
        let driver_config = (!driver.is_empty()).then(|| DriverConfig { name: driver.to_owned(), options: None });
        spec.volume_options =
            Some(VolumeOptions { no_copy: words.contains(&"nocopy"), driver_config, ..VolumeOptions::default() });
    }
    if let Some(propagation) = words.iter().find(|word| PROPAGATIONS.contains(word)) {
        if spec.kind == "volume" {
            return Err(Error::invalid(format!(
                "invalid volume specification: '{raw}': invalid mount config for type \"volume\": field BindOptions must not be specified"
            )));
        }
        spec.bind_options = Some(BindOptions { propagation: (*propagation).to_owned(), ..BindOptions::default() });
    }
    if let Some(fault) = spec_fault(&spec, false) {
        return Err(Error::invalid(format!(
            "invalid volume specification: '{raw}': invalid mount config for type {:?}: {fault}",
            spec.kind
        )));
    }
    let mut mount = resolve(spec);
    mount.create_source = true;
    mount.point.mode = mode.to_owned();
    Ok(mount)
}

/// Words like `ro,z,rslave`, each kind at most once.
fn is_mode(mode: &str) -> bool {
    if mode.is_empty() {
        return true;
    }
    let mut seen = [0; 5];
    mode.split(',').all(|word| {
        let kind = match word {
            "rw" | "ro" => 0,
            "z" | "Z" => 1,
            "nocopy" => 2,
            "consistent" | "cached" | "delegated" => 3,
            word if PROPAGATIONS.contains(&word) => 4,
            _ => return false,
        };
        seen[kind] += 1;
        seen[kind] == 1
    })
}

/// A checked wish as a mount that has no volume yet.
fn resolve(spec: MountSpec) -> MountRecord {
    let mut point = MountPoint {
        kind: spec.kind.clone(),
        destination: clean(&spec.target),
        rw: !spec.read_only,
        ..MountPoint::default()
    };
    let mut copy_up = false;
    match spec.kind.as_str() {
        "volume" => {
            point.name = spec.source.clone();
            let options = spec.volume_options.clone().unwrap_or_default();
            point.driver = options.driver_config.unwrap_or_default().name;
            copy_up = !options.no_copy;
        }
        "bind" => {
            point.source = clean(&spec.source);
            let options = spec.bind_options.clone().unwrap_or_default();
            point.propagation =
                if options.propagation.is_empty() { DEFAULT_PROPAGATION.to_owned() } else { options.propagation };
        }
        "image" => {
            point.name = spec.source.clone();
            point.propagation = DEFAULT_PROPAGATION.to_owned();
            point.rw = false;
        }
        _ => {}
    }
    let create_source = spec.bind_options.as_ref().is_some_and(|options| options.create_mountpoint);
    MountRecord { point, spec, copy_up, create_source, anonymous: false }
}

impl Containers {
    /// Every mount of a new container, its volumes created. On error the volumes made for it alone are gone again.
    pub(super) async fn register_mounts(&self, record: &mut Record) -> Result<()> {
        record.mounts = self.collect_mounts(record)?;
        // Why before the volumes: a crash must find the names of those to take back.
        self.save(record)?;
        for index in 0..record.mounts.len() {
            if let Err(error) = self.make_volume(&mut record.mounts[index]).await {
                self.remove_anonymous_volumes(record).await;
                return Err(error);
            }
        }
        Ok(())
    }

    /// In the guest no bind's source is beside our data.
    fn follow_our_data(&self, mount: &mut MountRecord) -> Result<()> {
        match self.parts.config.in_guest {
            true => Ok(()),
            false => propagation::follow_our_data(mount, &self.parts.config.data_root).map_err(Error::invalid),
        }
    }

    fn collect_mounts(&self, record: &Record) -> Result<Vec<MountRecord>> {
        let host = &record.host_config;
        let mut mounts = Vec::new();
        for from in host.volumes_from.iter().flatten() {
            for mount in self.volumes_from(from)? {
                put(&mut mounts, mount);
            }
        }
        let mut taken: Vec<String> = Vec::new();
        let duplicate = |target: &str| Err(Error::invalid(format!("Duplicate mount point: {target}")));
        let tmpfs: Vec<String> = host.tmpfs.iter().flatten().map(|(target, _)| clean(target)).collect();
        for bind in host.binds.iter().flatten() {
            let mut mount = parse_bind(bind, &host.volume_driver)?;
            self.follow_our_data(&mut mount)?;
            let target = mount.point.destination.clone();
            if taken.contains(&target) || tmpfs.contains(&target) {
                return duplicate(&target);
            }
            taken.push(target);
            self.check_host_source(&mount)?;
            put(&mut mounts, self.pinned(mount)?);
        }
        for spec in host.mounts.iter().flatten() {
            check_spec(spec, !self.parts.config.in_guest)?;
            let mut mount = resolve(spec.clone());
            self.follow_our_data(&mut mount)?;
            if taken.contains(&mount.point.destination) {
                return duplicate(&spec.target);
            }
            taken.push(mount.point.destination.clone());
            self.check_host_source(&mount)?;
            put(&mut mounts, self.pinned(mount)?);
        }
        for target in record.config.volumes.iter().flatten().map(|(target, _)| clean(target)) {
            let covered = tmpfs.contains(&target) || mounts.iter().any(|mount| mount.point.destination == target);
            if !covered {
                check_target(&target)?;
                let spec = MountSpec { kind: "volume".into(), target, ..MountSpec::default() };
                put(&mut mounts, self.pinned(resolve(spec))?);
            }
        }
        Ok(mounts)
    }

    /// In the guest a bind's source is on the host: one that is not shared, or not there, is told now.
    fn check_host_source(&self, mount: &MountRecord) -> Result<()> {
        if !self.parts.config.in_guest || mount.point.kind != "bind" {
            return Ok(());
        }
        match host_files::find(&mount.point.source)? {
            None if !mount.create_source => Err(no_bind_source(&mount.point.source)),
            _ => Ok(()),
        }
    }

    fn volumes_from(&self, text: &str) -> Result<Vec<MountRecord>> {
        if text.is_empty() {
            return Err(Error::invalid("volumes-from specification cannot be an empty string"));
        }
        let (name, mode) = text.split_once(':').unwrap_or((text, "rw"));
        if !matches!(mode, "rw" | "ro" | "z" | "Z" | "") {
            return Err(Error::invalid(format!("invalid mode: {mode}")));
        }
        let other = self.find(name).map_err(|error| Error::invalid(error.message()))?.record();
        let mounts = other.mounts.iter().cloned().map(|mut mount| {
            mount.point.rw &= mode != "ro";
            mount.copy_up = false;
            mount.anonymous = false;
            mount
        });
        Ok(mounts.collect())
    }

    /// Names an anonymous volume.
    fn pinned(&self, mut mount: MountRecord) -> Result<MountRecord> {
        match mount.spec.kind.as_str() {
            "volume" if mount.point.name.is_empty() => {
                mount.anonymous = true;
                mount.point.name = random_id()?;
            }
            "image" => {
                // Why the id: what the name means may change before the start.
                mount.spec.source = self.parts.images.find(&mount.spec.source)?.id.to_string();
            }
            _ => {}
        }
        Ok(mount)
    }

    /// Creates or finds the mount's volume; one that came from another container has its place already.
    async fn make_volume(&self, mount: &mut MountRecord) -> Result<()> {
        if mount.point.kind != "volume" || !mount.point.source.is_empty() {
            return Ok(());
        }
        let options = mount.spec.volume_options.clone().unwrap_or_default();
        let driver = options.driver_config.unwrap_or_default();
        let mut labels: HashMap<String, String> = options.labels.unwrap_or_default().into_iter().collect();
        if mount.anonymous {
            labels.insert("com.docker.volume.anonymous".to_owned(), String::new());
        }
        let request = VolumeCreateOptions {
            name: Some(mount.point.name.clone()),
            driver: (!driver.name.is_empty()).then_some(driver.name),
            driver_opts: driver.options.map(|options| options.into_iter().collect()),
            labels: Some(labels),
            ..VolumeCreateOptions::default()
        };
        let volume = self.parts.volumes.create(request).await?;
        mount.point.source = volume.mountpoint;
        mount.point.driver = volume.driver;
        if mount.point.mode.is_empty() {
            mount.point.mode = "z".to_owned();
        }
        Ok(())
    }

    /// Gives empty volumes what the image has at their places.
    pub(super) async fn fill_volumes(&self, record: &Record) -> Result<()> {
        let wanted: Vec<MountRecord> =
            record.mounts.iter().filter(|mount| mount.copy_up && mount.point.kind == "volume").cloned().collect();
        if wanted.is_empty() || record.image_id.is_empty() {
            return Ok(());
        }
        for mount in wanted {
            let name = mount.point.name.clone();
            let directory = self.parts.volumes.mount(&name, &record.id).await?;
            let (me, of) = (self.me(), record.clone());
            let copied = tokio::task::spawn_blocking(move || {
                let subpath = mount.spec.volume_options.as_ref().map_or("", |options| &options.subpath);
                let directory = match subpath {
                    "" => directory,
                    subpath => match sources::below(&directory, subpath) {
                        Ok(directory) if directory.is_dir() => directory,
                        // The start tells what is wrong with it; a file has no room for anything.
                        _ => return Ok(()),
                    },
                };
                copy_up(&me.image_files(&of)?, &mount.point.destination, &directory)
            });
            let copied = copied.await.map_err(|error| Error::internal(error.to_string()));
            self.parts.volumes.unmount(&name, &record.id).await;
            copied??;
        }
        Ok(())
    }

    /// Removes the volumes that were made for this container alone; named ones and shared ones stay.
    pub(super) async fn remove_anonymous_volumes(&self, record: &Record) {
        for mount in record.mounts.iter().filter(|mount| mount.anonymous) {
            if let Err(error) = self.parts.volumes.remove(&mount.point.name, true).await {
                tracing::debug!(volume = mount.point.name, err = %error, "anonymous volume stays");
            }
        }
    }
}

/// As dockerd, of a source that nobody is to make.
pub(super) fn no_bind_source(path: &str) -> Error {
    Error::invalid(format!("invalid mount config for type \"bind\": bind source path does not exist: {path}"))
}

/// A later mount takes an earlier one's place.
fn put(mounts: &mut Vec<MountRecord>, mount: MountRecord) {
    mounts.retain(|other| other.point.destination != mount.point.destination);
    mounts.push(mount);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binds_are_read_as_dockerd_does() {
        let bind = parse_bind("/src:/dst:ro,rslave", "").unwrap();
        assert_eq!(
            (bind.point.source.as_str(), bind.point.destination.as_str(), bind.point.rw),
            ("/src", "/dst", false)
        );
        assert_eq!((bind.point.kind.as_str(), bind.point.propagation.as_str()), ("bind", "rslave"));
        let volume = parse_bind("data:/var/../data/:nocopy", "").unwrap();
        assert_eq!((volume.point.name.as_str(), volume.point.destination.as_str()), ("data", "/data"));
        assert!(!volume.copy_up);
        assert_eq!(parse_bind("/only", "").unwrap().point.name, "");
        for bad in ["", ":/a", "/a:rw", "a:b:c:d", "/a:/b:bogus", "/a:b", "/a:/", "x:/y:ro,rw", "x:/y:rslave"] {
            assert!(parse_bind(bad, "").is_err(), "{bad}");
        }
        assert_eq!(parse_bind("/a:/b:bogus", "").unwrap_err().message(), "invalid mode: bogus");
    }

    #[test]
    fn specs_are_checked() {
        let spec = |kind: &str, source: &str, target: &str| MountSpec {
            kind: kind.into(),
            source: source.into(),
            target: target.into(),
            ..MountSpec::default()
        };
        assert!(check_spec(&spec("bind", "/", "/x"), true).is_ok());
        assert_eq!(
            check_spec(&spec("bind", "/no/such", "/x"), true).unwrap_err().message(),
            "invalid mount config for type \"bind\": bind source path does not exist: /no/such"
        );
        assert_eq!(
            check_spec(&spec("bogus", "", "/x"), true).unwrap_err().message(),
            "invalid mount config for type \"bogus\": mount type unknown"
        );
        assert!(check_spec(&spec("tmpfs", "a", "/x"), true).is_err());
        assert!(check_spec(&spec("volume", "v", ""), true).is_err());
        let mut subpath = spec("volume", "v", "/x");
        subpath.volume_options = Some(VolumeOptions { subpath: "../up".into(), ..VolumeOptions::default() });
        assert!(check_spec(&subpath, true).is_err());
    }

    #[test]
    fn local_paths_stay_below_their_start() {
        assert!(is_local("a/b") && is_local("a/../b") && !is_local("a/../../b") && !is_local("/a") && !is_local(""));
        assert_eq!(clean("/a/./b//../c/"), "/a/c");
        assert_eq!(clean("/../.."), "/");
    }
}
