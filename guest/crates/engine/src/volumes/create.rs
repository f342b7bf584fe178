//! Creating volumes.

use std::{collections::HashMap, fs, os::unix::fs::PermissionsExt, sync::Arc, time::SystemTime};

use bollard_stubs::models::{Volume, VolumeCreateOptions};

use super::{
    Live, VOLUME, Volumes,
    record::{ANONYMOUS, VolumeRecord},
};
use crate::{
    error::{Error, Result},
    timestamps::rfc3339_nano,
};

/// Options of the `local` driver. Source: moby volume/local/local_unix.go.
const OPTIONS: [&str; 3] = ["type", "device", "o"];

impl Volumes {
    /// Creates a volume, or finds the one that has the name already. Without a name it is anonymous (64 hex digits, label
    /// `com.docker.volume.anonymous`).
    ///
    /// # Errors
    /// Invalid for bad names and options, not found for unknown drivers.
    pub async fn create(self: &Arc<Self>, request: VolumeCreateOptions) -> Result<Volume> {
        self.blocking(move |volumes| volumes.create_blocking(request)).await
    }

    fn create_blocking(&self, request: VolumeCreateOptions) -> Result<Volume> {
        let record = complete(request)?;
        let name = record.name.clone();
        {
            let mut table = self.table();
            if let Some(live) = table.get(&name) {
                if live.doomed {
                    return Err(Error::conflict(format!("volume {name} is being removed")));
                }
                return Ok(self.show(&live.record));
            }
            let stored = self.state.put(VOLUME, &name, &record);
            stored.map_err(|source| Error::system(format!("keep volume {name}"), source))?;
            table.insert(name.clone(), Live::new(record.clone()));
        }
        if let Err(error) = self.make_directory(&name) {
            if let Err(error) = self.state.delete(VOLUME, &name) {
                tracing::warn!(volume = %name, err = %error, "half-made volume could not be forgotten");
            }
            self.table().remove(&name);
            return Err(error);
        }
        self.publish("create", &name, None);
        Ok(self.show(&record))
    }

    /// The volume's own directory is closed to everybody but root; its data directory is the container's to change.
    fn make_directory(&self, name: &str) -> Result<()> {
        let (dir, data) = (self.dir.join(name), self.data(name));
        let made = fs::create_dir_all(&data)
            .and_then(|()| fs::set_permissions(&dir, fs::Permissions::from_mode(0o701)))
            .and_then(|()| fs::set_permissions(&data, fs::Permissions::from_mode(0o755)));
        made.map_err(|source| Error::system(format!("create volume {name}"), source))
    }
}

fn complete(request: VolumeCreateOptions) -> Result<VolumeRecord> {
    let driver = request.driver.unwrap_or_default();
    if !matches!(driver.as_str(), "" | "local" | "default") {
        let name = request.name.unwrap_or_default();
        return Err(Error::not_found(format!(
            "create {name}: error looking up volume plugin {driver}: plugin {driver:?} not found"
        )));
    }
    if request.cluster_volume_spec.is_some() {
        return Err(Error::not_implemented("cluster volumes are not supported"));
    }
    let mut labels = request.labels.unwrap_or_default();
    let name = match request.name.filter(|name| !name.is_empty()) {
        Some(name) => checked(name)?,
        None => {
            labels.insert(ANONYMOUS.to_owned(), String::new());
            (0..4).map(|_| format!("{:016x}", fastrand::u64(..))).collect()
        }
    };
    let options = request.driver_opts.unwrap_or_default();
    check_options(&options).map_err(|error| Error::invalid(format!("create {name}: {error}")))?;
    let now = rfc3339_nano(SystemTime::now());
    let created = now.split('.').next().map_or(now.clone(), |seconds| format!("{}Z", seconds.trim_end_matches('Z')));
    Ok(VolumeRecord { name, created, labels, options })
}

fn checked(name: String) -> Result<String> {
    if name.len() < 2 {
        let message = "volume name is too short, names should be at least two alphanumeric characters";
        return Err(Error::invalid(format!("create {name}: {message}")));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if name.len() > 255 || !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(plain) {
        return Err(Error::invalid(format!(
            "create {name}: \"{name}\" includes invalid characters for a local volume name, only \
             \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
        )));
    }
    Ok(name)
}

fn check_options(options: &HashMap<String, String>) -> Result<(), String> {
    if options.is_empty() {
        return Ok(());
    }
    let mut names: Vec<_> = options.keys().map(String::as_str).collect();
    names.sort_unstable();
    if names.contains(&"size") {
        return Err("quota size requested but no quota support".to_owned());
    }
    if let Some(unknown) = names.iter().find(|name| !OPTIONS.contains(name)) {
        return Err(format!("invalid option: \"{unknown}\""));
    }
    match ["device", "type"].iter().find(|name| !names.contains(name)) {
        Some(missing) => Err(format!("missing required option: \"{missing}\"")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_options_are_checked() {
        let refused = |name: &str, options: &[(&str, &str)]| {
            let options = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            let request =
                VolumeCreateOptions { name: Some(name.to_owned()), driver_opts: Some(options), ..Default::default() };
            complete(request).unwrap_err().message().to_owned()
        };
        assert!(refused("a", &[]).contains("too short"));
        for name in ["../x", "a/b", "-ab", ".ab", "a b"] {
            assert!(refused(name, &[]).contains("includes invalid characters"), "{name}");
        }
        assert_eq!(refused("ok", &[("size", "1g")]), "create ok: quota size requested but no quota support");
        assert_eq!(refused("ok", &[("colour", "red")]), "create ok: invalid option: \"colour\"");
        assert_eq!(refused("ok", &[("type", "tmpfs")]), "create ok: missing required option: \"device\"");
        let driver = VolumeCreateOptions { driver: Some("nfsx".into()), ..Default::default() };
        assert!(complete(driver).unwrap_err().message().contains("plugin \"nfsx\" not found"));
    }

    #[test]
    fn a_volume_without_a_name_is_anonymous() {
        let record = complete(VolumeCreateOptions::default()).unwrap();
        assert!(record.name.len() == 64 && record.is_anonymous());
        assert!(record.created.ends_with('Z') && !record.created.contains('.'), "{}", record.created);
    }
}
