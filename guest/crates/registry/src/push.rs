//! Writing: blobs that are not there yet, then the manifest that names them.

use bytes::Bytes;
use futures_util::Stream;
use reqwest::{
    Method, Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderValue, LOCATION, RANGE},
};

use crate::{
    error::{Error, Result},
    repository::Repository,
};

/// An upload that the registry has opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    location: String,
    /// How many of the blob's bytes the registry has.
    pub offset: u64,
}

impl Repository {
    /// Whether the registry has the blob already.
    pub async fn has_blob(&self, digest: &str) -> Result<bool> {
        let url = self.url(&format!("blobs/{digest}"));
        match self.send(Method::HEAD, &url, |request| request).await {
            Ok(_) => Ok(true),
            Err(Error::NotFound(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Mounts the blob out of another repository of the same registry, or opens an upload where that is refused.
    /// `None` means mounted.
    pub async fn mount_or_upload(&self, digest: &str, source: Option<&str>) -> Result<Option<Upload>> {
        let url = self.url("blobs/uploads/");
        let answer = self
            .send(Method::POST, &url, |request| {
                let request = request.header(CONTENT_LENGTH, 0);
                match source {
                    Some(source) => request.query(&[("mount", digest), ("from", source)]),
                    None => request,
                }
            })
            .await?;
        match answer.status() {
            StatusCode::CREATED => Ok(None),
            StatusCode::ACCEPTED => Ok(Some(Upload { location: self.location(&answer)?, offset: 0 })),
            other => Err(Error::Protocol(format!("{url}: status {other} for a new upload"))),
        }
    }

    /// Lets go of an upload that is not needed after all; a registry that does not take that forgets it by itself.
    pub async fn cancel(&self, upload: Upload) {
        let answer = self.send(Method::DELETE, &upload.location, |request| request).await;
        if let Err(error) = answer {
            tracing::debug!(err = %error, "the upload could not be cancelled");
        }
    }

    /// Sends the rest of a blob of `size` bytes, which `bytes` has from [`Upload::offset`] on, and closes the upload.
    ///
    /// # Errors
    /// Protocol when the registry computes another digest; the upload is void then and nothing was stored. After a
    /// transient one see [`Repository::resume`].
    pub async fn upload(
        &self,
        upload: &Upload,
        digest: &str,
        size: u64,
        bytes: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static,
    ) -> Result<()> {
        let Upload { location, offset } = upload;
        let mut location = location.clone();
        if *offset < size {
            let mut request = self
                .request(Method::PATCH, &location)
                .header(CONTENT_TYPE, "application/octet-stream")
                .header(CONTENT_LENGTH, size - offset);
            if *offset > 0 {
                request = request.header(CONTENT_RANGE, format!("{offset}-{}", size - 1));
            }
            let answer = self.send_once(request.body(reqwest::Body::wrap_stream(bytes)), "Patch", &location).await?;
            location = self.location(&answer)?;
        }
        self.send(Method::PUT, &location, |request| request.query(&[("digest", digest)]).header(CONTENT_LENGTH, 0))
            .await
            .map(drop)
    }

    /// Asks how much the registry has of an upload that broke; `None` when it does not know it any more.
    ///
    /// # Errors
    /// Transient ones, and refusals of the credentials.
    pub async fn resume(&self, upload: &Upload) -> Result<Option<Upload>> {
        let answer = match self.send(Method::GET, &upload.location, |request| request).await {
            Ok(answer) => answer,
            Err(Error::NotFound(_) | Error::Protocol(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let header = |name| answer.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let range = header(RANGE).map(|range| range.trim_start_matches("bytes="));
        let last: Option<u64> = range.and_then(|range| range.split_once('-')?.1.parse().ok());
        let Some(last) = last else { return Ok(None) };
        // Why: `0-0` stands for nothing as well as for one byte, and one byte can be sent again.
        let offset = if last == 0 { 0 } else { last + 1 };
        let location = if header(LOCATION).is_some() { self.location(&answer)? } else { upload.location.clone() };
        Ok(Some(Upload { location, offset }))
    }

    /// Stores a manifest under a tag or its digest; returns the digest that the registry computed, when it says.
    pub async fn put_manifest(&self, reference: &str, media_type: &str, bytes: Bytes) -> Result<Option<String>> {
        let url = self.url(&format!("manifests/{reference}"));
        let answer = self
            .send(Method::PUT, &url, |request| request.header(CONTENT_TYPE, media_type).body(bytes.clone()))
            .await?;
        Ok(answer.headers().get("docker-content-digest").and_then(|value| value.to_str().ok()).map(str::to_owned))
    }

    fn location(&self, answer: &Response) -> Result<String> {
        let header = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        self.resolve(header.ok_or_else(|| Error::Protocol("no location for the upload".to_owned()))?)
    }
}
