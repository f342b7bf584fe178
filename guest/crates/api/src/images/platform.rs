//! `platform` of a request, in one of two spellings: what pulls, imports, creates and builds is told `os/architecture`; what
//! was added later (save, load, push, inspect, history, delete) a JSON object, and older clients are not heard.

use cubby_image::Platform;
use serde::{Deserialize, Serialize};

use crate::{error::ApiError, extract::Query, json, version::ApiVersion};

/// `os[/architecture[/variant]]`. Source: moby `postImagesCreate`, containerd `platforms.Parse`.
pub fn named(text: Option<&str>) -> Result<Option<Platform>, ApiError> {
    let text = text.filter(|text| !text.is_empty());
    text.map(Platform::parse).transpose().map_err(|error| ApiError::bad_request(error.to_string()))
}

/// An object, which counts from the API version `since` on. Source: moby `httputils.DecodePlatform`.
pub fn described(query: &Query, version: ApiVersion, since: ApiVersion) -> Result<Option<Platform>, ApiError> {
    if version < since {
        return Ok(None);
    }
    query.text("platform").filter(|text| !text.is_empty()).map(decode).transpose()
}

/// [`described`] where several may be meant one day. Source: moby `getImagesGet`, `postImagesLoad`.
pub fn the_only(query: &Query, version: ApiVersion) -> Result<Option<Platform>, ApiError> {
    const SINCE: ApiVersion = ApiVersion(48);
    if version >= SINCE && query.all("platform").count() > 1 {
        return Err(ApiError::bad_request("multiple platform parameters not supported"));
    }
    described(query, version, SINCE)
}

/// As OCI's image spec writes it.
#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
struct Described {
    architecture: String,
    os: String,
    #[serde(rename = "os.version")]
    os_version: String,
    #[serde(rename = "os.features")]
    os_features: Vec<String>,
    variant: String,
}

pub fn decode(text: &str) -> Result<Platform, ApiError> {
    let fault = |fault: String| {
        let fault = fault.strip_prefix("invalid JSON: ").unwrap_or(&fault);
        // Why: a body may go on, this text not, for which Go has words of its own.
        let ended = fault == "unexpected EOF" || fault.starts_with("got EOF");
        let fault = if ended { "unexpected end of JSON input" } else { fault };
        ApiError::bad_request(format!("failed to parse platform: {fault}"))
    };
    let Described { architecture, os, os_version, os_features, variant } =
        json::decode(text.as_bytes()).map_err(fault)?;
    let more = !variant.is_empty() || !os_version.is_empty() || !os_features.is_empty();
    match (os.is_empty(), architecture.is_empty()) {
        (true, true) if more => {
            Err(ApiError::bad_request("optional platform fields provided, but OS and Architecture are missing"))
        }
        (false, false) => Ok(Platform { os, architecture, variant: Some(variant) }.normalized()),
        _ => Err(ApiError::bad_request("both OS and Architecture must be provided")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_read_and_mistakes_told_in_dockerds_words() {
        let platform = decode(r#"{"os":"linux","architecture":"aarch64","variant":"v8"}"#).unwrap();
        assert_eq!(platform.to_string(), "linux/arm64");
        for (bad, words) in [
            (" ", "failed to parse platform: unexpected end of JSON input"),
            (r#"{"os":"#, "failed to parse platform: unexpected end of JSON input"),
            ("linux/amd64", "failed to parse platform: invalid character 'l' looking for beginning of value"),
            ("{}", "both OS and Architecture must be provided"),
            (r#"{"os":"linux"}"#, "both OS and Architecture must be provided"),
            (r#"{"variant":"v7"}"#, "optional platform fields provided, but OS and Architecture are missing"),
        ] {
            assert_eq!(decode(bad).unwrap_err().message(), words, "{bad}");
        }
    }
}
