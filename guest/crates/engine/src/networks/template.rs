//! Configuration networks: they have no driver and no containers, only settings that other networks take with
//! `--config-from`. Source: moby 28, libnetwork/network.go (`validateConfiguration`, `applyConfigurationTo`).

use bollard_stubs::models::{Ipam, NetworkCreateRequest};
use serde::{Deserialize, Serialize};

use super::{record::NetworkRecord, table::Table};
use crate::error::{Error, ErrorKind, Result};

/// What a configuration network keeps beside its options and labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Template {
    pub enable_ipv4: bool,
    pub enable_ipv6: bool,
    pub ipam: Option<Ipam>,
}

impl Template {
    pub fn of(request: &NetworkCreateRequest) -> Self {
        Self {
            enable_ipv4: request.enable_ipv4 != Some(false),
            enable_ipv6: request.enable_ipv6 == Some(true),
            ipam: request.ipam.clone(),
        }
    }
}

/// The configuration network that a request names.
pub fn source(request: &NetworkCreateRequest) -> Option<&str> {
    let from = request.config_from.as_ref()?;
    from.network.as_deref().filter(|name| !name.is_empty())
}

/// What may not be said of a configuration network, nor beside one.
pub fn check(request: &NetworkCreateRequest) -> Result<()> {
    let forbidden = |text: &str| Err(Error::new(ErrorKind::Forbidden, text));
    let on = |flag: Option<bool>| flag == Some(true);
    let scoped = request.scope.as_deref().is_some_and(|scope| !scope.is_empty());
    let config_only = on(request.config_only);
    if config_only && (on(request.ingress) || on(request.internal) || on(request.attachable) || scoped) {
        return forbidden(
            "configuration network can only contain network specific fields. Network operator fields like \
             [ ingress | internal | attachable | scope ] are not supported.",
        );
    }
    if source(request).is_none() {
        return Ok(());
    }
    if config_only {
        return forbidden("a configuration network cannot depend on another configuration network");
    }
    let ipam = request.ipam.as_ref();
    let of_own = request.enable_ipv4 == Some(false)
        || on(request.enable_ipv6)
        || request.labels.as_ref().is_some_and(|labels| !labels.is_empty())
        || ipam.is_some_and(|ipam| {
            !matches!(ipam.driver.as_deref().unwrap_or_default(), "" | "default")
                || ipam.options.as_ref().is_some_and(|options| !options.is_empty())
                || ipam.config.as_ref().is_some_and(|config| !config.is_empty())
        });
    if of_own {
        return forbidden(
            "user specified configurations are not supported if the network depends on a configuration network",
        );
    }
    if request.options.as_ref().is_some_and(|options| !options.is_empty()) {
        return forbidden("network driver options are not supported if the network depends on a configuration network");
    }
    Ok(())
}

/// The request with the settings of the configuration network that it names.
pub fn apply(request: NetworkCreateRequest, table: &Table) -> Result<NetworkCreateRequest> {
    let Some(name) = source(&request) else { return Ok(request) };
    let mut records = table.networks.values().map(|live| &live.record);
    let found = records.find_map(|record| Some((record, record.template.as_ref().filter(|_| record.name == name)?)));
    let (record, template) =
        found.ok_or_else(|| Error::not_found(format!("configuration network \"{name}\" does not exist")))?;
    Ok(NetworkCreateRequest {
        enable_ipv4: Some(template.enable_ipv4),
        enable_ipv6: Some(template.enable_ipv6),
        ipam: template.ipam.clone(),
        options: Some(record.options.clone()),
        labels: Some(record.labels.clone()),
        ..request
    })
}

/// A configuration network stays while another network took its settings.
pub fn check_unused(record: &NetworkRecord, table: &Table) -> Result<()> {
    let uses = |other: &NetworkRecord| other.config_from.as_deref() == Some(record.name.as_str());
    if record.template.is_some() && table.networks.values().any(|live| uses(&live.record)) {
        return Err(Error::new(
            ErrorKind::Forbidden,
            format!("error while removing network: configuration network \"{}\" is in use", record.name),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bollard_stubs::models::{ConfigReference, IpamConfig};

    use super::*;

    fn from(name: &str) -> NetworkCreateRequest {
        let config_from = Some(ConfigReference { network: Some(name.to_owned()) });
        NetworkCreateRequest { name: "net".into(), config_from, ..NetworkCreateRequest::default() }
    }

    #[test]
    fn only_settings_of_the_network_itself_are_kept_and_only_once_given() {
        let refused = |request: NetworkCreateRequest| check(&request).unwrap_err().message().to_owned();
        let only = |request| NetworkCreateRequest { config_only: Some(true), ..request };
        let plain = NetworkCreateRequest::default;
        assert!(refused(only(NetworkCreateRequest { internal: Some(true), ..plain() })).contains("operator fields"));
        assert!(refused(only(NetworkCreateRequest { scope: Some("local".into()), ..plain() })).contains("operator"));
        assert!(refused(only(from("a"))).starts_with("a configuration network cannot depend"));
        let ipam = Some(Ipam { config: Some(vec![IpamConfig::default()]), ..Ipam::default() });
        assert!(refused(NetworkCreateRequest { ipam, ..from("a") }).starts_with("user specified configurations"));
        let options = Some([("parent".to_owned(), "eth0".to_owned())].into());
        assert!(refused(NetworkCreateRequest { options, ..from("a") }).starts_with("network driver options"));
        // What the docker CLI sends when nothing is said.
        let ipam =
            Some(Ipam { driver: Some("default".into()), config: Some(Vec::new()), options: Some(Default::default()) });
        check(&NetworkCreateRequest { ipam, options: Some(Default::default()), ..from("a") }).unwrap();
        check(&from("")).unwrap();
    }
}
