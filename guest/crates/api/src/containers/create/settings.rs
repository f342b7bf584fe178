//! Settings of the whole container that belong to a part of it now: they move there, with a warning, or are refused.
//! Source: moby `handleVolumeDriverBC`, `handleMACAddressBC`, `handleSysctlBC`.

use std::collections::BTreeMap;

use cubby_engine::{
    Error,
    containers::model::{Config, Endpoint, HostConfig, NetworkingConfig},
};

use crate::{error::ApiError, version::ApiVersion};

/// Where a network's endpoint keeps sysctls of its interface.
const ENDPOINT_SYSCTLS: &str = "com.docker.network.endpoint.sysctls";

/// Returns warnings.
pub fn migrate(
    version: ApiVersion,
    config: &mut Config,
    host: &mut HostConfig,
    networking: &mut NetworkingConfig,
) -> Result<Vec<String>, ApiError> {
    let mut warnings = Vec::new();
    warnings.extend(volume_driver(version, host));
    warnings.extend(mac_address(version, config, host, networking)?);
    warnings.extend(sysctls(version, host, networking)?);
    Ok(warnings)
}

fn volume_driver(version: ApiVersion, host: &HostConfig) -> Option<String> {
    let ambiguous = host.mounts.iter().flatten().any(|mount| {
        let driver = mount.volume_options.as_ref().and_then(|options| options.driver_config.as_ref());
        mount.kind == "volume" && driver.is_none_or(|driver| driver.name.is_empty())
    });
    (!host.volume_driver.is_empty() && version >= ApiVersion(48) && ambiguous).then(|| {
        "WARNING: the container-wide volume-driver configuration is ignored for volumes specified via 'mount'. Use \
         '--mount type=volume,volume-driver=...' instead"
            .to_owned()
    })
}

fn mac_address(
    version: ApiVersion,
    config: &mut Config,
    host: &HostConfig,
    networking: &mut NetworkingConfig,
) -> Result<Option<String>, ApiError> {
    let wanted = config.mac_address.clone();
    let has_endpoint = !matches!(host.network_mode.as_str(), "host" | "none") && host.network_container().is_none();
    if version < ApiVersion(44) {
        if wanted.is_empty() {
            for endpoint in networking.endpoints.values_mut().flatten() {
                endpoint.mac_address.clear();
            }
        } else if has_endpoint {
            endpoint_of_mode(version, host, networking)?.mac_address = wanted;
        } else {
            return Err(ApiError::bad_request("conflicting options: mac-address and the network mode"));
        }
        return Ok(None);
    }
    if wanted.is_empty() {
        return Ok(None);
    }
    if has_endpoint {
        let endpoint = endpoint_of_mode(version, host, networking).map_err(|error| {
            ApiError::bad_request(format!(
                "unable to migrate container-wide MAC address to a specific network: {}",
                error.message()
            ))
        })?;
        if endpoint.mac_address.is_empty() {
            endpoint.mac_address = wanted;
        } else if endpoint.mac_address != wanted {
            return Err(ApiError::bad_request(
                "the container-wide MAC address must match the endpoint-specific MAC address for the main network, or \
                 be left empty",
            ));
        }
    }
    config.mac_address.clear();
    Ok(Some(
        "The container-wide MacAddress field is now deprecated. It should be specified in EndpointsConfig instead."
            .to_owned(),
    ))
}

