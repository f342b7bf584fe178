//! How registries are reached: what the engine's start said, what its users changed since, and their certificates.
//!
//! ```text
//! given    options and configuration file of this start        ┐
//! stored   `PUT /cubby/registries`, in the state database      ├─▶ effective: what requests use
//! files    DATA/certs.d/<host>/{ca.crt, client.cert, client.key} ┘
//!          DATA/ca.crt, for every registry: `PUT /cubby/certificates`
//! ```
//! Of mirrors and proxies the stored ones win, insecure registries add up.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use cubby_registry::{Network, Settings};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

const HUB: &str = "docker.io";
/// One PEM file at most.
const PEM_BYTES: usize = 256 << 10;

/// The members of dockerd's configuration file that concern registries, and our own `mirrors-of`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct RegistryOptions {
    /// Mirrors of Docker Hub, tried in order.
    pub registry_mirrors: Vec<String>,
    /// Mirrors of other registries.
    pub mirrors_of: BTreeMap<String, Vec<String>>,
    pub insecure_registries: Vec<String>,
    pub proxies: Proxies,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Proxies {
    pub http_proxy: Option<String>,
    pub https_proxy: Option<String>,
    pub no_proxy: Option<String>,
}

impl Proxies {
    /// What a process's environment says.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let cubby_registry::Proxies { http, https, none_for } = cubby_registry::Proxies::from_environment(variable);
        Self { http_proxy: http, https_proxy: https, no_proxy: none_for }
    }
}

/// Certificates for one registry, PEM. Absent ones are left as they are.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct HostCertificates {
    pub ca: Option<String>,
    pub cert: Option<String>,
    pub key: Option<String>,
}

impl RegistryOptions {
    /// Refuses what cannot be meant, in dockerd's words. Source: moby daemon/pkg/registry/config.go.
    pub fn check(&self) -> Result<()> {
        self.registry_mirrors.iter().chain(self.mirrors_of.values().flatten()).try_for_each(|url| check_mirror(url))?;
        self.insecure_registries.iter().try_for_each(|host| check_insecure(host))
    }
}

fn check_mirror(url: &str) -> Result<()> {
    let Some((scheme, rest)) = url.split_once("://").filter(|(_, rest)| !rest.is_empty()) else {
        return Err(Error::invalid(format!("invalid mirror: {url:?} is not a valid URI")));
    };
    if !["http", "https"].contains(&scheme) {
        return Err(Error::invalid(format!("invalid mirror: unsupported scheme {scheme:?} in {url:?}")));
    }
    if rest.contains(['?', '#']) {
        return Err(Error::invalid(format!("invalid mirror: query or fragment at end of the URI {url:?}")));
    }
    if rest.split('/').next().unwrap_or_default().contains('@') {
        return Err(Error::invalid("invalid mirror: username/password not allowed in URI"));
    }
    Ok(())
}

fn check_insecure(host: &str) -> Result<()> {
    if host.contains("://") {
        return Err(Error::invalid(format!("insecure registry {host} should not contain '://'")));
    }
    let plain = !host.is_empty() && !host.contains(char::is_whitespace);
    if !plain || (host.contains('/') && Network::parse(host).is_none()) {
        return Err(Error::invalid(format!("insecure registry {host} is not valid: invalid host {host:?}")));
    }
    Ok(())
}

/// The authorities that the user trusts beside the public ones: registries count them, and containers are given them.
pub(crate) fn extra_authorities(data_root: &Path) -> PathBuf {
    data_root.join("ca.crt")
}

/// See the module's documentation.
#[derive(Clone, Debug, Default)]
pub struct Registries {
    pub given: RegistryOptions,
    pub stored: RegistryOptions,
    /// Where certificates are: ours first.
    pub certificates: Vec<PathBuf>,
    /// The extra authorities, which count for all of them.
    pub authorities: PathBuf,
}

impl Registries {
    /// What is in force.
    pub fn options(&self) -> RegistryOptions {
        let (given, stored) = (&self.given, &self.stored);
        let mut insecure = given.insecure_registries.clone();
        insecure.extend(
            stored.insecure_registries.iter().filter(|host| !insecure.contains(host)).cloned().collect::<Vec<_>>(),
        );
        let first = |a: &Option<String>, b: &Option<String>| a.clone().or_else(|| b.clone());
        let mut mirrors_of = given.mirrors_of.clone();
        mirrors_of.extend(stored.mirrors_of.clone());
        let mirrors = if stored.registry_mirrors.is_empty() { given } else { stored };
        RegistryOptions {
            registry_mirrors: mirrors.registry_mirrors.clone(),
            mirrors_of,
            insecure_registries: insecure,
            proxies: Proxies {
                http_proxy: first(&stored.proxies.http_proxy, &given.proxies.http_proxy),
                https_proxy: first(&stored.proxies.https_proxy, &given.proxies.https_proxy),
                no_proxy: first(&stored.proxies.no_proxy, &given.proxies.no_proxy),
            },
        }
    }

    pub fn effective(&self) -> Settings {
        let options = self.options();
        let mut mirrors: HashMap<String, Vec<String>> = options.mirrors_of.into_iter().collect();
        if !options.registry_mirrors.is_empty() {
            mirrors.insert(HUB.to_owned(), options.registry_mirrors);
        }
        let Proxies { http_proxy, https_proxy, no_proxy } = options.proxies;
        Settings {
            insecure: options.insecure_registries,
            mirrors,
            certificates: self.certificates.clone(),
            authorities: vec![self.authorities.clone()],
            proxies: cubby_registry::Proxies { http: http_proxy, https: https_proxy, none_for: no_proxy },
        }
    }

