//! The `/v1.NN` prefix: stripped before routing, checked against what we serve, handed on as [`ApiVersion`].

use std::fmt;

use axum::http::{Uri, uri::PathAndQuery};

use crate::error::ApiError;

/// A minor version of the API (the major is 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiVersion(pub u32);

impl ApiVersion {
    pub const MIN: Self = Self(24);
    pub const MAX: Self = Self(50);
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}", self.0)
    }
}

/// Splits the version off a request's path. Without one the newest is meant.
///
/// # Errors
/// Bad request, in dockerd's words, for a version outside [`ApiVersion::MIN`]..=[`ApiVersion::MAX`].
pub fn split(uri: &Uri) -> Result<(ApiVersion, Uri), ApiError> {
    let path = uri.path();
    let Some((version, rest)) = path.strip_prefix("/v").and_then(|tail| tail.split_at_checked(tail.find('/')?)) else {
        return Ok((ApiVersion::MAX, uri.clone()));
    };
    // Why: "/v" begins "/volumes" too; only digits and a dot make a version.
    let Some((major, minor)) = version.split_once('.').and_then(|(a, b)| Some((number(a)?, number(b)?))) else {
        return Ok((ApiVersion::MAX, uri.clone()));
    };
    let wanted = (major, ApiVersion(minor));
    if wanted < (1, ApiVersion::MIN) {
        return Err(ApiError::bad_request(format!(
            "client version {version} is too old. Minimum supported API version is {}, please upgrade your client to a newer version",
            ApiVersion::MIN
        )));
    }
    if wanted > (1, ApiVersion::MAX) {
        return Err(ApiError::bad_request(format!(
            "client version {version} is too new. Maximum supported API version is {}",
            ApiVersion::MAX
        )));
    }
    let target = uri.query().map_or_else(|| rest.to_owned(), |query| format!("{rest}?{query}"));
    let target: PathAndQuery = target.parse().map_err(|_| ApiError::bad_request("malformed request path"))?;
    Ok((wanted.1, Uri::from(target)))
}

fn number(text: &str) -> Option<u32> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split_text(path: &str) -> Result<(ApiVersion, String), String> {
        split(&path.parse().unwrap()).map(|(v, uri)| (v, uri.to_string())).map_err(|e| e.message().to_owned())
    }

    #[test]
    fn the_prefix_is_optional_and_bounded() {
        assert_eq!(split_text("/v1.43/info?a=b").unwrap(), (ApiVersion(43), "/info?a=b".into()));
        assert_eq!(split_text("/volumes/x").unwrap(), (ApiVersion::MAX, "/volumes/x".into()));
        assert_eq!(split_text("/_ping").unwrap(), (ApiVersion::MAX, "/_ping".into()));
        assert_eq!(
            split_text("/v1.51/info").unwrap_err(),
            "client version 1.51 is too new. Maximum supported API version is 1.50"
        );
        assert!(split_text("/v1.23/info").unwrap_err().starts_with("client version 1.23 is too old."));
        assert!(split_text("/v99999999999.1/info").is_ok(), "not a number we can read: an unknown page");
    }
}
