//! Where the engine's API can be reached: Unix sockets, loopback TCP, and vsock in the guest.

use std::{
    fmt, fs, io,
    net::{SocketAddr, ToSocketAddrs},
    os::{
        fd::AsFd,
        unix::fs::{FileTypeExt, PermissionsExt},
    },
    path::PathBuf,
    str::FromStr,
};

use anyhow::{Context, bail};
use cubby_api::server::Api;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::Semaphore,
    task::JoinHandle,
};

use crate::from_host;

/// Connections served at once per listener; further ones wait in the kernel's backlog.
const MAX_CONNECTIONS: usize = 8192;

/// An address to listen on, as written on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `unix:///path`
    Unix(PathBuf),
    /// `tcp://host:port`
    Tcp(SocketAddr),
    /// `vsock://port`
    Vsock(u32),
}

impl FromStr for Address {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        if let Some(path) = text.strip_prefix("unix://") {
            if !path.starts_with('/') {
                bail!("{text}: a Unix socket needs an absolute path, as in unix:///run/cubby.sock");
            }
            return Ok(Self::Unix(path.into()));
        }
        if let Some(address) = text.strip_prefix("tcp://") {
            let resolved = address.to_socket_addrs().with_context(|| format!("{text}: not a host and port"))?.next();
            return resolved.map(Self::Tcp).with_context(|| format!("{text}: the host has no address"));
        }
        if let Some(port) = text.strip_prefix("vsock://") {
            return Ok(Self::Vsock(port.parse().with_context(|| format!("{text}: not a vsock port"))?));
        }
        bail!("{text}: listen on unix:///path, tcp://address:port or vsock://port")
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
            Self::Vsock(port) => write!(f, "vsock://{port}"),
        }
    }
}

/// A bound address; the socket file goes when this is dropped.
pub struct Listening {
    task: JoinHandle<()>,
    socket: Option<PathBuf>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(path) = &self.socket {
            // Why: somebody else may have taken the path over; there is nothing better to do then than leave.
            let _ = fs::remove_file(path);
        }
    }
}

impl Address {
    /// Binds and starts to serve.
    pub async fn serve(&self, api: Api) -> anyhow::Result<Listening> {
        match self {
            Self::Unix(path) => {
                remove_stale(path).await?;
                let listener = UnixListener::bind(path).with_context(|| format!("listen on {self}"))?;
                fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
                let accept = async move || listener.accept().await.map(|(stream, _)| stream);
                Ok(Listening { task: tokio::spawn(accept_loop(api, accept)), socket: Some(path.clone()) })
            }
            Self::Tcp(address) => {
                if !address.ip().is_loopback() {
                    bail!("{self}: off loopback the API needs TLS client certificates, which are not configured");
                }
                let listener = TcpListener::bind(address).await.with_context(|| format!("listen on {self}"))?;
                let accept = async move || {
                    let (stream, _) = listener.accept().await?;
                    stream.set_nodelay(true)?;
                    Ok(stream)
                };
                Ok(Listening { task: tokio::spawn(accept_loop(api, accept)), socket: None })
            }
            Self::Vsock(port) => {
                let listener = from_host::listen(*port).with_context(|| format!("listen on {self}"))?;
                let accept = async move || listener.accept().await.map(|(stream, _)| stream);
                Ok(Listening { task: tokio::spawn(accept_loop(api, accept)), socket: None })
            }
        }
    }
}

/// A socket file that nobody answers on is left over from a crash; one that answers is another engine's.
async fn remove_stale(path: &PathBuf) -> anyhow::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
            }
            return Ok(());
        }
        Err(error) => return Err(error).with_context(|| format!("look at {}", path.display())),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            bail!("{} exists and is not a socket: remove it or choose another path", path.display())
        }
        Ok(_) => {}
    }
    if tokio::net::UnixStream::connect(path).await.is_ok() {
        bail!("{} is served by another engine: stop it or choose another path", path.display());
    }
    fs::remove_file(path).with_context(|| format!("remove the stale socket {}", path.display()))
}

async fn accept_loop<S>(api: Api, mut accept: impl AsyncFnMut() -> io::Result<S>)
where
    S: AsyncRead + AsyncWrite + AsFd + Send + Unpin + 'static,
{
    let slots = std::sync::Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        match accept().await {
            Ok(stream) => {
                let api = api.clone();
                tokio::spawn(async move {
                    api.serve(stream).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(err = %error, "accept failed");
                // Why: out of descriptors; accepting again at once would spin until one is free.
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_nonsense_names_the_remedy() {
        assert_eq!("unix:///a/b".parse::<Address>().unwrap(), Address::Unix("/a/b".into()));
        assert_eq!("tcp://127.0.0.1:2375".parse::<Address>().unwrap().to_string(), "tcp://127.0.0.1:2375");
        assert_eq!("vsock://2375".parse::<Address>().unwrap(), Address::Vsock(2375));
        assert!("fd://".parse::<Address>().unwrap_err().to_string().contains("unix:///path"));
        assert!("unix://relative".parse::<Address>().is_err());
    }
}
