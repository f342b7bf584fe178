//! What a container is told of the way out, if it asks: the engine's proxies, and the certificates of authorities that the user
//! trusts beside the public ones.
//!
//! | label | what the container gets |
//! |---|---|
//! | `cubby.proxies=engine` | `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`, in small letters too |
//! | `cubby.certificates=engine` | its image's bundle of authorities with ours behind, mounted over it, and variables for programs with bundles of their own |
//!
//! Why asked for: a proxy's address may have a password in it, and most containers never leave their networks. What the
//! container's own configuration says goes before. Docker's clients hand over proxies of their own (`proxies` of their
//! `config.json`), which are such configuration.

use std::{
    fs,
    io::{self, Read},
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat2};

use super::{Containers, model::Record, spec::ReadyMount};
use crate::{
    error::{Error, Result},
    images::{Proxies, extra_authorities},
};

const PROXIES: &str = "cubby.proxies";
const CERTIFICATES: &str = "cubby.certificates";
const OF_THE_ENGINE: &str = "engine";

/// Where images have their authorities: Debian and Alpine, Fedora, musl's and OpenSSL's own, SUSE.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
];
/// A larger bundle of an image is not read.
const BUNDLE_BYTES: u64 = 8 << 20;
/// All extra authorities together.
const EXTRA_BYTES: usize = 1 << 20;

/// Variables and mounts for one start.
#[derive(Default)]
pub(super) struct Outside {
    pub env: Vec<String>,
    pub mount: Option<ReadyMount>,
}

impl Containers {
    /// What the container asked for.
    ///
    /// # Errors
    /// System, when a bundle cannot be written.
    pub(super) async fn outside(&self, record: &Record, root: &OwnedFd) -> Result<Outside> {
        let mut outside = Outside::default();
        if asks(record, PROXIES) {
            outside.env = variables(&self.parts.images.registries().options().proxies);
        }
        if asks(record, CERTIFICATES) {
            let (extra, directory) = (extra_authorities(&self.parts.config.data_root), self.directory(&record.id));
            let root = root.try_clone().map_err(|source| Error::system("keep the container's root", source))?;
            let written = tokio::task::spawn_blocking(move || bundle(&extra, &directory, root)).await;
            let written = written.map_err(|error| Error::internal(format!("certificates: {error}")))?;
            let written = written.map_err(|source| Error::system("write the container's certificates", source))?;
            if let Some((source, destination)) = written {
                let named = ["NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"];
                outside.env.extend(named.map(|name| format!("{name}={destination}")));
                outside.mount = Some(ReadyMount::Bind {
                    source,
                    destination: destination.to_owned(),
                    read_only: true,
                    read_only_below: false,
                    recursive: false,
                    propagation: String::new(),
                });
            }
        }
        Ok(outside)
    }

    /// The extra authorities, PEM; empty when there are none.
    ///
    /// # Errors
    /// System, when they cannot be read.
    pub async fn certificates(&self) -> Result<String> {
        let path = extra_authorities(&self.parts.config.data_root);
        let read = tokio::task::spawn_blocking(move || read_extra(&path)).await;
        let read = read.map_err(|error| Error::internal(format!("certificates: {error}")))?;
        read.map_err(|source| Error::system("read extra certificates", source))
    }

    /// Replaces the extra authorities; an empty text removes them. Containers that start and registries that are asked from now on have them.
    ///
    /// # Errors
    /// Invalid for what is no list of certificates.
    pub async fn set_certificates(&self, pem: String) -> Result<()> {
        check(&pem)?;
        let path = extra_authorities(&self.parts.config.data_root);
        let written = tokio::task::spawn_blocking(move || {
            let fresh = path.with_extension("part");
            fs::write(&fresh, pem)?;
            fs::rename(fresh, path)
        });
        let written = written.await.map_err(|error| Error::internal(format!("certificates: {error}")))?;
        written.map_err(|source| Error::system("write extra certificates", source))
    }
}

fn asks(record: &Record, label: &str) -> bool {
    record.config.labels().any(|(name, value)| name == label && value == OF_THE_ENGINE)
}

/// As programs look for them; of `ALL_PROXY` the engine knows nothing.
fn variables(proxies: &Proxies) -> Vec<String> {
    let all =
        [("HTTP_PROXY", &proxies.http_proxy), ("HTTPS_PROXY", &proxies.https_proxy), ("NO_PROXY", &proxies.no_proxy)];
    let set = all.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    set.flat_map(|(name, value)| [format!("{name}={value}"), format!("{}={value}", name.to_lowercase())]).collect()
}

