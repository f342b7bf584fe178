//! What containers find in `/etc/hosts` and `/etc/resolv.conf`, and whom their name server asks.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
};

use cubby_network::{
    dns,
    files::{self, ResolvConf},
};

use super::{Dns, Join, NetworkMode, endpoint::Reserved};

const HOST_RESOLV_CONF: &str = "/etc/resolv.conf";
/// Where systemd-resolved names the true servers behind its own 127.0.0.53.
const SYSTEMD_RESOLV_CONF: &str = "/run/systemd/resolve/resolv.conf";
/// When the host has no server that containers can reach. Source: moby libnetwork/internal/resolvconf.
const FALLBACK: [&str; 2] = ["8.8.8.8", "8.8.4.4"];

/// Names of the user's computer that containers know wherever a machine stands between the two, as with Docker Desktop.
const FRIENDS: [&str; 2] = ["host.docker.internal", "gateway.docker.internal"];

/// The host's resolver settings, its servers such that containers reach them too.
fn host_settings() -> ResolvConf {
    let read = |path: &str| fs::read_to_string(path).map(|text| ResolvConf::parse(&text).without_loopback());
    let own = read(HOST_RESOLV_CONF).unwrap_or_default();
    if !own.servers.is_empty() {
        return own;
    }
    read(SYSTEMD_RESOLV_CONF).unwrap_or(own)
}

fn settings(dns: &Dns) -> ResolvConf {
    let mut conf = host_settings();
    if !dns.servers.is_empty() {
        conf.servers.clone_from(&dns.servers);
    }
    if !dns.search.is_empty() {
        // Why: `--dns-search .` means none.
        conf.search = dns.search.iter().filter(|domain| *domain != ".").cloned().collect();
    }
    if !dns.options.is_empty() {
        conf.options.clone_from(&dns.options);
    }
    conf
}

/// The file's contents. `own_names`: the container has a name server of ours.
pub fn resolv_conf(join: &Join, own_names: bool) -> String {
    let asked = join.dns != Dns::default();
    if join.mode == NetworkMode::Host && !asked {
        return fs::read_to_string(HOST_RESOLV_CONF).unwrap_or_default();
    }
    let mut conf = settings(&join.dns);
    if own_names {
        conf.servers = vec![dns::ADDRESS.to_string()];
        if !conf.options.iter().any(|option| option.starts_with("ndots:")) {
            conf.options.push("ndots:0".to_owned());
        }
    } else if conf.servers.is_empty() && join.mode == NetworkMode::Bridge {
        conf.servers = FALLBACK.map(str::to_owned).to_vec();
    }
    conf.write()
}

/// Whom the container's name server asks what is not ours.
pub fn upstream(dns: &Dns) -> Vec<SocketAddr> {
    let conf = settings(dns);
    let servers = conf.servers.iter().filter_map(|server| server.parse::<IpAddr>().ok());
    let servers: Vec<SocketAddr> = servers.map(|address| (address, 53).into()).collect();
    if servers.is_empty() { own_resolver() } else { servers }
}

/// Why: the name server asks from the host's namespace, so a resolver on the host's loopback will do.
fn own_resolver() -> Vec<SocketAddr> {
    let text = fs::read_to_string(HOST_RESOLV_CONF).unwrap_or_default();
    let servers = ResolvConf::parse(&text).servers;
    servers.iter().filter_map(|server| Some((server.parse::<IpAddr>().ok()?, 53).into())).collect()
}

/// The file's contents: the usual names, `--add-host`, links, and the container itself.
pub fn hosts(
    join: &Join,
    reserved: &[Reserved],
    gateway: Option<usize>,
    links: &[(String, String, Option<IpAddr>)],
) -> String {
    let host_gateway = join.host_gateway.or_else(|| reserved[gateway?].record.subnets().next()?.gateway);
    let extra: Vec<(IpAddr, String)> =
        join.extra_hosts.iter().filter_map(|entry| extra_host(entry, host_gateway)).collect();
    if join.mode == NetworkMode::Host {
        let mut text = fs::read_to_string("/etc/hosts").unwrap_or_default();
        extra.iter().for_each(|(address, name)| text.push_str(&format!("{address}\t{name}\n")));
        return text;
    }
    let friends = FRIENDS.iter().filter(|name| !join.extra_hosts.iter().any(|entry| entry.starts_with(**name)));
    let friends = friends.filter_map(|name| Some((join.host_gateway?, (*name).to_owned())));
    let linked = links.iter().filter_map(|(alias, target, address)| {
        let short = target.get(..12).unwrap_or(target);
        Some((*address.as_ref()?, format!("{alias} {short}")))
    });
    let own = match join.domainname.as_str() {
        "" => join.hostname.clone(),
        domain => format!("{0}.{domain} {0}", join.hostname),
    };
    let addresses = reserved.iter().flat_map(|one| one.endpoint.addresses.iter());
    let addresses = addresses.map(|(address, _)| (*address, own.clone()));
    let entries: Vec<_> = extra.iter().cloned().chain(friends).chain(linked).chain(addresses).collect();
    files::hosts(entries.iter().map(|(address, names)| (*address, names.as_str())))
}

/// `name:address` or `name=address`; the address may be in brackets, or `host-gateway`.
fn extra_host(entry: &str, host_gateway: Option<IpAddr>) -> Option<(IpAddr, String)> {
    let (name, address) = entry.split_once(['=', ':'])?;
    let address = address.trim_start_matches('[').trim_end_matches(']');
    let address = if address == "host-gateway" { host_gateway? } else { address.parse().ok()? };
    (!name.is_empty() && !name.contains(char::is_whitespace)).then(|| (address, name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_hosts_are_read() {
        let gateway = Some(IpAddr::from([10, 0, 0, 1]));
        let read = |entry: &str| extra_host(entry, gateway).map(|(address, name)| format!("{address} {name}"));
        assert_eq!(read("db:10.0.0.9").unwrap(), "10.0.0.9 db");
        assert_eq!(read("db=[::1]").unwrap(), "::1 db");
        assert_eq!(read("db:::1").unwrap(), "::1 db");
        assert_eq!(read("host.docker.internal:host-gateway").unwrap(), "10.0.0.1 host.docker.internal");
        assert_eq!(read("two words:10.0.0.1"), None);
        assert_eq!(extra_host("a:host-gateway", None), None);
    }
}