    /// The hosts that have certificates of their own here.
    pub fn certified_hosts(&self) -> Vec<String> {
        let dirs = self.certificates.iter().filter_map(|dir| fs::read_dir(dir).ok()).flatten().flatten();
        let mut hosts: Vec<String> = dirs
            .filter(|entry| entry.path().is_dir())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        hosts.sort();
        hosts.dedup();
        hosts
    }
}

/// Writes a registry's certificates under `certs`, keys readable for us alone.
///
/// # Errors
/// Invalid for what is no host or no PEM.
pub(super) fn write_certificates(certs: &Path, host: &str, files: &HostCertificates) -> Result<()> {
    let dir = host_dir(certs, host)?;
    let all = [("ca.crt", &files.ca), ("client.cert", &files.cert), ("client.key", &files.key)];
    for (name, pem) in all.iter().filter_map(|(name, pem)| Some((name, pem.as_ref()?))) {
        if !pem.contains("-----BEGIN ") || pem.len() > PEM_BYTES {
            return Err(Error::invalid(format!("{name} for {host} is not a PEM file")));
        }
    }
    let failed = |what: &Path| {
        let what = format!("write {}", what.display());
        move |source: std::io::Error| Error::system(what, source)
    };
    fs::create_dir_all(&dir).map_err(failed(&dir))?;
    fs::set_permissions(certs, fs::Permissions::from_mode(0o700)).map_err(failed(certs))?;
    for (name, pem) in all.into_iter().filter_map(|(name, pem)| Some((name, pem.as_ref()?))) {
        let (path, fresh) = (dir.join(name), dir.join(format!(".{name}")));
        let mut file = fs::File::options();
        let mut file = file.write(true).create(true).truncate(true).mode(0o600).open(&fresh).map_err(failed(&fresh))?;
        std::io::Write::write_all(&mut file, pem.as_bytes()).map_err(failed(&fresh))?;
        fs::rename(&fresh, &path).map_err(failed(&path))?;
    }
    Ok(())
}

/// Forgets a registry's certificates.
///
/// # Errors
/// Not found when it has none.
pub(super) fn remove_certificates(certs: &Path, host: &str) -> Result<()> {
    let dir = host_dir(certs, host)?;
    fs::remove_dir_all(&dir).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => Error::not_found(format!("no certificates for {host}")),
        _ => Error::system(format!("remove {}", dir.display()), source),
    })
}

/// Why checked: the name comes from a client and becomes a directory.
fn host_dir(certs: &Path, host: &str) -> Result<PathBuf> {
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-:[]_".contains(c);
    if host.is_empty() || host.starts_with('.') || !host.chars().all(plain) {
        return Err(Error::invalid(format!("{host:?} is not a registry's host[:port]")));
    }
    Ok(certs.join(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(json: &str) -> RegistryOptions {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn what_users_set_wins_and_insecure_registries_add_up() {
        let registries = Registries {
            given: options(
                r#"{"registry-mirrors":["https://a.example"],"insecure-registries":["lab:1"],
                    "proxies":{"http-proxy":"http://p:1","no-proxy":"x"}}"#,
            ),
            stored: options(
                r#"{"registry-mirrors":["https://b.example"],"insecure-registries":["lab:1","lab:2"],
                    "proxies":{"http-proxy":"http://q:1"},"mirrors-of":{"lab.example":["https://c.example"]}}"#,
            ),
            certificates: Vec::new(),
            authorities: PathBuf::new(),
        };
        let settings = registries.effective();
        assert_eq!(settings.mirrors["docker.io"], ["https://b.example"]);
        assert_eq!(settings.mirrors["lab.example"], ["https://c.example"]);
        assert_eq!(settings.insecure, ["lab:1", "lab:2"]);
        let expected = (Some("http://q:1".to_owned()), Some("x".to_owned()));
        assert_eq!((settings.proxies.http, settings.proxies.none_for), expected);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_in_dockerds_words() {
        for (json, words) in [
            (r#"{"registry-mirrors":["mirror.example"]}"#, "is not a valid URI"),
            (r#"{"registry-mirrors":["ftp://mirror.example"]}"#, "unsupported scheme"),
            (r#"{"registry-mirrors":["https://u:p@mirror.example"]}"#, "username/password not allowed"),
            (r#"{"insecure-registries":["http://lab:1"]}"#, "should not contain '://'"),
            (r#"{"insecure-registries":["lab/1"]}"#, "is not valid"),
        ] {
            let error = options(json).check().unwrap_err();
            assert!(error.message().contains(words), "{json}: {error}");
        }
        options(r#"{"registry-mirrors":["https://m.example/hub"],"insecure-registries":["10.0.0.0/8"]}"#)
            .check()
            .unwrap();
    }

    #[test]
    fn certificates_stay_in_their_directory_and_keys_are_private() {
        let dir = tempfile::tempdir().unwrap();
        let certs = dir.path().join("certs.d");
        let pem = || Some("-----BEGIN X-----\n".to_owned());
        let files = HostCertificates { ca: pem(), cert: pem(), key: pem() };
        for host in ["", "..", "../x", "a/b", ".hidden"] {
            assert!(write_certificates(&certs, host, &files).is_err(), "{host}");
        }
        write_certificates(&certs, "lab.example:5000", &files).unwrap();
        let key = fs::metadata(certs.join("lab.example:5000/client.key")).unwrap();
        assert_eq!(key.permissions().mode() & 0o777, 0o600);
        let registries = Registries { certificates: vec![certs.clone()], ..Registries::default() };
        assert_eq!(registries.certified_hosts(), ["lab.example:5000"]);
        remove_certificates(&certs, "lab.example:5000").unwrap();
        assert!(remove_certificates(&certs, "lab.example:5000").is_err());
    }
}
