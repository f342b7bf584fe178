//! One repository: requests with the right token, renewed when the registry asks for it.

use std::sync::Mutex;

use reqwest::{
    Method, RequestBuilder, Response,
    header::{AUTHORIZATION, WWW_AUTHENTICATE},
};
use serde::Deserialize;

use crate::{
    challenge::Challenge,
    credentials::Credentials,
    endpoint::{self, Endpoint},
    error::{Error, Result},
    settings::{Place, Settings},
};

/// The longest error body that is read.
pub(crate) const ERROR_BYTES: usize = 64 << 10;

/// What a repository is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Pull,
    Push,
}

/// See the module's documentation. Cheap requests may run side by side.
#[derive(Debug)]
pub struct Repository {
    endpoint: Endpoint,
    name: String,
    access: Access,
    credentials: Credentials,
    /// Repositories whose blobs may be mounted: their pull scope is asked for too.
    sources: Vec<String>,
    authorization: Mutex<Option<String>>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
}

impl Repository {
    /// Finds the registry of `domain` and prepares access to its repository `name` (`library/redis`).
    ///
    /// # Errors
    /// Unreachable, Configuration; wrong credentials show at the first request.
    pub async fn open(
        domain: &str,
        name: &str,
        access: Access,
        credentials: Credentials,
        settings: &Settings,
    ) -> Result<Self> {
        Self::open_at(Place::Itself, domain, name, access, credentials, settings).await
    }

    /// [`Repository::open`] at one of the places of [`Settings::places`].
    pub async fn open_at(
        place: Place,
        domain: &str,
        name: &str,
        access: Access,
        credentials: Credentials,
        settings: &Settings,
    ) -> Result<Self> {
        let endpoint = endpoint::find(domain, place, settings).await?;
        let (name, sources) = (name.to_owned(), Vec::new());
        // Why: a mirror is somebody else's copy on another host than the one that the user logged in to.
        let credentials = if place == Place::Itself { credentials } else { Credentials::Anonymous };
        Ok(Self { endpoint, name, access, credentials, sources, authorization: Mutex::new(None) })
    }

    /// Allows blobs of other repositories on the same registry to be mounted into this one.
    pub fn with_sources(mut self, sources: Vec<String>) -> Self {
        self.sources = sources;
        self
    }

    /// Asks the registry whether it accepts the credentials at all: what `docker login` wants to know.
    pub async fn check(&self) -> Result<()> {
        let url = format!("{}/v2/", self.endpoint.base);
        self.send(Method::GET, &url, |request| request).await.map(drop)
    }

    pub(crate) fn url(&self, tail: &str) -> String {
        format!("{}/v2/{}/{tail}", self.endpoint.base, self.name)
    }

    /// An address the registry gave us (`Location`), which may be relative.
    pub(crate) fn resolve(&self, location: &str) -> Result<String> {
        let base = reqwest::Url::parse(&self.endpoint.base).map_err(|error| Error::Protocol(error.to_string()))?;
        base.join(location).map(Into::into).map_err(|error| Error::Protocol(format!("location {location:?}: {error}")))
    }

    /// Sends a request; on 401 gets a (new) token and sends it once more. `prepare` is therefore called up to twice.
    ///
    /// # Errors
    /// For every status but a success: the error it stands for.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: &str,
        prepare: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response> {
        self.authorize_in_advance().await?;
        let answer = self.once(&method, url, &prepare).await?;
        if answer.status() != 401 {
            return success(answer, url).await;
        }
        let challenge = answer
            .headers()
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .find_map(|value| Challenge::parse(value.to_str().ok()?))
            .or_else(|| self.endpoint.challenge.clone());
        let Some(challenge) = challenge else { return success(answer, url).await };
        if challenge == Challenge::Basic && self.credentials == Credentials::Anonymous {
            return Err(Error::NoCredentials { method: capitalised(&method), url: url.to_owned() });
        }
        self.authorize(&challenge).await?;
        success(self.once(&method, url, &prepare).await?, url).await
    }

