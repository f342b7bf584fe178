//! A file from any web server: what `ADD` and `docker import` name by address.
//!
//! Proxies and extra authorities count as for registries; credentials are never sent. Source: moby
//! builder/remotecontext/remote.go `GetWithStatusError`, builder/dockerfile/copy.go `getFilenameForDownload`.

use bytes::Bytes;
use percent_encoding::percent_decode_str;
use reqwest::{
    Method, Response, Url,
    header::{CONTENT_DISPOSITION, LAST_MODIFIED},
};

use crate::{
    error::{Error, Result},
    repository::bounded,
    settings::Settings,
    transport,
};

/// What is shown of a refusal's body.
const REASON_BYTES: usize = 4096;

/// An answer that has begun.
#[derive(Debug)]
pub struct Download {
    response: Response,
    url: String,
    /// The last part of the address's path, else what the server calls the file; no path, empty when there is neither.
    pub name: String,
}

impl Download {
    /// Asks for it; `http` and `https` only, redirections are followed.
    ///
    /// # Errors
    /// Configuration for what is no such address; not found, denied, protocol for a refusal; unreachable.
    pub async fn open(address: &str, settings: &Settings) -> Result<Self> {
        let invalid = || Error::Configuration(format!("parse {address:?}: invalid URL"));
        let url: Url = address.parse().map_err(|_| invalid())?;
        let host = url.host_str().filter(|_| matches!(url.scheme(), "http" | "https")).ok_or_else(invalid)?;
        let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let client = transport::client(&host, settings, true)?;
        let sent = client.request(Method::GET, address).send().await;
        let response = sent.map_err(|error| client.failed("Get", address, &error))?;
        let status = response.status();
        if !status.is_success() {
            let body = bounded(response, REASON_BYTES).await.unwrap_or_default();
            let reason = format!("failed to GET {address} with status {status}: {}", String::from_utf8_lossy(&body));
            return Err(match status.as_u16() {
                401 | 403 => Error::Denied(reason),
                404 => Error::NotFound(reason),
                _ => Error::Protocol(reason),
            });
        }
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let path = percent_decode_str(url.path()).decode_utf8_lossy();
        let named = last_part(&path).or_else(|| last_part(attachment(header(CONTENT_DISPOSITION)?)?));
        let name = named.unwrap_or_default().to_owned();
        Ok(Self { response, url: address.to_owned(), name })
    }

    /// When the file was last changed, as the server writes it (RFC 9110, 5.6.7).
    pub fn last_modified(&self) -> Option<&str> {
        self.response.headers().get(LAST_MODIFIED)?.to_str().ok()
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// Unreachable when it breaks off.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        self.response.chunk().await.map_err(|error| Error::transport("Get", &self.url, &error))
    }
}

/// A name that can be a file's. The server is not trusted: a name is never a path.
fn last_part(path: &str) -> Option<&str> {
    let name = path.rsplit('/').next()?;
    (!matches!(name, "" | "." | "..") && !name.contains('\0')).then_some(name)
}

/// `attachment; filename="a.txt"`.
fn attachment(disposition: &str) -> Option<&str> {
    let parameters = disposition.split(';').skip(1);
    let mut names = parameters.filter_map(|parameter| parameter.trim().strip_prefix("filename="));
    names.next().map(|name| name.trim().trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_never_paths() {
        for (path, name) in [("/a/b.tar", Some("b.tar")), ("/", None), ("/a/..", None), ("", None), ("/a/", None)] {
            assert_eq!(last_part(path), name, "{path}");
        }
        for (header, name) in [
            ("attachment; filename=\"x y.txt\"", Some("x y.txt")),
            ("attachment; size=3; filename=../../etc/passwd", Some("passwd")),
            ("inline", None),
        ] {
            assert_eq!(attachment(header).and_then(last_part), name, "{header}");
        }
    }
}
