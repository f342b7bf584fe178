//! `docker search`. Source: moby daemon/pkg/registry/search.go, API 1.50 `ImageSearch`.

use cubby_registry::{Credentials, Error as RegistryError, SearchHit};

use super::Images;
use crate::{
    error::{Error, ErrorKind, Result},
    filters::Filters,
};

const FILTERS: &[&str] = &["is-automated", "is-official", "stars"];
const DEFAULT_LIMIT: usize = 25;
const MOST: i64 = 100;

#[derive(Clone, Debug, Default)]
pub struct SearchOptions {
    /// `[registry/]words`.
    pub term: String,
    pub limit: Option<i64>,
    pub filters: Filters,
    pub credentials: Credentials,
}

impl Images {
    /// Asks the registry that the term names, Docker Hub when it names none.
    ///
    /// # Errors
    /// Invalid for a limit or filter that does not exist; what the registry refuses.
    pub async fn search(&self, options: SearchOptions) -> Result<Vec<SearchHit>> {
        let SearchOptions { term, limit, filters, credentials } = options;
        filters.allow(FILTERS)?;
        let automated = filters.flag("is-automated")?.unwrap_or(false);
        let official = filters.flag("is-official")?;
        let stars = filters.values("stars").map(stars).collect::<Result<Vec<_>>>()?.into_iter().max().unwrap_or(0);
        let limit = bounded(limit)?;
        let (domain, words) = split(&term)?;
        let settings = self.registries().effective();
        let found = cubby_registry::search(domain, words, limit, credentials, &settings).await.map_err(|error| {
            let kind = match error {
                RegistryError::Configuration(_) => ErrorKind::InvalidParameter,
                RegistryError::Unauthorized(_) | RegistryError::NoCredentials { .. } => ErrorKind::Unauthorized,
                _ => ErrorKind::System,
            };
            Error::new(kind, error.to_string()).with_source(error)
        })?;
        let fits = |hit: &SearchHit| {
            // Why: automated builds are history; moby finds nothing for them either.
            !automated && official.is_none_or(|wanted| hit.is_official == wanted) && hit.star_count >= stars
        };
        Ok(found.into_iter().filter(fits).collect())
    }
}

fn stars(text: &str) -> Result<i64> {
    text.parse().map_err(|_| Error::invalid(format!("invalid filter 'stars={text}'")))
}

fn bounded(limit: Option<i64>) -> Result<usize> {
    match limit {
        None | Some(0) => Ok(DEFAULT_LIMIT),
        Some(limit @ 1..=MOST) => Ok(usize::try_from(limit).unwrap_or(DEFAULT_LIMIT)),
        Some(limit) => Err(Error::invalid(format!("limit {limit} is outside the range of [1, {MOST}]"))),
    }
}

/// Registry and words. Source: moby `splitReposSearchTerm`.
fn split(term: &str) -> Result<(&str, &str)> {
    const HUB: &str = "docker.io";
    if term.contains("://") {
        return Err(Error::invalid(format!(
            "invalid repository name: repository name ({term}) should not have a scheme"
        )));
    }
    let (domain, words) = match term.split_once('/') {
        Some((domain, words)) if domain.contains(['.', ':']) || domain == "localhost" => (domain, words),
        _ => (HUB, term),
    };
    let domain = if domain == "index.docker.io" { HUB } else { domain };
    let words = if domain == HUB { words.strip_prefix("library/").unwrap_or(words) } else { words };
    Ok((domain, words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_name_their_registry_and_limits_are_dockerds() {
        assert_eq!(split("redis").unwrap(), ("docker.io", "redis"));
        assert_eq!(split("library/redis").unwrap(), ("docker.io", "redis"));
        assert_eq!(split("team/app").unwrap(), ("docker.io", "team/app"));
        assert_eq!(split("localhost:5000/team/app").unwrap(), ("localhost:5000", "team/app"));
        assert!(split("https://lab.example/app").is_err());
        assert_eq!(bounded(None).unwrap(), 25);
        assert_eq!(bounded(Some(101)).unwrap_err().message(), "limit 101 is outside the range of [1, 100]");
    }
}