    /// Sends a request that cannot be repeated because its body is a stream: authorised in advance.
    pub(crate) async fn send_once(&self, request: RequestBuilder, method: &str, url: &str) -> Result<Response> {
        let answer = self.authorized(request).send().await;
        let answer = answer.map_err(|error| self.endpoint.client.failed(method, url, &error))?;
        success(answer, url).await
    }

    pub(crate) fn request(&self, method: Method, url: &str) -> RequestBuilder {
        self.endpoint.client.request(method, url)
    }

    async fn once(
        &self,
        method: &Method,
        url: &str,
        prepare: &impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response> {
        let request = self.authorized(prepare(self.request(method.clone(), url)));
        request.send().await.map_err(|error| self.endpoint.client.failed(&capitalised(method), url, &error))
    }

    fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        let header = self.authorization.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        match header {
            Some(header) => request.header(AUTHORIZATION, header),
            None => request,
        }
    }

    async fn authorize_in_advance(&self) -> Result<()> {
        let missing = self.authorization.lock().unwrap_or_else(std::sync::PoisonError::into_inner).is_none();
        match &self.endpoint.challenge {
            Some(challenge) if missing => self.authorize(challenge).await,
            _ => Ok(()),
        }
    }

    async fn authorize(&self, challenge: &Challenge) -> Result<()> {
        let header = match (challenge, &self.credentials) {
            (_, Credentials::Registry(token)) => Some(format!("Bearer {token}")),
            (Challenge::Basic, credentials) => credentials.basic(),
            (Challenge::Bearer { realm, service, scope }, _) => {
                Some(format!("Bearer {}", self.token(realm, service.as_deref(), scope.as_deref()).await?))
            }
        };
        *self.authorization.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = header;
        Ok(())
    }

    async fn token(&self, realm: &str, service: Option<&str>, asked: Option<&str>) -> Result<String> {
        let mut scopes = vec![self.scope()];
        scopes.extend(self.sources.iter().map(|name| format!("repository:{name}:pull")));
        scopes.extend(asked.map(str::to_owned).filter(|scope| !scopes.contains(scope)));
        let request = match &self.credentials {
            Credentials::Identity(refresh) => {
                let scope = scopes.join(" ");
                let form = [
                    ("grant_type", "refresh_token"),
                    ("client_id", "cubby"),
                    ("refresh_token", refresh),
                    ("service", service.unwrap_or_default()),
                    ("scope", &scope),
                ];
                self.request(Method::POST, realm).form(&form)
            }
            credentials => {
                let mut query: Vec<(&str, &str)> = service.map(|service| ("service", service)).into_iter().collect();
                query.extend(scopes.iter().map(|scope| ("scope", scope.as_str())));
                let request = self.request(Method::GET, realm).query(&query);
                match credentials.basic() {
                    Some(header) => request.header(AUTHORIZATION, header),
                    None => request,
                }
            }
        };
        let answer = request.send().await;
        let answer = answer.map_err(|error| self.endpoint.client.failed("Get", realm, &error))?;
        let body = bounded(success(answer, realm).await?, ERROR_BYTES).await?;
        let answer: TokenAnswer = serde_json::from_slice(&body)
            .map_err(|error| Error::Protocol(format!("{realm} gave no token: {error}")))?;
        let token = answer.token.or(answer.access_token).filter(|token| !token.is_empty());
        token.ok_or_else(|| Error::Protocol(format!("{realm} gave no token")))
    }

    fn scope(&self) -> String {
        let actions = match self.access {
            Access::Pull => "pull",
            Access::Push => "pull,push",
        };
        format!("repository:{}:{actions}", self.name)
    }
}

fn capitalised(method: &Method) -> String {
    let mut text = method.as_str().to_lowercase();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}

pub(crate) async fn success(answer: Response, url: &str) -> Result<Response> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let body = bounded(answer, ERROR_BYTES).await.unwrap_or_default();
    Err(Error::from_answer(status.as_u16(), url, &body))
}

/// A small body, cut at `limit`.
pub(crate) async fn bounded(mut answer: Response, limit: usize) -> Result<Vec<u8>> {
    let url = answer.url().to_string();
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| Error::transport("Get", &url, &error))? {
        body.extend_from_slice(&chunk[..chunk.len().min(limit - body.len())]);
        if body.len() >= limit {
            break;
        }
    }
    Ok(body)
}
