//! `cubby demo`: the bundled container, from nothing to its page.

use std::time::Duration;

use cubby_host::dirs::Dirs;
use cubby_host::engine::{self, convert, run as engine_run};
use cubby_host::hardware;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::power;
use crate::failure::Failure;
use crate::say;

/// How long its server may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);
const MAX_PAGE_BYTES: u64 = 4 << 20;

pub async fn run(dirs: &Dirs, print: bool, port: u16) -> Result<(), Failure> {
    power::ensure_up(dirs).await?;
    let docker = engine::client(dirs)?;
    let container = engine_run::demo(&docker, hardware::demo_image().as_deref(), port).await?;
    let options = None::<bollard::query_parameters::InspectContainerOptions>;
    let row = convert::container(docker.inspect_container(&container.id, options).await?, convert::Known::default());
    let published = row.ports.iter().find_map(|port| Some((port.host_port?, port.url.clone()?)));
    let (host_port, url) = published.ok_or_else(|| Failure::failed("the demo container has no published port"))?;
    let page = answer(host_port).await.map_err(|err| {
        Failure::failed(format!("the demo does not answer on {url}: {err}\nSee: docker logs {}", container.name))
    })?;
    if print {
        say!("{page}");
    } else {
        say!("{url}");
    }
    Ok(())
}

/// The page, as soon as the server is there.
async fn answer(port: u16) -> std::io::Result<String> {
    let give_up = Instant::now() + PATIENCE;
    loop {
        match tokio::time::timeout(Duration::from_secs(10), fetch(port)).await {
            Ok(Ok(page)) => return Ok(page),
            Ok(Err(err)) if Instant::now() >= give_up => return Err(err),
            Err(_) if Instant::now() >= give_up => return Err(std::io::ErrorKind::TimedOut.into()),
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// One plain request: HTTP/1.0, so that the answer is neither chunked nor kept open.
async fn fetch(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(b"GET / HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.take(MAX_PAGE_BYTES).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, page) = answer.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let status = head.lines().next().unwrap_or_default();
    if !status.contains(" 200") {
        return Err(std::io::Error::other(format!("it answered {status:?}")));
    }
    Ok(page.to_owned())
}
