//! How registries are reached: what may be plain HTTP, which mirrors stand before them, whose certificates count.

use std::{
    collections::HashMap,
    net::IpAddr,
    path::{Path, PathBuf},
};

/// Settings for all registries; the default fits a machine without any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Hosts (`name` or `name:port`) that may be spoken to in plain HTTP or with an unverified certificate.
    pub insecure: Vec<String>,
    /// Host → base URLs that are tried before it, pulls only.
    pub mirrors: HashMap<String, Vec<String>>,
    /// Directory with `<host>[:port]/{*.crt, *.cert, *.key}`, laid out as dockerd's `certs.d`.
    pub certificates: Option<PathBuf>,
    /// Proxy URL for all requests but those to loopback; the environment's variables count when unset.
    pub proxy: Option<String>,
}

/// A certificate authority file and, for client authentication, certificate and key files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HostFiles {
    pub authorities: Vec<PathBuf>,
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl Settings {
    /// Whether `host` (with its port) may be insecure. Loopback always may, as in dockerd.
    pub fn is_insecure(&self, host: &str) -> bool {
        let name = host_name(host);
        let loopback =
            name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        loopback || self.insecure.iter().any(|known| known == host || known == name)
    }

    /// The files of `certs.d/<host>`, sorted, so that the choice does not depend on the directory's order.
    pub(crate) fn host_files(&self, host: &str) -> HostFiles {
        // Why: the host comes from an image's name; it must not name another directory.
        let plain = !host.contains(['/', '\\']) && host != ".." && host != ".";
        let Some(dir) = self.certificates.as_ref().filter(|_| plain).map(|dir| dir.join(host)) else {
            return HostFiles::default();
        };
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        files.sort();
        let with = |extension: &'static str| files.iter().filter(move |file| has_extension(file, extension)).cloned();
        let identity = with("cert").find_map(|certificate| {
            let key = certificate.with_extension("key");
            key.exists().then_some((certificate, key))
        });
        HostFiles { authorities: with("crt").collect(), identity }
    }
}

fn has_extension(file: &Path, extension: &str) -> bool {
    file.extension().is_some_and(|found| found == extension)
}

/// The host without its port and without the brackets of an IPv6 address.
fn host_name(host: &str) -> &str {
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
        let settings = Settings { insecure: vec!["lab.example:5000".into()], ..Settings::default() };
        for host in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.8.8.8", "[::1]:5000", "lab.example:5000"] {
            assert!(settings.is_insecure(host), "{host}");
        }
        for host in ["lab.example", "localhost.example", "10.0.0.1:5000", "registry-1.docker.io"] {
            assert!(!settings.is_insecure(host), "{host}");
        }
    }

    #[test]
    fn a_hosts_files_are_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let host = dir.path().join("lab.example:5000");
        std::fs::create_dir(&host).unwrap();
        for name in ["ca.crt", "client.cert", "client.key", "lonely.cert"] {
            std::fs::write(host.join(name), "").unwrap();
        }
        let settings = Settings { certificates: Some(dir.path().to_owned()), ..Settings::default() };
        let files = settings.host_files("lab.example:5000");
        assert_eq!(files.authorities, [host.join("ca.crt")]);
        assert_eq!(files.identity, Some((host.join("client.cert"), host.join("client.key"))));
        assert_eq!(settings.host_files("../etc"), HostFiles::default());
    }
}
