//! What clients of older versions mean, and what they may not say. Source: moby `postContainersCreate`.

use cubby_engine::containers::model::{Config, HostConfig, NetworkingConfig};

use crate::{error::ApiError, version::ApiVersion};

pub fn adapt(
    version: ApiVersion,
    config: &mut Config,
    host: &mut HostConfig,
    networking: &mut NetworkingConfig,
) -> Result<(), ApiError> {
    if version < ApiVersion(25) {
        host.auto_remove = false;
    }
    if version < ApiVersion(40) {
        host.resources.kernel_memory_tcp = 0;
        if host.ipc_mode.is_empty() {
            host.ipc_mode = "shareable".to_owned();
        }
    }
    if version < ApiVersion(42) {
        host.console_size = [0, 0];
    } else {
        host.resources.kernel_memory = 0;
    }
    if version < ApiVersion(43) {
        host.annotations = None;
    }
    if version < ApiVersion(44) {
        if let Some(check) = &mut config.healthcheck {
            check.start_interval = 0;
        }
        if networking.endpoints.len() > 1 {
            let names: Vec<&str> = networking.endpoints.keys().map(String::as_str).collect();
            return Err(ApiError::bad_request(format!(
                "Container cannot be created with multiple network endpoints: {}",
                names.join(", ")
            )));
        }
    }
    if version < ApiVersion(48) {
        for endpoint in networking.endpoints.values_mut().flatten() {
            endpoint.gw_priority = 0;
        }
    }
    adapt_mounts(version, host)
}

fn adapt_mounts(version: ApiVersion, host: &mut HostConfig) -> Result<(), ApiError> {
    for mount in host.mounts.iter_mut().flatten() {
        if let Some(bind) = &mut mount.bind_options {
            bind.non_recursive &= version >= ApiVersion(40);
            bind.create_mountpoint &= version >= ApiVersion(42);
        }
        if version < ApiVersion(42) {
            mount.volume_options.take_if(|_| mount.kind != "volume");
            mount.tmpfs_options.take_if(|_| mount.kind != "tmpfs");
        } else {
            let misplaced = [
                (mount.volume_options.is_some(), "Volume", "volume"),
                (mount.bind_options.is_some(), "Bind", "bind"),
                (mount.tmpfs_options.is_some(), "Tmpfs", "tmpfs"),
            ];
            if let Some((_, name, _)) = misplaced.iter().find(|(given, _, kind)| *given && mount.kind != *kind) {
                let fault = format!("{name}Options must not be specified on mount type {:?}", mount.kind);
                return Err(ApiError::bad_request(fault));
            }
        }
        if version < ApiVersion(44) && mount.kind == "bind" {
            let forced = mount.bind_options.as_ref().is_some_and(|bind| bind.read_only_force_recursive);
            if forced {
                return Err(ApiError::bad_request("BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer"));
            }
        }
        let subpath = mount.volume_options.as_ref().is_some_and(|options| !options.subpath.is_empty());
        if version < ApiVersion(45) && subpath {
            return Err(ApiError::bad_request("VolumeOptions.Subpath needs API v1.45 or newer"));
        }
        if version < ApiVersion(48) && mount.kind == "image" {
            return Err(ApiError::bad_request("Mount type \"Image\" needs API v1.48 or newer"));
        }
    }
    Ok(())
}
