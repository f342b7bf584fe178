//! `cubby ports`: why a published port does not answer. This computer's own hops are tried here, those behind them by the
//! engine (`GET /cubby/containers/{id}/ports`).

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bollard::query_parameters::ListContainersOptions;
use cubby_host::dirs::Dirs;
use cubby_host::engine::{self, endpoint::Endpoint};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;

use crate::failure::Failure;
use crate::say;

/// How long a listener of this computer may take to accept.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a connection is watched for being broken off on its way.
const WATCH: Duration = Duration::from_millis(300);

/// The name of the last hop.
const THROUGH: &str = "through";

/// As `guest/crates/engine` writes it; the hop of this computer is put in front.
#[derive(Deserialize, Serialize)]
struct Report {
    id: String,
    name: String,
    status: String,
    ports: Vec<Port>,
    listeners: Vec<String>,
}

#[derive(Deserialize, Serialize)]
struct Port {
    container_port: String,
    host_ip: String,
    host_port: String,
    hops: Vec<Hop>,
    problem: Option<String>,
}

#[derive(Deserialize, Serialize)]
struct Hop {
    name: String,
    ok: bool,
    text: String,
}

#[derive(Deserialize)]
struct Refusal {
    message: String,
}

pub async fn run(dirs: &Dirs, container: Option<String>, json: bool) -> Result<(), Failure> {
    let endpoint = Endpoint::Unix(dirs.docker_socket());
    let names = match container {
        Some(name) => vec![name],
        None => all(dirs).await?,
    };
    let mut reports = Vec::new();
    for name in names {
        let mut report = ask(&endpoint, &name).await?;
        let tried = report.ports.into_iter().map(try_port).collect::<Vec<_>>();
        report.ports = in_order(tried).await?;
        reports.push(report);
    }
    if json {
        say!("{}", serde_json::to_string_pretty(&reports)?);
    } else if reports.is_empty() {
        say!("no running container publishes a port");
    } else {
        reports.iter().for_each(show);
    }
    let broken = reports.iter().flat_map(|report| &report.ports).any(|port| port.problem.is_some());
    if broken { Err(Failure::silent(1)) } else { Ok(()) }
}

/// Running containers with published ports.
async fn all(dirs: &Dirs) -> Result<Vec<String>, Failure> {
    let docker = engine::client(dirs)?;
    let containers = docker.list_containers(None::<ListContainersOptions>).await?;
    let published = containers
        .into_iter()
        .filter(|container| container.ports.iter().flatten().any(|port| port.public_port.is_some()));
    Ok(published.filter_map(|container| container.id).collect())
}

async fn ask(endpoint: &Endpoint, name: &str) -> Result<Report, Failure> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.-/".contains(c);
    if name.is_empty() || !name.chars().all(plain) {
        return Err(Failure::failed(format!("{name:?} is no name of a container")));
    }
    let page = format!("/cubby/containers/{}/ports", name.trim_start_matches('/'));
    let asked = endpoint.request("GET", &page, String::new()).await;
    let (status, body) = asked.map_err(|_| Failure::not_running())?;
    if status == 200 {
        return Ok(serde_json::from_str(&body)?);
    }
    match serde_json::from_str::<Refusal>(&body) {
        Ok(refusal) => Err(Failure::failed(refusal.message)),
        Err(_) => Err(Failure::failed(format!("the engine answered {status}"))),
    }
}

/// Runs all at once: a container may have a thousand ports.
async fn in_order(work: Vec<impl Future<Output = Port> + Send + 'static>) -> Result<Vec<Port>, Failure> {
    let tasks: Vec<_> = work.into_iter().map(tokio::spawn).collect();
    let mut done = Vec::with_capacity(tasks.len());
    for task in tasks {
        done.push(task.await.map_err(|err| Failure::failed(err.to_string()))?);
    }
    Ok(done)
}

