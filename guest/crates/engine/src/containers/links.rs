//! Legacy links (`--link` on the default bridge): other containers under names of this container's own.
//!
//! A link makes three things: an entry in `/etc/hosts` (the networks' part), variables that tell of the other container,
//! and one more name for it, `/this/alias`. On user networks links are aliases of the network's and none of this applies.
//! Source: moby daemon/daemon_unix.go `registerLinks`, daemon/links.

use std::collections::{BTreeMap, HashMap};

use super::{
    Container, Containers,
    model::{HostConfig, Record},
    ports,
};
use crate::{
    error::{Error, Result},
    networks::NetworkMode,
};

impl Containers {
    /// Finds the containers that a new one is linked to.
    ///
    /// # Errors
    /// Invalid: links that cannot be read, lead nowhere or to a container on the machine's network.
    pub(super) fn links_of(&self, host: &HostConfig) -> Result<BTreeMap<String, String>> {
        let mut links = BTreeMap::new();
        if matches!(NetworkMode::parse(&host.network_mode), NetworkMode::Network(_)) {
            return Ok(links);
        }
        for text in host.links.iter().flatten() {
            let (name, alias) = parse(text)?;
            let mut child = self.link_target(&name)?;
            while let Some(other) = child.host_config.network_container() {
                child = self.link_target(other)?;
            }
            if child.host_config.network_mode == "host" {
                return Err(Error::invalid(
                    "conflicting options: host type networking can't be used with links. This would result in \
                     undefined behavior",
                ));
            }
            links.insert(alias, child.id.clone());
        }
        Ok(links)
    }

    fn link_target(&self, name: &str) -> Result<std::sync::Arc<Record>> {
        let found = self.find(name).map(|container| container.record());
        found.map_err(|error| Error::invalid(format!("could not get container for {name}: {}", error.message())))
    }

    /// The links as the networks' part reads them: by the names of now.
    pub(super) fn link_texts(&self, record: &Record) -> Vec<String> {
        if record.links.is_empty() {
            return record.host_config.links.clone().unwrap_or_default();
        }
        let table = self.table();
        let named = record.links.iter().filter_map(|(alias, id)| Some((alias, table.get(id)?.record().name.clone())));
        named.map(|(alias, name)| format!("{name}:{alias}")).collect()
    }

    /// What `HostConfig.Links` of inspect shows.
    pub(super) fn shown_links(&self, record: &Record) -> Option<Vec<String>> {
        let table = self.table();
        let shown = record
            .links
            .iter()
            .filter_map(|(alias, id)| Some(format!("/{}:/{}/{alias}", table.get(id)?.record().name, record.name)));
        let shown: Vec<String> = shown.collect();
        (!shown.is_empty()).then_some(shown)
    }

    /// The further names of every linked container, by its id.
    pub(super) fn link_names(&self) -> HashMap<String, Vec<String>> {
        let mut names: HashMap<String, Vec<String>> = HashMap::new();
        for container in self.table().all() {
            let record = container.record();
            for (alias, id) in &record.links {
                names.entry(id.clone()).or_default().push(format!("/{}/{alias}", record.name));
            }
        }
        names
    }

    /// Variables about the linked containers, for a start on the default bridge.
    pub(super) fn linked_environment(&self, record: &Record) -> Vec<String> {
        let mut env = Vec::new();
        for (alias, id) in &record.links {
            let Ok(child) = self.find(id).map(|container| container.record()) else { continue };
            let address = child.networks.get("bridge").map(|endpoint| endpoint.ip_address.clone()).unwrap_or_default();
            variables(&mut env, &format!("/{}/{alias}", record.name), &address, &child);
        }
        env
    }

    /// `name`: `parent/alias`, as found by [`Containers::find`].
    ///
    /// # Errors
    /// System, for a name that is no link's: dockerd says so too.
    pub(super) fn remove_link(&self, name: &str) -> Result<()> {
        let name = name.trim_start_matches('/');
        let Some((parent, alias)) = name.rsplit_once('/') else {
            return Err(Error::internal("Conflict, cannot remove the default link name of the container"));
        };
        let no_parent = |_| Error::internal(format!("Cannot get parent /{parent} for link name /{name}"));
        let parent = self.find(parent).map_err(no_parent)?;
        self.change(&parent, |record| {
            record.links.remove(alias);
            let is_other = |text: &String| parse(text).is_ok_and(|(_, other)| other != alias);
            if let Some(links) = &mut record.host_config.links {
                links.retain(is_other);
            }
        })?;
        Ok(())
    }