fn read_extra(path: &Path) -> io::Result<String> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => read,
    }
}

fn check(pem: &str) -> Result<()> {
    let count = |mark: &str| pem.matches(mark).count();
    let certificates = count("-----BEGIN CERTIFICATE-----");
    if pem.len() > EXTRA_BYTES {
        return Err(Error::invalid(format!("certificates of more than {EXTRA_BYTES} bytes")));
    }
    if pem.trim().is_empty() {
        return Ok(());
    }
    if certificates == 0 || certificates != count("-----END CERTIFICATE-----") || certificates != count("-----BEGIN ") {
        return Err(Error::invalid("not a PEM file of certificates and nothing else"));
    }
    Ok(())
}

/// Writes the image's bundle and ours behind it; where it is, and what it is mounted over. None without extra authorities.
fn bundle(extra: &Path, directory: &Path, root: OwnedFd) -> io::Result<Option<(PathBuf, &'static str)>> {
    let extra = read_extra(extra)?;
    if extra.trim().is_empty() {
        return Ok(None);
    }
    let own = BUNDLES.into_iter().find_map(|path| Some((path, read_in(&root, path)?)));
    let (destination, mut text) = own.unwrap_or((BUNDLES[0], Vec::new()));
    if !text.is_empty() && !text.ends_with(b"\n") {
        text.push(b'\n');
    }
    text.extend(extra.as_bytes());
    let path = directory.join("ca-certificates.crt");
    fs::write(&path, text)?;
    Ok(Some((path, destination)))
}

/// A regular file of the image's. The image is hostile: nothing outside its root is opened, nothing that blocks is read.
fn read_in(root: impl AsFd, path: &str) -> Option<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let file = openat2(root, path, flags, Mode::empty(), resolve).ok()?;
    let stat = fstat(&file).ok()?;
    if !FileType::from_raw_mode(stat.st_mode).is_file() {
        return None;
    }
    let mut text = Vec::new();
    let read = fs::File::from(file).take(BUNDLE_BYTES).read_to_end(&mut text).ok()?;
    (0 < read && (read as u64) < BUNDLE_BYTES).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";

    #[test]
    fn only_certificates_are_taken() {
        for good in ["", "\n", ONE, &ONE.repeat(3)] {
            check(good).unwrap();
        }
        let key = format!("{ONE}-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n");
        for bad in ["x", "-----BEGIN CERTIFICATE-----\nAA==\n", &key, &"x".repeat(EXTRA_BYTES + 1)] {
            assert!(check(bad).is_err());
        }
    }

    #[test]
    fn ours_stand_behind_the_images_own_and_links_do_not_lead_out() {
        let dir = tempfile::tempdir().unwrap();
        let (root, own) = (dir.path().join("root"), dir.path().join("own"));
        fs::create_dir_all(root.join("etc/ssl/certs")).unwrap();
        fs::create_dir(&own).unwrap();
        let extra = dir.path().join("ca.crt");
        let open = || OwnedFd::from(fs::File::open(&root).unwrap());
        assert!(bundle(&extra, &own, open()).unwrap().is_none(), "nothing extra, nothing mounted");
        fs::write(&extra, ONE).unwrap();
        let (path, destination) = bundle(&extra, &own, open()).unwrap().unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), destination), (ONE, BUNDLES[0]));
        fs::write(root.join("etc/ssl/cert.pem"), "image").unwrap();
        let (path, destination) = bundle(&extra, &own, open()).unwrap().unwrap();
        assert_eq!((fs::read_to_string(path).unwrap(), destination), (format!("image\n{ONE}"), BUNDLES[2]));
        fs::write(dir.path().join("secret"), "secret").unwrap();
        std::os::unix::fs::symlink("../../../../secret", root.join("etc/ssl/certs/ca-certificates.crt")).unwrap();
        let (path, _) = bundle(&extra, &own, open()).unwrap().unwrap();
        assert!(!fs::read_to_string(path).unwrap().contains("secret"));
    }

    #[test]
    fn proxies_are_named_as_programs_look_for_them() {
        let proxies = Proxies { http_proxy: Some("http://p:1".into()), ..Proxies::default() };
        assert_eq!(variables(&proxies), ["HTTP_PROXY=http://p:1", "http_proxy=http://p:1"]);
    }
}