/// This computer's hops, put around those of the engine. UDP has nothing to accept.
async fn try_port(mut port: Port) -> Port {
    let Some(at) = listener(&port) else { return port };
    let connected = tokio::time::timeout(PATIENCE, TcpStream::connect(at)).await;
    let (stream, failure) = match connected {
        Ok(Ok(stream)) => (Some(Ok(stream)), None),
        // Accepted, and broken off before this side saw that it was.
        Ok(Err(err)) if err.kind() == ErrorKind::ConnectionReset => (Some(Err(err)), None),
        Ok(Err(err)) => (None, Some(err.to_string())),
        Err(_) => (None, Some("no answer in time".to_owned())),
    };
    let text = match &failure {
        None => format!("this computer listens on {at}"),
        Some(reason) => format!("nothing on this computer accepts connections on {at}: {reason}"),
    };
    if failure.is_some() {
        port.problem = Some(text.clone());
    }
    port.hops.insert(0, Hop { name: "listener".to_owned(), ok: failure.is_none(), text });
    if let Some(stream) = stream.filter(|_| port.problem.is_none()) {
        let hop = match stream {
            Ok(stream) => watch(stream, at).await,
            Err(err) => broken_off(at, &err),
        };
        port.problem = (!hop.ok).then(|| hop.text.clone());
        port.hops.push(hop);
    }
    port
}

/// The last hop: a connection made here is still there after a moment, so it has arrived.
async fn watch(stream: TcpStream, at: SocketAddr) -> Hop {
    let broken = async {
        loop {
            stream.readable().await?;
            match stream.try_read(&mut [0; 1]) {
                Err(err) if err.kind() == ErrorKind::WouldBlock => {}
                read => return read,
            }
        }
    };
    match tokio::time::timeout(WATCH, broken).await {
        Ok(Err(err)) => broken_off(at, &err),
        _ => Hop { name: THROUGH.to_owned(), ok: true, text: "a connection from here arrives".to_owned() },
    }
}

fn broken_off(at: SocketAddr, err: &std::io::Error) -> Hop {
    let text = format!("connections to {at} are accepted here and broken off on the way: {err}");
    Hop { name: THROUGH.to_owned(), ok: false, text }
}

fn listener(port: &Port) -> Option<SocketAddr> {
    if !port.container_port.ends_with("/tcp") {
        return None;
    }
    let ip = match port.host_ip.parse().ok()? {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    Some(SocketAddr::new(ip, port.host_port.parse().ok()?))
}

fn show(report: &Report) {
    say!("{} ({})", report.name, report.status);
    if report.ports.is_empty() {
        say!("  no published ports");
    }
    for port in &report.ports {
        let host = match (port.host_ip.as_str(), port.host_port.as_str()) {
            (_, "") => "not published".to_owned(),
            (ip, number) if ip.contains(':') => format!("[{ip}]:{number}"),
            (ip, number) => format!("{ip}:{number}"),
        };
        say!("  {host} -> {}: {}", port.container_port, port.problem.as_deref().unwrap_or("works"));
        for hop in &port.hops {
            say!("    {} {}: {}", if hop.ok { "ok  " } else { "FAIL" }, hop.name, hop.text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_means_this_computers_own() {
        let at = |ip: &str, port: &str| {
            let (host_ip, container_port) = (ip.to_owned(), port.to_owned());
            let port = Port { container_port, host_ip, host_port: "8080".into(), hops: Vec::new(), problem: None };
            listener(&port).map(|at| at.to_string())
        };
        assert_eq!(at("0.0.0.0", "80/tcp").unwrap(), "127.0.0.1:8080");
        assert_eq!(at("::", "80/tcp").unwrap(), "[::1]:8080");
        assert_eq!(at("192.0.2.1", "80/tcp").unwrap(), "192.0.2.1:8080");
        assert_eq!(at("0.0.0.0", "53/udp"), None);
        assert_eq!(at("", "80/tcp"), None);
    }
}
