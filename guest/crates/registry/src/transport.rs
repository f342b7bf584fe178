//! The HTTP client for one host: TLS roots, client certificates, proxies, time limits.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::{Method, RequestBuilder};
use rustls::{
    ClientConfig, RootCertStore,
    client::WebPkiServerVerifier,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use crate::{
    error::{Error, Result},
    settings::{HostFiles, Settings},
};

/// A host that has not accepted a connection by then is unreachable.
const CONNECT: Duration = Duration::from_secs(15);
/// A host that has been silent for so long in the middle of an answer is gone.
const SILENCE: Duration = Duration::from_secs(60);

const AGENT: &str = concat!("cubby/", env!("CARGO_PKG_VERSION"));

/// A client for one host.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    /// Which proxy an address is reached through.
    proxies: Arc<Matcher>,
}

impl Client {
    pub fn request(&self, method: Method, url: &str) -> RequestBuilder {
        self.http.request(method, url)
    }

    /// Why a request got no answer.
    pub fn failed(&self, method: &str, url: &str, error: &reqwest::Error) -> Error {
        let through = url.parse().ok().and_then(|url| self.proxies.intercept(&url)).filter(|_| error.is_connect());
        let proxy = through.and_then(|proxy| proxy.uri().authority().map(|host| host.as_str().to_owned()));
        Error::no_answer(method, url, proxy.as_deref(), error)
    }
}

/// A client for `host`. `verify` is off only for insecure registries.
pub fn client(host: &str, settings: &Settings, verify: bool) -> Result<Client> {
    let mut builder = reqwest::Client::builder()
        .user_agent(AGENT)
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        .tls_backend_preconfigured(tls(&settings.host_files(host), verify)?);
    // Why first: without it the library would read the environment again, which the settings have read.
    builder = builder.no_proxy();
    for proxy in proxies(host, settings)? {
        builder = builder.proxy(proxy);
    }
    let proxies = matcher(host, settings);
    if format!("http://{host}/").parse().is_ok_and(|url| proxies.intercept(&url).is_some()) {
        // Why: there are proxies that promise to keep a connection and close it after the answer all the same; what is
        // sent on it in between is lost, and an upload must not be sent twice unasked. A tunnel is its two ends' own.
        builder = builder.pool_max_idle_per_host(0);
    }
    let http = builder.build().map_err(|error| Error::Configuration(format!("HTTP client for {host}: {error}")))?;
    Ok(Client { http, proxies: Arc::new(proxies) })
}

/// Hosts that are spoken to directly: loopback always, whatever the settings say. What names a port too counts when it
/// is `host`'s. Source: Go `httpproxy.Config` NoProxy.
fn direct(host: &str, settings: &Settings) -> String {
    let port_of = |host: &str| host.rsplit_once(':').filter(|(name, _)| is_whole(name))?.1.parse::<u16>().ok();
    let port = port_of(host).unwrap_or(443);
    let named = settings.proxies.none_for.as_deref().unwrap_or_default().split(',').map(str::trim);
    let fitting = named.filter_map(|entry| match port_of(entry) {
        Some(wanted) => (wanted == port).then(|| entry.rsplit_once(':').map_or(entry, |(name, _)| name)),
        None => Some(entry),
    });
    // Why so: the library's `*` is for names alone.
    let spelt = fitting.flat_map(|entry| if entry == "*" { vec!["*", "0.0.0.0/0", "::/0"] } else { vec![entry] });
    let all = ["localhost", "127.0.0.0/8", "::1"].into_iter().chain(spelt.filter(|entry| !entry.is_empty()));
    all.collect::<Vec<_>>().join(",")
}

/// Whether this is a host, and not the beginning of an IPv6 address.
fn is_whole(name: &str) -> bool {
    !name.contains(':') || (name.starts_with('[') && name.ends_with(']'))
}

fn matcher(host: &str, settings: &Settings) -> Matcher {
    let address = |named: &Option<String>| named.clone().unwrap_or_default();
    let (http, https) = (address(&settings.proxies.http), address(&settings.proxies.https));
    Matcher::builder().http(http).https(https).no(direct(host, settings)).build()
}

fn proxies(host: &str, settings: &Settings) -> Result<Vec<reqwest::Proxy>> {
    let named = &settings.proxies;
    let direct = reqwest::NoProxy::from_string(&direct(host, settings));
    let one = |address: &Option<String>, make: fn(&str) -> reqwest::Result<reqwest::Proxy>| {
        let made = address.as_deref().map(|url| make(&with_remote_names(url))).transpose();
        // Why without the address: it may carry a password.
        made.map_err(|error| Error::Configuration(format!("the proxy cannot be used: {}", error.without_url())))
    };
    let made =
        [one(&named.http, |url| reqwest::Proxy::http(url))?, one(&named.https, |url| reqwest::Proxy::https(url))?];
    Ok(made.into_iter().flatten().map(|proxy| proxy.no_proxy(direct.clone())).collect())
}

/// A SOCKS proxy resolves names itself: it often knows some that nobody else does. Source: Go `net/http` `Transport.Proxy`.
fn with_remote_names(url: &str) -> String {
    url.strip_prefix("socks5://").map_or_else(|| url.to_owned(), |rest| format!("socks5h://{rest}"))
}

