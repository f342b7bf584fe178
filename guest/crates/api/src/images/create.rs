//! `POST /images/create`: pull (`fromImage`) and import (`fromSrc`). Source: API 1.50 `ImageCreate`.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, header::HeaderName},
    response::Response,
};
use cubby_engine::{
    Engine,
    images::{CommitOptions, Message, PullOptions, changes},
};
use cubby_image::{Digest, ImageConfig, Reference};
use cubby_registry::Credentials;

use super::{commit::committed_name, platform, stream};
use crate::{client::Client, error::ApiError, extract::Query};

const AUTH: HeaderName = HeaderName::from_static("x-registry-auth");

/// What the name means is asked before the answer begins, so that an unknown image has its own status.
pub async fn create(
    State(engine): State<Arc<Engine>>,
    query: Query,
    headers: HeaderMap,
    client: Client,
    body: Body,
) -> Result<Response, ApiError> {
    if let Some(source) = query.text("fromSrc").filter(|source| !source.is_empty()) {
        return import(engine, source, &query, body).await;
    }
    let reference = reference(query.text("fromImage").unwrap_or_default(), query.text("tag").unwrap_or_default())?;
    let credentials = credentials(&headers)?;
    let platform = platform::named(query.text("platform"))?;
    let one = reference.tag().is_some() || reference.digest().is_some();
    let options = PullOptions { reference, platform, credentials };
    if one {
        let resolved = engine.images.resolve(&options).await?;
        return Ok(stream::telling(client, move |say| async move { engine.images.pull(resolved, say).await }));
    }
    let tags = engine.images.remote_tags(&options).await?;
    Ok(stream::telling(client, move |say| async move { engine.images.pull_tags(options, tags, say).await }))
}

/// A root filesystem as an image, from the request's body or an address. The answer begins when the image is there, so that
/// what fails has its own status. Source: moby `postImagesCreate`.
async fn import(engine: Arc<Engine>, source: &str, query: &Query, body: Body) -> Result<Response, ApiError> {
    let address = match source {
        "-" => None,
        whole if whole.contains("://") => Some(whole.to_owned()),
        host => Some(format!("http://{host}")),
    };
    let mut config = ImageConfig::default();
    for change in query.all("changes").flat_map(str::lines).filter(|line| !line.trim().is_empty()) {
        changes::apply(&mut config, change)?;
    }
    let message = query.text("message").filter(|message| !message.is_empty());
    let options = CommitOptions {
        name: committed_name(query)?,
        config,
        comment: message.map_or_else(|| format!("Imported from {source}"), str::to_owned),
        ..CommitOptions::default()
    };
    let platform = platform::named(query.text("platform"))?;
    // Source: moby image `CheckOS`.
    if platform.as_ref().is_some_and(|platform| platform.os != "linux") {
        return Err(ApiError::bad_request("operating system is not supported"));
    }
    let archive = match &address {
        None => stream::body_reader(body),
        Some(address) => stream::body_reader(stream::downloaded(engine.images.open_address(address).await?)),
    };
    let id = stream::blocking(move || engine.images.import(archive, platform.as_ref(), options)).await?;
    Ok(stream::messages(move |messages| {
        if let Some(address) = address {
            messages.say(&Message::status(format!("Downloading from {address}")));
        }
        messages.say(&Message::status(id.to_string()));
        Ok(())
    }))
}

/// Who the client is to the registry.
pub fn credentials(headers: &HeaderMap) -> Result<Credentials, ApiError> {
    let header = headers.get(AUTH).and_then(|value| value.to_str().ok());
    Credentials::from_header(header).map_err(|error| ApiError::bad_request(error.to_string()))
}

/// `tag` may be a digest, and wins over what the name itself says. A name with neither means every tag.
fn reference(name: &str, tag: &str) -> Result<Reference, ApiError> {
    let invalid = |error: cubby_image::reference::InvalidReference| ApiError::bad_request(error.to_string());
    let name = Reference::parse(name).map_err(invalid)?;
    match (tag, tag.parse::<Digest>()) {
        ("", _) => Ok(name),
        (_, Ok(digest)) => Ok(name.with_digest(digest)),
        (tag, Err(_)) => name.with_tag(tag).map_err(invalid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_digests_complete_the_name() {
        let digest = Digest::of(b"x");
        for (name, tag, expected) in [
            ("busybox", "", "busybox".to_owned()),
            ("busybox:1", "", "busybox:1".to_owned()),
            ("busybox:1", "2", "busybox:2".to_owned()),
            ("busybox", &digest.to_string(), format!("busybox@{digest}")),
        ] {
            assert_eq!(reference(name, tag).unwrap().familiar(), expected);
        }
        assert!(reference("busybox", "a b").is_err());
    }
}
