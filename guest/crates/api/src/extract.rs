//! What handlers take out of requests, with dockerd's leniency and dockerd's words.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
    http::{header, request::Parts},
};
use hyper::body::Body as _;
use serde::de::DeserializeOwned;

use crate::{error::ApiError, json, version::ApiVersion};

/// A JSON body. One that is announced as empty is the zero value. Source: moby `httputils.ReadJSON`.
#[derive(Debug)]
pub struct JsonBody<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let (kind, body) = read(request).await?;
        check_content_type(kind.as_deref(), &body)?;
        let bytes = body.as_deref().unwrap_or(b"{}");
        json::decode(bytes).map(Self).map_err(ApiError::bad_request)
    }
}

/// A JSON body that must be there, or may be absent, as the handler likes. Source: moby `loadJSON`.
#[derive(Debug)]
pub struct OptionalJsonBody<T>(pub Option<T>);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for OptionalJsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let (kind, body) = read(request).await?;
        check_content_type(kind.as_deref(), &body)?;
        match body.filter(|body| !body.is_empty()) {
            None => Ok(Self(None)),
            Some(body) => json::decode(&body).map(|value| Self(Some(value))).map_err(ApiError::bad_request),
        }
    }
}

/// Content type and body; no body where the head announces none.
async fn read(request: Request) -> Result<(Option<String>, Option<Bytes>), ApiError> {
    let headers = request.headers();
    let kind = headers.get(header::CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let announced = !request.body().is_end_stream();
    let body = Bytes::from_request(request, &())
        .await
        .map_err(|rejection| ApiError::with_status(rejection.status(), rejection.body_text()))?;
    Ok((kind, announced.then_some(body)))
}

/// Source: moby `httputils.CheckForJSON`, Go `mime.ParseMediaType`.
fn check_content_type(value: Option<&str>, body: &Option<Bytes>) -> Result<(), ApiError> {
    let shown = value.unwrap_or_default();
    if shown.is_empty() && body.is_none() {
        return Ok(());
    }
    let kind = shown.split(';').next().unwrap_or_default().trim();
    if kind.is_empty() {
        return Err(ApiError::bad_request(format!("malformed Content-Type header ({shown}): mime: no media type")));
    }
    match kind.eq_ignore_ascii_case("application/json") {
        true => Ok(()),
        false => {
            Err(ApiError::bad_request(format!("unsupported Content-Type header ({shown}): must be 'application/json'")))
        }
    }
}

/// The version that the client speaks.
impl<S: Send + Sync> FromRequestParts<S> for ApiVersion {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Ok(parts.extensions.get::<Self>().copied().unwrap_or(Self::MAX))
    }
}

/// The query string as names and values, in order; handlers ask it by name.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Every value of a repeated name.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Go-style truth: anything but empty, `0`, `no`, `false`, `none`. Source: moby `httputils.BoolValue`.
    pub fn flag(&self, name: &str) -> bool {
        self.text(name).is_some_and(truth)
    }

    /// [`Query::flag`] with a value for when the name is absent.
    pub fn flag_or(&self, name: &str, absent: bool) -> bool {
        self.text(name).map_or(absent, truth)
    }

    /// # Errors
    /// Bad request when present and not a whole number.
    pub fn integer(&self, name: &str) -> Result<Option<i64>, ApiError> {
        match self.text(name) {
            None | Some("") => Ok(None),
            Some(text) => text
                .parse()
                .map(Some)
                .map_err(|_| ApiError::bad_request(format!("strconv.Atoi: parsing {text:?}: invalid syntax"))),
        }
    }

    /// The `filters` parameter.
    pub fn filters(&self) -> Result<cubby_engine::filters::Filters, ApiError> {
        Ok(cubby_engine::filters::Filters::parse(self.text("filters").unwrap_or_default())?)
    }
}

fn truth(text: &str) -> bool {
    !matches!(text.trim().to_lowercase().as_str(), "" | "0" | "no" | "false" | "none")
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map_err(|rejection| ApiError::bad_request(rejection.body_text()))?;
        Ok(Self(pairs.0))
    }
}