fn tls(files: &HostFiles, verify: bool) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Configuration(format!("TLS: {error}")))?;
    let builder = if verify {
        let mut trusted = trusted(files)?;
        let mut roots = system_roots().clone();
        for certificate in &trusted {
            roots.add(certificate.clone()).map_err(|error| {
                Error::Configuration(format!("a certificate authority of this registry cannot be used: {error}"))
            })?;
        }
        let everybodys = usable(&files.everybodys);
        roots.add_parsable_certificates(everybodys.iter().cloned());
        trusted.extend(everybodys);
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| Error::Configuration(format!("TLS: {error}")))?;
        builder.dangerous().with_custom_certificate_verifier(Arc::new(itself::OrItself { verifier, trusted }))
    } else {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(unverified::AcceptAny(provider)))
    };
    let Some((certificate, key)) = &files.identity else { return Ok(builder.with_no_client_auth()) };
    builder
        .with_client_auth_cert(certificates(certificate)?, private_key(key)?)
        .map_err(|error| match error {
            // In Go's words, which dockerd's users know. Source: Go `crypto/tls` X509KeyPair.
            rustls::Error::InconsistentKeys(_) => "tls: private key does not match public key".to_owned(),
            error => error.to_string(),
        })
        .map_err(|error| Error::Configuration(format!("client certificate {}: {error}", certificate.display())))
}

/// The system's roots, and the bundled ones where the system has none (the guest has no `/etc/ssl`).
fn system_roots() -> &'static RootCertStore {
    /// Why once: reading a hundred files for each request would be the longest part of it.
    static SYSTEM: OnceLock<RootCertStore> = OnceLock::new();
    SYSTEM.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        let system = rustls_native_certs::load_native_certs();
        let (added, _) = roots.add_parsable_certificates(system.certs);
        if added == 0 {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        roots
    })
}

/// The host's own authorities.
fn trusted(files: &HostFiles) -> Result<Vec<CertificateDer<'static>>> {
    let read = files.authorities.iter().map(|file| certificates(file)).collect::<Result<Vec<_>>>()?;
    Ok(read.into_iter().flatten().collect())
}

/// What can be read of certificates that every registry depends on: one bad entry shall not cut them all off.
fn usable(files: &[PathBuf]) -> Vec<CertificateDer<'static>> {
    let read = files.iter().filter_map(|file| CertificateDer::pem_file_iter(file).ok());
    read.flatten().filter_map(std::result::Result::ok).collect()
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|error| Error::Configuration(format!("certificate {}: {error}", file.display())))
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(file)
        .map_err(|error| Error::Configuration(format!("private key {}: {error}", file.display())))
}

mod itself {
    //! A registry whose certificate is the very one that its user put beside it as `ca.crt`: what `openssl req -x509`
    //! makes, and Docker's handbook recommends, is an authority and a server in one, which the rules for the web refuse.

    use std::sync::Arc;

    use rustls::{
        CertificateError, DigitallySignedStruct, Error, SignatureScheme,
        client::{
            WebPkiServerVerifier,
            danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
            verify_server_name,
        },
        pki_types::{CertificateDer, ServerName, UnixTime},
        server::ParsedCertificate,
    };

    #[derive(Debug)]
    pub struct OrItself {
        pub verifier: Arc<WebPkiServerVerifier>,
        pub trusted: Vec<CertificateDer<'static>>,
    }

    impl ServerCertVerifier for OrItself {
        fn verify_server_cert(
            &self,
            certificate: &CertificateDer<'_>,
            intermediates: &[CertificateDer<'_>],
            name: &ServerName<'_>,
            ocsp: &[u8],
            now: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            match self.verifier.verify_server_cert(certificate, intermediates, name, ocsp, now) {
                Err(Error::InvalidCertificate(CertificateError::Other(_) | CertificateError::UnknownIssuer))
                    if self.trusted.iter().any(|trusted| trusted.as_ref() == certificate.as_ref()) =>
                {
                    verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                    Ok(ServerCertVerified::assertion())
                }
                verdict => verdict,
            }
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.verifier.verify_tls12_signature(message, certificate, signature)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.verifier.verify_tls13_signature(message, certificate, signature)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.verifier.supported_verify_schemes()
        }
    }
}

mod unverified {
    //! For hosts that the user has declared insecure, and loopback.

    use std::sync::Arc;

    use rustls::{
        DigitallySignedStruct, Error, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::CryptoProvider,
        pki_types::{CertificateDer, ServerName, UnixTime},
    };

    #[derive(Debug)]
    pub struct AcceptAny(pub Arc<CryptoProvider>);

    impl ServerCertVerifier for AcceptAny {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            rustls::crypto::verify_tls12_signature(
                message,
                certificate,
                signature,
                &self.0.signature_verification_algorithms,
            )
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            rustls::crypto::verify_tls13_signature(
                message,
                certificate,
                signature,
                &self.0.signature_verification_algorithms,
            )
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Proxies;

    #[test]
    fn hosts_without_proxy_may_be_named_with_their_port() {
        let none_for = Some("a.example:5000, b.example:443,[2001:db8::1]:5000,fd00::/8,c.example".to_owned());
        let settings = Settings { proxies: Proxies { none_for, ..Proxies::default() }, ..Settings::default() };
        let always = "localhost,127.0.0.0/8,::1";
        let others = "fd00::/8,c.example";
        assert_eq!(direct("x:5000", &settings), format!("{always},a.example,[2001:db8::1],{others}"));
        assert_eq!(direct("x", &settings), format!("{always},b.example,{others}"));
    }
}
