//! Reading: manifests and blobs.

use bytes::Bytes;
use reqwest::{
    Method, Response, StatusCode,
    header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, RANGE},
};

use crate::{
    error::{Error, Result},
    repository::Repository,
};

/// Longest manifest that is read. Source: distribution-spec "manifests … 4 megabytes".
const MANIFEST_BYTES: usize = 4 << 20;

/// Every kind of manifest that is understood.
const ACCEPTED: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// A manifest or index as the registry sent it. Its digest is the caller's to compute and compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    pub media_type: String,
    pub bytes: Bytes,
    /// `Docker-Content-Digest`, when sent: a claim, not a fact.
    pub claimed_digest: Option<String>,
}

/// A blob on its way.
#[derive(Debug)]
pub struct Blob {
    response: Response,
    url: String,
    /// Where in the blob the first chunk begins: 0 when the registry does not resume, whatever was asked for.
    pub offset: u64,
    /// Bytes that are to come, when the registry says.
    pub remaining: Option<u64>,
}

impl Repository {
    /// A manifest by tag or digest.
    ///
    /// # Errors
    /// NotFound, Unauthorized, Denied, Unreachable; Protocol when it is over 4 MiB.
    pub async fn manifest(&self, reference: &str) -> Result<Manifest> {
        let url = self.url(&format!("manifests/{reference}"));
        let mut answer = self.send(Method::GET, &url, accept_manifests).await?;
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let media_type = header(CONTENT_TYPE.as_str()).unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim().to_owned();
        let claimed_digest = header("docker-content-digest");
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| Error::transport("Get", &url, &error))? {
            if bytes.len() + chunk.len() > MANIFEST_BYTES {
                return Err(Error::Protocol(format!("manifest {reference} is over {MANIFEST_BYTES} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Manifest { media_type, bytes: bytes.into(), claimed_digest })
    }

    /// The digest and media type of a manifest, without its bytes; `None` when the registry does not say.
    pub async fn manifest_digest(&self, reference: &str) -> Result<Option<(String, String)>> {
        let url = self.url(&format!("manifests/{reference}"));
        let answer = self.send(Method::HEAD, &url, accept_manifests).await?;
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok(header("docker-content-digest").zip(header(CONTENT_TYPE.as_str())))
    }

    /// A blob of at most `limit` bytes, whole.
    ///
    /// # Errors
    /// As for [`Repository::manifest`].
    pub async fn small_blob(&self, digest: &str, limit: usize) -> Result<Vec<u8>> {
        let mut blob = self.blob(digest, 0).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = blob.chunk().await? {
            if bytes.len() + chunk.len() > limit {
                return Err(Error::Protocol(format!("blob {digest} is over {limit} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// A blob from `offset` on. Look at [`Blob::offset`]: a registry may start over.
    pub async fn blob(&self, digest: &str, offset: u64) -> Result<Blob> {
        let url = self.url(&format!("blobs/{digest}"));
        let answer = self
            .send(Method::GET, &url, |request| match offset {
                0 => request,
                _ => request.header(RANGE, format!("bytes={offset}-")),
            })
            .await?;
        let resumed = answer.status() == StatusCode::PARTIAL_CONTENT;
        let length = answer.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        Ok(Blob { response: answer, url, offset: if resumed { offset } else { 0 }, remaining: length })
    }
}

impl Blob {
    /// The next bytes; `None` at the end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        self.response.chunk().await.map_err(|error| Error::transport("Get", &self.url, &error))
    }
}

fn accept_manifests(request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
    request.header(ACCEPT, ACCEPTED.join(", "))
}
