//! The HTTP client for one host: TLS roots, client certificates, proxies, time limits.

use std::{path::Path, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, RootCertStore,
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

/// A client for `host`. `verify` is off only for insecure registries.
pub fn client(host: &str, settings: &Settings, verify: bool) -> Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .user_agent(AGENT)
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        .tls_backend_preconfigured(tls(&settings.host_files(host), verify)?);
    if let Some(proxy) = settings.proxy.as_deref() {
        let proxy = reqwest::Proxy::all(proxy)
            .map_err(|error| Error::Configuration(format!("proxy {proxy:?} cannot be used: {error}")))?;
        builder = builder.proxy(proxy.no_proxy(reqwest::NoProxy::from_string("localhost,127.0.0.0/8,::1")));
    }
    builder.build().map_err(|error| Error::Configuration(format!("HTTP client for {host}: {error}")))
}

fn tls(files: &HostFiles, verify: bool) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Configuration(format!("TLS: {error}")))?;
    let builder = if verify {
        builder.with_root_certificates(roots(files)?)
    } else {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(unverified::AcceptAny(provider)))
    };
    let Some((certificate, key)) = &files.identity else { return Ok(builder.with_no_client_auth()) };
    builder
        .with_client_auth_cert(certificates(certificate)?, private_key(key)?)
        .map_err(|error| Error::Configuration(format!("client certificate {}: {error}", certificate.display())))
}

/// The system's roots, the host's own, and the bundled ones where the system has none (the guest has no `/etc/ssl`).
fn roots(files: &HostFiles) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    let (added, _) = roots.add_parsable_certificates(system.certs);
    if added == 0 {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    for file in &files.authorities {
        for certificate in certificates(file)? {
            roots
                .add(certificate)
                .map_err(|error| Error::Configuration(format!("certificate authority {}: {error}", file.display())))?;
        }
    }
    Ok(roots)
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