/// `net.ipv4.conf.eth0.…` cannot be set before there is an `eth0`.
fn sysctls(
    version: ApiVersion,
    host: &mut HostConfig,
    networking: &mut NetworkingConfig,
) -> Result<Option<String>, ApiError> {
    let of_interface = |name: &str| {
        let parts: Vec<&str> = name.splitn(5, '.').collect();
        (parts.len() == 5 && parts[0] == "net" && parts[3].starts_with("eth")).then(|| parts[3] == "eth0")
    };
    let wanted: BTreeMap<String, String> = host.sysctls.clone().unwrap_or_default();
    let mut moved: Vec<(&String, &String)> = Vec::new();
    if host.network_container().is_some() {
        return Ok(None);
    }
    for (name, value) in &wanted {
        let Some(is_first) = of_interface(name) else { continue };
        if version > ApiVersion(47) {
            let fault = format!(
                "interface specific sysctl setting {name:?} must be supplied using driver option '{ENDPOINT_SYSCTLS}'"
            );
            return Err(Error::internal(fault).into());
        }
        if !is_first {
            let fault = format!(
                "unable to determine network endpoint for sysctl {name}, use driver option '{ENDPOINT_SYSCTLS}' to set \
                 per-interface sysctls"
            );
            return Err(Error::internal(fault).into());
        }
        moved.push((name, value));
    }
    if moved.is_empty() {
        return Ok(None);
    }
    let endpoint = endpoint_of_mode(version, host, networking)?;
    let settings: Vec<String> =
        moved.iter().map(|(name, value)| format!("{}={value}", name.replacen(".eth0.", ".IFNAME.", 1))).collect();
    let mut option = settings.join(",");
    let names: Vec<&str> = moved.iter().map(|(name, _)| name.as_str()).collect();
    let warning = format!("Migrated sysctl {:?} to DriverOpts{{{ENDPOINT_SYSCTLS:?}:{option:?}}}.", names.join(","));
    let options = endpoint.driver_opts.get_or_insert_default();
    if let Some(given) = options.get(ENDPOINT_SYSCTLS) {
        option = format!("{option},{given}");
    }
    options.insert(ENDPOINT_SYSCTLS.to_owned(), option);
    if let Some(left) = &mut host.sysctls {
        left.retain(|name, _| of_interface(name).is_none());
    }
    Ok(Some(warning))
}

/// The endpoint of the container's main network, made if there is none at all.
fn endpoint_of_mode<'a>(
    version: ApiVersion,
    host: &HostConfig,
    networking: &'a mut NetworkingConfig,
) -> Result<&'a mut Endpoint, ApiError> {
    let endpoints = &mut networking.endpoints;
    if endpoints.is_empty() {
        return Ok(endpoints.entry(host.network_mode.clone()).or_default().get_or_insert_default());
    }
    let name = match version < ApiVersion(44) {
        true => endpoints.keys().next().cloned().unwrap_or_default(),
        false => host.network_mode.clone(),
    };
    match endpoints.get_mut(&name) {
        Some(endpoint) => Ok(endpoint.get_or_insert_default()),
        None => Err(ApiError::bad_request(
            "HostConfig.NetworkMode must match the identity of a network in NetworkSettings.Networks",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: &str = "02:42:ac:11:00:02";

    fn bridged() -> HostConfig {
        HostConfig { network_mode: "bridge".into(), ..HostConfig::default() }
    }

    #[test]
    fn a_mac_address_moves_to_the_main_network() {
        let mut config = Config { mac_address: MAC.into(), ..Config::default() };
        let mut networking = NetworkingConfig::default();
        let warning = mac_address(ApiVersion(44), &mut config, &bridged(), &mut networking).unwrap();
        assert!(warning.unwrap().starts_with("The container-wide MacAddress field is now deprecated."));
        assert_eq!(networking.endpoints["bridge"].as_ref().unwrap().mac_address, MAC);
        assert!(config.mac_address.is_empty());

        let mut config = Config { mac_address: "02:42:ac:11:00:03".into(), ..Config::default() };
        let fault = mac_address(ApiVersion(50), &mut config, &bridged(), &mut networking).unwrap_err();
        assert!(fault.message().starts_with("the container-wide MAC address must match"));
        let mut config = Config::default();
        assert_eq!(mac_address(ApiVersion(43), &mut config, &bridged(), &mut networking).unwrap(), None);
        assert!(networking.endpoints["bridge"].as_ref().unwrap().mac_address.is_empty());
    }

    #[test]
    fn sysctls_of_the_interface_move_up_to_1_47() {
        let host = || HostConfig {
            sysctls: Some(
                [
                    ("net.ipv4.conf.eth0.forwarding".to_owned(), "1".to_owned()),
                    ("net.core.somaxconn".to_owned(), "9".to_owned()),
                ]
                .into(),
            ),
            ..bridged()
        };
        let (mut old, mut networking) = (host(), NetworkingConfig::default());
        let warning = sysctls(ApiVersion(46), &mut old, &mut networking).unwrap().unwrap();
        assert!(warning.starts_with("Migrated sysctl \"net.ipv4.conf.eth0.forwarding\""), "{warning}");
        let options = networking.endpoints["bridge"].as_ref().unwrap().driver_opts.clone().unwrap();
        assert_eq!(options[ENDPOINT_SYSCTLS], "net.ipv4.conf.IFNAME.forwarding=1");
        assert_eq!(old.sysctls.unwrap().len(), 1);
        assert!(sysctls(ApiVersion(48), &mut host(), &mut NetworkingConfig::default()).is_err());
    }
}
