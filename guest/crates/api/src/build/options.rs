//! The query and headers of a build request.

use std::collections::{BTreeMap, HashMap};

use axum::http::{HeaderMap, header::HeaderName};
use cubby_engine::{Error, build::BuildOptions, containers::model::HostConfig};
use cubby_image::Reference;
use cubby_registry::Credentials;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{error::ApiError, extract::Query, images::platform};

const CONFIG: HeaderName = HeaderName::from_static("x-registry-config");

pub fn read(query: &Query, headers: &HeaderMap) -> Result<BuildOptions, ApiError> {
    if query.text("version") == Some("2") {
        return Err(Error::not_implemented(
            "this engine has no BuildKit: set DOCKER_BUILDKIT=0, or leave it unset, to build without it",
        )
        .into());
    }
    if let Some(remote) = query.text("remote").filter(|remote| !remote.is_empty()) {
        return Err(Error::not_implemented(format!(
            "building from {remote} is not supported: fetch it and build the directory"
        ))
        .into());
    }
    let names = query.all("t").filter(|name| !name.is_empty()).map(name).collect::<Result<_, _>>()?;
    Ok(BuildOptions {
        dockerfile: query.text("dockerfile").unwrap_or_default().to_owned(),
        names,
        no_cache: query.flag("nocache"),
        cache_from: member(query, "cachefrom")?,
        pull: query.flag("pull"),
        quiet: query.flag("q"),
        squash: query.flag("squash"),
        arguments: member(query, "buildargs")?,
        labels: member(query, "labels")?,
        target: query.text("target").filter(|target| !target.is_empty()).map(str::to_owned),
        platform: platform::named(query.text("platform"))?,
        host: host(query)?,
        credentials: credentials(headers),
    })
}

fn name(text: &str) -> Result<Reference, ApiError> {
    let name = Reference::parse(text).map_err(|error| ApiError::bad_request(error.to_string()))?;
    if name.digest().is_some() {
        return Err(ApiError::bad_request("build tag cannot contain a digest"));
    }
    Ok(name.or_latest())
}

/// A member that is JSON itself.
fn member<T: DeserializeOwned + Default>(query: &Query, member: &str) -> Result<T, ApiError> {
    let Some(text) = query.text(member).filter(|text| !text.is_empty()) else { return Ok(T::default()) };
    serde_json::from_str::<Option<T>>(text)
        .map(Option::unwrap_or_default)
        .map_err(|error| ApiError::bad_request(format!("error reading {member}: {error}")))
}

/// The query's names for what a container's `HostConfig` calls otherwise.
fn host(query: &Query) -> Result<HostConfig, ApiError> {
    let mut host = json!({});
    for (ours, theirs) in [
        ("memory", "Memory"),
        ("memswap", "MemorySwap"),
        ("cpushares", "CpuShares"),
        ("cpuperiod", "CpuPeriod"),
        ("cpuquota", "CpuQuota"),
        ("shmsize", "ShmSize"),
    ] {
        if let Some(number) = query.integer(ours)?.filter(|number| *number != 0) {
            host[theirs] = json!(number);
        }
    }
    for (ours, theirs) in [
        ("cpusetcpus", "CpusetCpus"),
        ("cpusetmems", "CpusetMems"),
        ("cgroupparent", "CgroupParent"),
        ("networkmode", "NetworkMode"),
    ] {
        if let Some(text) = query.text(ours).filter(|text| !text.is_empty()) {
            host[theirs] = json!(text);
        }
    }
    let ulimits: Vec<Value> = member(query, "ulimits")?;
    if !ulimits.is_empty() {
        host["Ulimits"] = json!(ulimits);
    }
    // Clients send one list with commas; names and addresses have none of their own.
    let hosts: Vec<&str> =
        query.all("extrahosts").flat_map(|all| all.split(',')).filter(|one| !one.is_empty()).collect();
    if !hosts.is_empty() {
        host["ExtraHosts"] = json!(hosts);
    }
    serde_json::from_value(host).map_err(|error| ApiError::bad_request(format!("invalid build options: {error}")))
}

/// Registries by host. The Hub has a name of its own there.
fn credentials(headers: &HeaderMap) -> HashMap<String, Credentials> {
    let header = headers.get(CONFIG).and_then(|value| value.to_str().ok());
    // Why no error: a build may well need no credentials, and clients without any send `null`. Source: moby `postBuild`.
    let all = Credentials::map_from_header(header).unwrap_or_default();
    let named = all.into_iter().map(|(host, credentials)| {
        let host = match host.as_str() {
            "https://index.docker.io/v1/" | "index.docker.io" => "docker.io".to_owned(),
            host => host.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/').to_owned(),
        };
        (host, credentials)
    });
    named.collect::<BTreeMap<_, _>>().into_iter().collect()
}
