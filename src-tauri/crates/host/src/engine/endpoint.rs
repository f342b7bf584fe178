//! Where an engine is, and a client of it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bollard::{ClientVersion, Docker};
use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::ssh::{Target, Tunnel};
use super::tls;
use crate::local;
use crate::schema::{AppError, EngineEntry, EngineTls};

/// Seconds a single request may take: a stop waits for its container, a load for a large archive.
const TIMEOUT_S: u64 = 300;
const VERSION: ClientVersion = ClientVersion { major_version: 1, minor_version: 47 };
const MAX_ANSWER_BYTES: usize = 4 << 20;

#[derive(Clone, Debug)]
pub enum Endpoint {
    Unix(PathBuf),
    /// `host:port`
    Tcp(String, Option<EngineTls>),
    /// Through a socket of this computer, for as long as this is held.
    Ssh(Arc<Tunnel>),
}

/// The same place, whatever leads there.
impl PartialEq for Endpoint {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unix(a), Self::Unix(b)) => a == b,
            (Self::Tcp(a, tls), Self::Tcp(b, other)) => (a, tls) == (b, other),
            (Self::Ssh(a), Self::Ssh(b)) => a.target() == b.target(),
            _ => false,
        }
    }
}

impl Endpoint {
    /// Within a runtime: an address of ssh opens a socket in `directory`.
    ///
    /// # Errors
    /// When the address is none of `unix:///path`, `tcp://host:port` and `ssh://user@host`.
    pub fn of(entry: &EngineEntry, directory: &Path) -> Result<Self, AppError> {
        match Target::parse(&entry.address) {
            Some(target) => Ok(Self::Ssh(Arc::new(Tunnel::open(target, directory)?))),
            None => Self::parse(&entry.address, entry.tls.clone()),
        }
    }

    fn parse(address: &str, tls: Option<EngineTls>) -> Result<Self, AppError> {
        let wrong = || {
            let local = local::SCHEME;
            let detail = format!("{address:?} is none of {local}/path, tcp://host:port and ssh://user@host");
            AppError::failed("This is no address of an engine", detail)
        };
        if let Some(path) = address.strip_prefix(local::SCHEME) {
            return if path.starts_with('/') { Ok(Self::Unix(path.into())) } else { Err(wrong()) };
        }
        let place = address.strip_prefix("tcp://").ok_or_else(wrong)?.trim_end_matches('/');
        let port =
            place.rsplit_once(':').and_then(|(host, port)| (!host.is_empty()).then(|| port.parse::<u16>().ok())?);
        if port.is_some() { Ok(Self::Tcp(place.to_owned(), tls)) } else { Err(wrong()) }
    }

    /// Whether there is a network in between, which may be cut without a word.
    pub fn is_far(&self) -> bool {
        !matches!(self, Self::Unix(_))
    }

    /// Whether somebody else notices that the way was cut, and ends what goes through: ssh asks by itself.
    pub fn ends_by_itself(&self) -> bool {
        !matches!(self, Self::Tcp(..))
    }

    pub fn address(&self) -> String {
        match self {
            Self::Unix(path) => local::address(path),
            Self::Tcp(place, _) => format!("tcp://{place}"),
            Self::Ssh(tunnel) => tunnel.target().address(),
        }
    }

    /// Connects only when it is used, anew as needed.
    pub fn client(&self) -> Result<Docker, bollard::errors::Error> {
        match self {
            // Only the path's text is taken over; bollard asks for a file that exists, which it need not yet.
            Self::Unix(path) => local::docker(path, TIMEOUT_S, &VERSION),
            Self::Ssh(tunnel) => local::docker(tunnel.path(), TIMEOUT_S, &VERSION),
            Self::Tcp(_, None) => Docker::connect_with_http(&self.address(), TIMEOUT_S, &VERSION),
            Self::Tcp(_, Some(tls)) => {
                let (key, cert, ca) = (Path::new(&tls.key), Path::new(&tls.cert), Path::new(&tls.ca));
                Docker::connect_with_ssl(&self.address(), key, cert, ca, TIMEOUT_S, &VERSION)
            }
        }
    }

    /// One request of the API that bollard has no method for: status and body.
    pub async fn request(&self, method: &str, path: &str, body: String) -> Result<(u16, String), AppError> {
        let dialled = self.dial().await;
        let stream =
            dialled.map_err(|err| AppError::failed("The engine cannot be reached", crate::hardware::chain(&err)))?;
        ask(stream, method, path, body).await
    }

    /// A connection to speak HTTP on.
    pub async fn dial(&self) -> io::Result<Box<dyn Wire>> {
        Ok(match self {
            Self::Unix(socket) => Box::new(local::connect(socket).await?),
            Self::Ssh(tunnel) => Box::new(local::connect(tunnel.path()).await?),
            Self::Tcp(place, None) => Box::new(TcpStream::connect(place).await?),
            Self::Tcp(place, Some(tls)) => Box::new(tls::connect(place, tls).await?),
        })
    }
}

/// What leads to an engine, whatever it is.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// One request over a stream to any engine: status and body.
pub(crate) async fn ask(
    stream: Box<dyn Wire>,
    method: &str,
    path: &str,
    body: String,
) -> Result<(u16, String), AppError> {
    let failed = |err: &dyn std::fmt::Display| AppError::failed("The engine did not answer", err.to_string());
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|err| failed(&err))?;
    tokio::spawn(connection);
    let request =
        Request::builder().method(method).uri(path).header("host", "engine").header("content-type", "application/json");
    let request = request.body(Full::new(Bytes::from(body))).map_err(|err| failed(&err))?;
    let answer = sender.send_request(request).await.map_err(|err| failed(&err))?;
    let status = answer.status().as_u16();
    let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await.map_err(|err| failed(&err))?;
    Ok((status, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked() {
        assert_eq!(
            Endpoint::parse(&format!("{}/run/docker.sock", local::SCHEME), None).unwrap(),
            Endpoint::Unix("/run/docker.sock".into())
        );
        assert_eq!(Endpoint::parse("tcp://box:2375/", None).unwrap(), Endpoint::Tcp("box:2375".into(), None));
        for wrong in [
            "",
            "docker.sock",
            "unix://relative",
            "npipe://relative",
            "tcp://",
            "tcp://:1",
            "tcp://box",
            "tcp://box:99999",
            "ssh://a@b",
        ] {
            assert!(Endpoint::parse(wrong, None).is_err(), "{wrong}");
        }
    }
}