    /// The container that a link's name (`parent/alias`) means.
    pub(super) fn linked(&self, name: &str) -> Option<std::sync::Arc<Container>> {
        let (parent, alias) = name.trim_start_matches('/').rsplit_once('/')?;
        let parent = self.table().find(parent).ok()?;
        let id = parent.record().links.get(alias)?.clone();
        self.table().get(&id).cloned()
    }
}

/// `name`, `name:alias`, or `/name:/this/alias` as inspect shows it. Source: moby opts.ParseLink.
fn parse(text: &str) -> Result<(String, String)> {
    if text.is_empty() {
        return Err(Error::invalid("empty string specified for links"));
    }
    let parts: Vec<&str> = text.split(':').collect();
    match parts.as_slice() {
        [name] => Ok(((*name).to_owned(), (*name).to_owned())),
        [name, alias] => Ok(match name.strip_prefix('/') {
            Some(bare) => (bare.to_owned(), alias.rsplit('/').next().unwrap_or_default().to_owned()),
            // `db:/store` is `db:store`: the name is joined to the parent's.
            None => ((*name).to_owned(), alias.trim_start_matches('/').to_owned()),
        }),
        _ => Err(Error::invalid(format!("bad format for links: {text}"))),
    }
}

/// Source: moby daemon/links `ToEnv`.
fn variables(env: &mut Vec<String>, link: &str, address: &str, child: &Record) {
    let alias = link.rsplit('/').next().unwrap_or_default().to_uppercase().replace('-', "_");
    let exposed = child.config.exposed_ports.iter().flatten().filter_map(|(port, _)| ports::split(port));
    let mut exposed: Vec<(u16, &str)> = exposed.collect();
    exposed.sort_by_key(|&(port, kind)| (kind != "tcp", kind, port));
    if let Some((port, kind)) = exposed.first() {
        env.push(format!("{alias}_PORT={kind}://{address}:{port}"));
    }
    for (port, kind) in &exposed {
        let prefix = format!("{alias}_PORT_{port}_{}", kind.to_uppercase());
        env.push(format!("{prefix}={kind}://{address}:{port}"));
        env.push(format!("{prefix}_ADDR={address}"));
        env.push(format!("{prefix}_PORT={port}"));
        env.push(format!("{prefix}_PROTO={kind}"));
    }
    for range in exposed.chunk_by(|one, next| one.1 == next.1 && one.0.checked_add(1) == Some(next.0)) {
        let (Some((first, kind)), Some((last, _))) = (range.first(), range.last()) else { continue };
        if first != last {
            let prefix = format!("{alias}_PORT_{first}_{}", kind.to_uppercase());
            env.push(format!("{prefix}_START={kind}://{address}:{first}"));
            env.push(format!("{prefix}_PORT_START={first}"));
            env.push(format!("{prefix}_END={kind}://{address}:{last}"));
            env.push(format!("{prefix}_PORT_END={last}"));
        }
    }
    env.push(format!("{alias}_NAME={link}"));
    let own = child.config.env().iter().filter_map(|pair| pair.split_once('='));
    let told = own.filter(|(name, _)| !matches!(*name, "HOME" | "PATH"));
    env.extend(told.map(|(name, value)| format!("{alias}_ENV_{name}={value}")));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_read_in_every_spelling() {
        let pair = |name: &str, alias: &str| (name.to_owned(), alias.to_owned());
        assert_eq!(parse("db").unwrap(), pair("db", "db"));
        assert_eq!(parse("db:store").unwrap(), pair("db", "store"));
        assert_eq!(parse("/db:/web/store").unwrap(), pair("db", "store"));
        assert!(parse("").is_err() && parse("a:b:c").is_err());
    }

    #[test]
    fn variables_tell_of_ports_ranges_and_environment() {
        let mut child = crate::containers::spec::tests::record(Default::default(), Default::default());
        let ports = ["53/udp", "80/tcp", "81/tcp"];
        child.config.exposed_ports = Some(ports.map(|port| (port.to_owned(), Default::default())).into());
        child.config.env = Some(vec!["PATH=/bin".into(), "A=b".into()]);
        let mut env = Vec::new();
        variables(&mut env, "/web/my-db", "172.17.0.2", &child);
        assert_eq!(env[0], "MY_DB_PORT=tcp://172.17.0.2:80");
        for expected in [
            "MY_DB_PORT_53_UDP_ADDR=172.17.0.2",
            "MY_DB_PORT_80_TCP_END=tcp://172.17.0.2:81",
            "MY_DB_NAME=/web/my-db",
            "MY_DB_ENV_A=b",
        ] {
            assert!(env.iter().any(|pair| pair == expected), "{expected}: {env:?}");
        }
        assert!(!env.iter().any(|pair| pair.contains("ENV_PATH")));
    }
}
