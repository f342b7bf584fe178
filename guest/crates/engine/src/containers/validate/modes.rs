//! Modes: whose namespaces a container has, and what goes with them.

use super::refuse;
use crate::{
    containers::model::{Config, HostConfig},
    error::Result,
};

/// Source: moby daemon_unix.go `verifyPlatformContainerSettings`.
pub fn check_valid(host: &HostConfig) -> Result<()> {
    let named = |mode: &str| mode.strip_prefix("container:").is_some_and(|name| !name.is_empty());
    if !(matches!(host.ipc_mode.as_str(), "" | "none" | "private" | "shareable" | "host") || named(&host.ipc_mode)) {
        return refuse(format!("invalid IPC mode: {}", host.ipc_mode));
    }
    if !(matches!(host.pid_mode.as_str(), "" | "host") || named(&host.pid_mode)) {
        return refuse(format!("invalid PID mode: {}", host.pid_mode));
    }
    if !matches!(host.uts_mode.as_str(), "" | "host") {
        return refuse(format!("invalid UTS mode: {}", host.uts_mode));
    }
    if !matches!(host.userns_mode.as_str(), "" | "host") {
        return refuse(format!("invalid user namespace mode: {}", host.userns_mode));
    }
    if !matches!(host.cgroupns_mode.as_str(), "" | "private" | "host") {
        return refuse(format!("invalid cgroup namespace mode: {}", host.cgroupns_mode));
    }
    Ok(())
}

/// Source: moby runconfig `validateNetMode`.
pub fn check_network(config: &Config, host: &HostConfig) -> Result<()> {
    let some = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
    let shares = match host.network_container() {
        Some("") => return refuse("invalid container format container:<name|id>"),
        Some(_) => true,
        None => false,
    };
    if host.network_mode == "host" && some(&host.links) {
        return refuse(
            "conflicting options: host type networking can't be used with links. This would result in undefined behavior",
        );
    }
    if (shares || host.network_mode == "host") && !config.mac_address.is_empty() {
        return refuse("conflicting options: mac-address and the network mode");
    }
    if host.uts_mode == "host" && !config.hostname.is_empty() {
        return refuse("conflicting options: hostname and the UTS mode");
    }
    if !shares {
        return Ok(());
    }
    let conflicts = [
        (!config.hostname.is_empty(), "hostname and the network mode"),
        (some(&host.links), "container type network can't be used with links. This would result in undefined behavior"),
        (some(&host.dns), "dns and the network mode"),
        (some(&host.extra_hosts), "custom host-to-IP mapping and the network mode"),
        (
            host.publish_all_ports || host.port_bindings.as_ref().is_some_and(|ports| !ports.is_empty()),
            "port publishing and the container type network mode",
        ),
        (
            config.exposed_ports.as_ref().is_some_and(|ports| !ports.is_empty()),
            "port exposing and the container type network mode",
        ),
    ];
    match conflicts.iter().find(|(conflict, _)| *conflict) {
        Some((_, what)) => refuse(format!("conflicting options: {what}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(config: Config, host: HostConfig) -> String {
        let checked = check_network(&config, &host).and_then(|()| check_valid(&host));
        checked.unwrap_err().message().to_owned()
    }

    #[test]
    fn conflicts_are_in_dockerds_words() {
        let named = || Config { hostname: "h".into(), ..Config::default() };
        let network = |mode: &str| HostConfig { network_mode: mode.into(), ..HostConfig::default() };
        assert_eq!(refusal(named(), network("container:x")), "conflicting options: hostname and the network mode");
        assert_eq!(refusal(Config::default(), network("container:")), "invalid container format container:<name|id>");
        let host = HostConfig { uts_mode: "host".into(), ..HostConfig::default() };
        assert_eq!(refusal(named(), host), "conflicting options: hostname and the UTS mode");
        let published = HostConfig { publish_all_ports: true, ..network("container:x") };
        assert_eq!(
            refusal(Config::default(), published),
            "conflicting options: port publishing and the container type network mode"
        );
    }

    #[test]
    fn unknown_modes_are_refused() {
        type Member = fn(&mut HostConfig) -> &mut String;
        let modes: [(Member, &str); 5] = [
            (|host| &mut host.ipc_mode, "invalid IPC mode: bogus"),
            (|host| &mut host.pid_mode, "invalid PID mode: bogus"),
            (|host| &mut host.uts_mode, "invalid UTS mode: bogus"),
            (|host| &mut host.userns_mode, "invalid user namespace mode: bogus"),
            (|host| &mut host.cgroupns_mode, "invalid cgroup namespace mode: bogus"),
        ];
        for (mode, message) in modes {
            let mut host = HostConfig::default();
            *mode(&mut host) = "bogus".into();
            assert_eq!(refusal(Config::default(), host), message);
        }
    }
}
