//! Looking for images: the search of the first registry API, which Docker Hub still offers, and the catalogue of a
//! registry that has no search.
//!
//! Source: moby registry/search.go; Docker registry v1 `GET /v1/search`; distribution-spec `GET /v2/_catalog`.

use reqwest::{
    Method,
    header::{AUTHORIZATION, HeaderName},
};
use serde::Deserialize;

use crate::{
    credentials::Credentials,
    error::{Error, Result},
    repository::{Access, Repository, bounded, success},
    settings::Settings,
    transport::{self, Client},
};

/// Names read from a catalogue at most.
const MOST: usize = 1000;
/// The longest answer that is read.
const ANSWER_BYTES: usize = 4 << 20;
/// Docker Hub's search lives on a host of its own.
const HUB: &str = "docker.io";
const HUB_SEARCH: &str = "index.docker.io";
/// Some registries answer clients of the first API only when they say so.
const TOKEN: HeaderName = HeaderName::from_static("x-docker-token");

/// One repository that a search found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SearchHit {
    pub name: String,
    pub description: String,
    pub star_count: i64,
    pub is_official: bool,
    pub is_automated: bool,
}

#[derive(Deserialize)]
struct Found {
    results: Option<Vec<SearchHit>>,
}

#[derive(Deserialize)]
struct Catalogue {
    repositories: Option<Vec<String>>,
}

/// What the registry of `domain` has for `term`, at most `limit`, best first: by its search, else from its catalogue.
///
/// # Errors
/// Unreachable, Unauthorized; NotFound where it offers neither.
pub async fn search(
    domain: &str,
    term: &str,
    limit: usize,
    credentials: Credentials,
    settings: &Settings,
) -> Result<Vec<SearchHit>> {
    match first_api(domain, term, limit, &credentials, settings).await {
        // Why not for Docker Hub: it has no catalogue, and its refusal would hide the true reason.
        Err(error) if domain != HUB && !matches!(error, Error::Unauthorized(_) | Error::Denied(_)) => {
            tracing::debug!(domain, err = %error, "no search; looking at the catalogue");
            catalogue(domain, term, limit, credentials, settings).await
        }
        answer => answer,
    }
}

async fn first_api(
    domain: &str,
    term: &str,
    limit: usize,
    credentials: &Credentials,
    settings: &Settings,
) -> Result<Vec<SearchHit>> {
    let host = if domain == HUB { HUB_SEARCH } else { domain };
    let insecure = settings.is_insecure(host);
    let client = transport::client(host, settings, !insecure)?;
    let schemes: &[&str] = if insecure { &["https", "http"] } else { &["https"] };
    let mut last = Error::Configuration(format!("no endpoint for registry {domain}"));
    for scheme in schemes {
        match ask(&client, &format!("{scheme}://{host}/v1/search"), term, limit, credentials).await {
            Ok(hits) => return Ok(hits),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn ask(
    client: &Client,
    url: &str,
    term: &str,
    limit: usize,
    credentials: &Credentials,
) -> Result<Vec<SearchHit>> {
    let mut request =
        client.request(Method::GET, url).query(&[("q", term), ("n", &limit.to_string())]).header(TOKEN, "true");
    if let Some(header) = credentials.basic() {
        request = request.header(AUTHORIZATION, header);
    }
    let answer = request.send().await.map_err(|error| client.failed("Get", url, &error))?;
    let body = bounded(success(answer, url).await?, ANSWER_BYTES).await?;
    let found: Found = serde_json::from_slice(&body).map_err(|error| Error::Protocol(format!("{url}: {error}")))?;
    Ok(found.results.unwrap_or_default().into_iter().take(limit).collect())
}

/// Every repository of a registry whose name contains `term`.
async fn catalogue(
    domain: &str,
    term: &str,
    limit: usize,
    credentials: Credentials,
    settings: &Settings,
) -> Result<Vec<SearchHit>> {
    let repository = Repository::open(domain, "_catalog", Access::Pull, credentials, settings).await?;
    let url = repository.resolve(&format!("/v2/_catalog?n={MOST}"))?;
    let answer = repository.send(Method::GET, &url, |request| request).await?;
    let body = bounded(answer, ANSWER_BYTES).await?;
    let catalogue: Catalogue =
        serde_json::from_slice(&body).map_err(|error| Error::Protocol(format!("{url}: {error}")))?;
    let names = catalogue.repositories.unwrap_or_default().into_iter();
    let hits = names.filter(|name| name.contains(term)).take(limit);
    // Why with the domain: so it can be pulled as it is printed.
    Ok(hits.map(|name| SearchHit { name: format!("{domain}/{name}"), ..SearchHit::default() }).collect())
}
