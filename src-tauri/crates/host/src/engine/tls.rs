//! The way to an engine that asks for certificates, as the docker CLI has them: `ca.pem`, `cert.pem`, `key.pem`.

use std::io;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::schema::EngineTls;

/// To `host:port`; both sides know each other afterwards.
pub async fn connect(place: &str, tls: &EngineTls) -> io::Result<TlsStream<TcpStream>> {
    let files = tls.clone();
    let config = tokio::task::spawn_blocking(move || config(&files)).await.map_err(io::Error::other)??;
    let host = place.rsplit_once(':').map_or(place, |(host, _)| host).trim_matches(['[', ']']);
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let stream = TcpStream::connect(place).await?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// Blocking. Trusts what this computer trusts, and the authority that is named.
fn config(tls: &EngineTls) -> io::Result<ClientConfig> {
    let unread = |path: &str| {
        let path = path.to_owned();
        move |err: rustls::pki_types::pem::Error| io::Error::other(format!("{path}: {err}"))
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for authority in CertificateDer::pem_file_iter(&tls.ca).map_err(unread(&tls.ca))? {
        roots.add(authority.map_err(unread(&tls.ca))?).map_err(io::Error::other)?;
    }
    let chain = CertificateDer::pem_file_iter(&tls.cert).map_err(unread(&tls.cert))?;
    let chain = chain.collect::<Result<Vec<_>, _>>().map_err(unread(&tls.cert))?;
    let key = PrivateKeyDer::from_pem_file(&tls.key).map_err(unread(&tls.key))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(io::Error::other)?.with_root_certificates(roots);
    builder.with_client_auth_cert(chain, key).map_err(io::Error::other)
}
