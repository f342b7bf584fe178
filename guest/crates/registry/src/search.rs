//! Looking for images: Docker Hub's search, and the catalogue of a registry that has one.

use reqwest::Method;
use serde::Deserialize;

use crate::{
    credentials::Credentials,
    error::{Error, Result},
    repository::{Access, Repository},
    settings::Settings,
};

/// Names read from a catalogue at most.
const MOST: usize = 1000;

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
struct Catalogue {
    repositories: Vec<String>,
}

/// Every repository of a registry whose name contains `term`. Source: distribution-spec `GET /v2/_catalog`.
///
/// # Errors
/// NotFound or Denied where the registry offers no catalogue.
pub async fn catalog(
    domain: &str,
    term: &str,
    credentials: Credentials,
    settings: &Settings,
) -> Result<Vec<SearchHit>> {
    let repository = Repository::open(domain, "_catalog", Access::Pull, credentials, settings).await?;
    let url = repository.resolve(&format!("/v2/_catalog?n={MOST}"))?;
    let answer = repository.send(Method::GET, &url, |request| request).await?;
    let body = answer.bytes().await.map_err(|error| Error::transport("Get", &url, &error))?;
    let catalogue: Catalogue =
        serde_json::from_slice(&body).map_err(|error| Error::Protocol(format!("{url}: {error}")))?;
    let hits = catalogue.repositories.into_iter().filter(|name| name.contains(term)).take(MOST);
    Ok(hits.map(|name| SearchHit { name: format!("{domain}/{name}"), ..SearchHit::default() }).collect())
}
