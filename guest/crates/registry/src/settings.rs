//! How registries are reached: what may be plain HTTP, which mirrors stand before them, whose certificates count.

use std::{
    collections::HashMap,
    net::IpAddr,
    path::{Path, PathBuf},
};

/// Settings for all registries; the default fits a machine without any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Hosts (`name`, `name:port`) and networks (`10.0.0.0/8`, for registries named by address) that may be spoken to in
    /// plain HTTP or with an unverified certificate.
    pub insecure: Vec<String>,
    /// Host → base URLs that are tried before it, pulls only.
    pub mirrors: HashMap<String, Vec<String>>,
    /// Directories with `<host>[:port]/{*.crt, *.cert, *.key}`, laid out as dockerd's `certs.d`; all of them count.
    pub certificates: Vec<PathBuf>,
    /// Files of authorities that count for every host; an absent one is fine, and what no program could use is passed over.
    pub authorities: Vec<PathBuf>,
    /// Through whom registries are reached.
    pub proxies: Proxies,
}

/// One of the servers that may have a registry's images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The nth of its mirrors; pulls only.
    Mirror(usize),
    Itself,
}

/// Proxies as `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` name them; loopback is always spoken to directly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For `http://` addresses.
    pub http: Option<String>,
    /// For `https://` addresses.
    pub https: Option<String>,
    /// Hosts, domains and networks without proxy, separated by commas.
    pub none_for: Option<String>,
}

impl Proxies {
    /// What a process's environment says. Source: Go `httpproxy.FromEnvironment`, which dockerd uses.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let either = |upper: &str| {
            variable(upper).or_else(|| variable(&upper.to_lowercase())).filter(|value| !value.trim().is_empty())
        };
        Self { http: either("HTTP_PROXY"), https: either("HTTPS_PROXY"), none_for: either("NO_PROXY") }
    }
}

/// A network, `address/bits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        let (address, bits) = (address.parse::<IpAddr>().ok()?, bits.parse::<u8>().ok()?);
        let most = if address.is_ipv4() { 32 } else { 128 };
        (bits <= most).then_some(Self { address, bits })
    }

    fn contains(&self, other: IpAddr) -> bool {
        let number = |address: IpAddr| match address {
            IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, true),
            IpAddr::V6(address) => (address.to_bits(), false),
        };
        let ((ours, ours_v4), (theirs, theirs_v4)) = (number(self.address), number(other));
        let kept = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
        ours_v4 == theirs_v4 && ours & kept == theirs & kept
    }
}

/// A certificate authority file and, for client authentication, certificate and key files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HostFiles {
    pub authorities: Vec<PathBuf>,
    /// Those that count for every host.
    pub everybodys: Vec<PathBuf>,
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl Settings {
    /// Whether `host` (with its port) may be insecure. Loopback always may, as in dockerd.
    pub fn is_insecure(&self, host: &str) -> bool {
        let name = host_name(host);
        let address = name.parse::<IpAddr>().ok();
        let within = |known: &String| {
            address.is_some_and(|address| Network::parse(known).is_some_and(|network| network.contains(address)))
        };
        is_loopback(name) || self.insecure.iter().any(|known| known == host || known == name || within(known))
    }

    /// Where a registry's images may be read, best first: its mirrors, then the registry itself.
    pub fn places(&self, domain: &str) -> Vec<Place> {
        let mirrors = self.mirrors.get(domain).map_or(0, Vec::len);
        (0..mirrors).map(Place::Mirror).chain([Place::Itself]).collect()
    }

    /// The files of `certs.d/<host>`, sorted, so that the choice does not depend on the directory's order.
    pub(crate) fn host_files(&self, host: &str) -> HostFiles {
        // Why: the host comes from an image's name; it must not name another directory.
        let plain = !host.contains(['/', '\\']) && host != ".." && host != ".";
        let mut files: Vec<PathBuf> = Vec::new();
        for dir in self.certificates.iter().filter(|_| plain).map(|dir| dir.join(host)) {
            let found = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
            let mut found: Vec<PathBuf> = found.filter(|path| !is_hidden(path)).collect();
            found.sort();
            files.extend(found);
        }
        let with = |extension: &'static str| files.iter().filter(move |file| has_extension(file, extension)).cloned();
        let identity = with("cert").find_map(|certificate| {
            let key = certificate.with_extension("key");
            key.exists().then_some((certificate, key))
        });
        HostFiles { authorities: with("crt").collect(), everybodys: self.authorities.clone(), identity }
    }
}

/// Whether a host's name, without port, means this machine.
pub(crate) fn is_loopback(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A file that is being written.
fn is_hidden(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn has_extension(file: &Path, extension: &str) -> bool {
    file.extension().is_some_and(|found| found == extension)
}

/// The host without its port and without the brackets of an IPv6 address.
pub(crate) fn host_name(host: &str) -> &str {
    if let Some(bracketed) = host.strip_prefix('[') {
        return bracketed.split(']').next().unwrap_or_default();
    }
    host.split(':').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_and_configured_hosts_may_be_insecure() {
        let insecure = ["lab.example:5000", "192.0.2.0/24", "2001:db8::/32"].map(str::to_owned).to_vec();
        let settings = Settings { insecure, ..Settings::default() };
        for host in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:5000",
            "127.8.8.8",
            "[::1]:5000",
            "lab.example:5000",
            "192.0.2.77:5000",
            "[2001:db8::1]:5000",
        ] {
            assert!(settings.is_insecure(host), "{host}");
        }
        for host in ["lab.example", "localhost.example", "10.0.0.1:5000", "192.0.3.1", "registry-1.docker.io"] {
            assert!(!settings.is_insecure(host), "{host}");
        }
    }

    #[test]
    fn the_environment_names_proxies_in_either_case() {
        let variables = HashMap::from([("https_proxy", "http://proxy.example:3128"), ("NO_PROXY", "lab.example")]);
        let proxies = Proxies::from_environment(|name| variables.get(name).map(|value| (*value).to_owned()));
        assert_eq!((proxies.http, proxies.https.as_deref()), (None, Some("http://proxy.example:3128")));
        assert_eq!(proxies.none_for.as_deref(), Some("lab.example"));
    }

    #[test]
    fn a_hosts_files_are_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let host = dir.path().join("lab.example:5000");
        std::fs::create_dir(&host).unwrap();
        for name in ["ca.crt", "client.cert", "client.key", "lonely.cert"] {
            std::fs::write(host.join(name), "").unwrap();
        }
        let settings = Settings { certificates: vec![dir.path().to_owned()], ..Settings::default() };
        let files = settings.host_files("lab.example:5000");
        assert_eq!(files.authorities, [host.join("ca.crt")]);
        assert_eq!(files.identity, Some((host.join("client.cert"), host.join("client.key"))));
        assert_eq!(settings.host_files("../etc"), HostFiles::default());
    }
}
