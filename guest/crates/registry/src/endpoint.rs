//! Finding the server: HTTPS before HTTP, and what it wants for authentication.

use reqwest::{Method, header::WWW_AUTHENTICATE};

use crate::{
    challenge::Challenge,
    error::{Error, Result},
    repository::{ERROR_BYTES, bounded},
    settings::{Place, Settings},
    transport::{self, Client},
};

/// Docker Hub's images are named after one host and served by another.
const HUB: &str = "docker.io";
const HUB_SERVER: &str = "registry-1.docker.io";

/// A server that answered `GET /v2/`.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub client: Client,
    /// Scheme and host, without a slash at the end.
    pub base: String,
    /// What its answer asked for; none when it serves anybody.
    pub challenge: Option<Challenge>,
}

/// Where a registry may be found.
#[derive(Debug)]
struct Candidate {
    base: String,
    /// Whether its certificate counts.
    verify: bool,
}

/// The addresses of a place of registry `domain`, best first.
fn candidates(domain: &str, place: Place, settings: &Settings) -> Vec<Candidate> {
    if let Place::Mirror(nth) = place {
        let mirrors = settings.mirrors.get(domain).and_then(|mirrors| mirrors.get(nth)).into_iter();
        let candidates = mirrors.map(|mirror| {
            let base = mirror.trim_end_matches('/').to_owned();
            let verify = !settings.is_insecure(host_of(&base));
            Candidate { base, verify }
        });
        return candidates.collect();
    }
    let host = if domain == HUB { HUB_SERVER } else { domain };
    let insecure = settings.is_insecure(host);
    let mut found = vec![Candidate { base: format!("https://{host}"), verify: !insecure }];
    if insecure {
        found.push(Candidate { base: format!("http://{host}"), verify: false });
    }
    found
}

/// Host and port of an address.
fn host_of(base: &str) -> &str {
    base.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default()
}

/// The first candidate that speaks the protocol.
///
/// # Errors
/// The last candidate's when none does: for an insecure registry that is the one about plain HTTP, as in dockerd.
pub async fn find(domain: &str, place: Place, settings: &Settings) -> Result<Endpoint> {
    let mut last = Error::Configuration(format!("no endpoint for registry {domain}"));
    for candidate in candidates(domain, place, settings) {
        match ping(&candidate, settings).await {
            Ok(endpoint) => return Ok(endpoint),
            Err(error) => {
                tracing::debug!(base = candidate.base, err = %error, "registry endpoint does not answer");
                last = error;
            }
        }
    }
    Err(last)
}

async fn ping(candidate: &Candidate, settings: &Settings) -> Result<Endpoint> {
    let Candidate { base, verify } = candidate;
    let client = transport::client(host_of(base), settings, *verify)?;
    let url = format!("{base}/v2/");
    let answer = client.request(Method::GET, &url).send().await;
    let answer = answer.map_err(|error| client.failed("Get", &url, &error))?;
    let status = answer.status().as_u16();
    match status {
        200 => Ok(Endpoint { client, base: base.clone(), challenge: None }),
        401 => {
            let headers = answer.headers().get_all(WWW_AUTHENTICATE).iter();
            let challenge = headers.filter_map(|value| Challenge::parse(value.to_str().ok()?)).next();
            let challenge = challenge
                .ok_or_else(|| Error::Protocol(format!("{url} wants an authentication that is not supported")))?;
            Ok(Endpoint { client, base: base.clone(), challenge: Some(challenge) })
        }
        _ => Err(Error::from_answer(status, &url, &bounded(answer, ERROR_BYTES).await.unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn mirrors_come_first_and_plain_http_last_and_only_where_allowed() {
        let mirrors = HashMap::from([("docker.io".to_owned(), vec!["https://mirror.example/".to_owned()])]);
        let settings = Settings { mirrors, ..Settings::default() };
        let bases = |domain: &str| -> Vec<String> {
            let places = settings.places(domain).into_iter();
            places.flat_map(|place| candidates(domain, place, &settings)).map(|candidate| candidate.base).collect()
        };
        assert_eq!(bases("docker.io"), ["https://mirror.example", "https://registry-1.docker.io"]);
        assert_eq!(bases("localhost:5000"), ["https://localhost:5000", "http://localhost:5000"]);
        assert_eq!(bases("lab.example"), ["https://lab.example"]);
    }
}
