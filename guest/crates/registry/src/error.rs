//! What a registry refuses, and what goes wrong on the way to it.

use serde::Deserialize;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The texts are dockerd's where Docker's clients show or parse them.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such manifest, blob or repository.
    #[error("{0}")]
    NotFound(String),
    /// The registry wants other credentials.
    #[error("unauthorized: {0}")]
    Unauthorized(String),
    /// The registry wants a name and a password, and none were given.
    #[error("{method} \"{url}\": no basic auth credentials")]
    NoCredentials { method: String, url: String },
    /// The credentials are known and do not suffice.
    #[error("denied: {0}")]
    Denied(String),
    /// No answer: name, connection, TLS or time.
    #[error("{method} \"{url}\": {reason}")]
    Unreachable { method: String, url: String, reason: String },
    /// The registry asks to slow down.
    #[error("toomanyrequests: {0}")]
    TooManyRequests(String),
    /// An answer that the protocol does not know.
    #[error("unexpected answer from the registry: {0}")]
    Protocol(String),
    /// Our own settings or the client's credentials cannot be used.
    #[error("{0}")]
    Configuration(String),
    /// A local source of bytes to push failed.
    #[error("read what is to be pushed")]
    Source(#[source] std::io::Error),
}

impl Error {
    /// Whether trying again may help: the network's faults and the server's own, never refusals.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::TooManyRequests(_))
    }

    /// What broke in the middle of an answer.
    pub(crate) fn transport(method: &str, url: &str, error: &reqwest::Error) -> Self {
        Self::no_answer(method, url, None, error)
    }

    /// A request without an answer; `proxy` is the host that would not pass it on.
    pub(crate) fn no_answer(method: &str, url: &str, proxy: Option<&str>, error: &reqwest::Error) -> Self {
        let mut reason = String::new();
        let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
        while let Some(error) = cause {
            if !reason.is_empty() {
                reason.push_str(": ");
            }
            reason.push_str(&error.to_string());
            cause = error.source();
        }
        if reason.is_empty() {
            reason = error.to_string();
        }
        let host = url.split("://").nth(1).and_then(|rest| rest.split(['/', '?']).next()).unwrap_or_default();
        let reason = go_words(&reason, proxy.unwrap_or(host)).unwrap_or(reason);
        let dialled = proxy.is_some() && reason.starts_with("dial tcp");
        let reason = if dialled { format!("proxyconnect tcp: {reason}") } else { reason };
        Self::Unreachable { method: method.to_owned(), url: url.to_owned(), reason }
    }

    /// The error that an answer with this status and body stands for.
    pub(crate) fn from_answer(status: u16, url: &str, body: &[u8]) -> Self {
        let text = Envelope::text(body);
        let words = text.clone().unwrap_or_else(|| format!("{url}: status {status}"));
        match status {
            401 => Self::Unauthorized(text.unwrap_or_else(|| "authentication required".to_owned())),
            403 => Self::Denied(text.unwrap_or_else(|| "requested access to the resource is denied".to_owned())),
            404 => Self::NotFound(words),
            407 => Self::Protocol(format!("{url}: Proxy Authentication Required")),
            429 => Self::TooManyRequests(words),
            500..=599 => Self::Unreachable {
                method: "request".to_owned(),
                url: url.to_owned(),
                reason: format!("received unexpected HTTP status: {status}: {words}"),
            },
            _ => Self::Protocol(words),
        }
    }
}

/// What dockerd, whose users look for these words, says of the faults that they meet most. Source: Go `crypto/x509`,
/// `net/http`, `net`.
fn go_words(reason: &str, host: &str) -> Option<String> {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let certificate = |fault: &str| Some(format!("tls: failed to verify certificate: x509: {fault}"));
    let says = |text: &str| reason.contains(text);
    match () {
        () if says("UnknownIssuer") || says("BadSignature") => certificate("certificate signed by unknown authority"),
        () if says("CaUsedAsEndEntity") => certificate("certificate signed by unknown authority"),
        () if says("NotValidForName") || says("not valid for name") => {
            certificate(&format!("certificate is not valid for {name}"))
        }
        () if says("Expired") || says("NotValidYet") => certificate("certificate has expired or is not yet valid"),
        // Alerts of the server. Source: Go `crypto/tls` alert.go.
        () if says("CertificateRequired") => Some("remote error: tls: certificate required".to_owned()),
        () if says("UnknownCA") => Some("remote error: tls: unknown certificate authority".to_owned()),
        () if says("BadCertificate") => Some("remote error: tls: bad certificate".to_owned()),
        () if says("InvalidContentType") => Some("http: server gave HTTP response to HTTPS client".to_owned()),
        () if says("proxy authorization required") => Some("Proxy Authentication Required".to_owned()),
        () if says("Connection refused") => Some(format!("dial tcp {host}: connect: connection refused")),
        () if says("failed to lookup address") => Some(format!("dial tcp: lookup {name}: no such host")),
        () => None,
    }
}

/// Source: distribution-spec "Error Codes".
#[derive(Deserialize)]
struct Envelope {
    errors: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

impl Envelope {
    /// `manifest unknown: manifest unknown`, as dockerd prints the first of them.
    fn text(body: &[u8]) -> Option<String> {
        let envelope: Self = serde_json::from_slice(body).ok()?;
        let first = envelope.errors.first()?;
        let code = first.code.to_lowercase().replace('_', " ");
        // Why: 401 and 403 carry their code in the variant already.
        let known = matches!(code.as_str(), "unauthorized" | "denied" | "toomanyrequests" | "");
        Some(if known { first.message.clone() } else { format!("{code}: {}", first.message) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_become_dockerds_words() {
        let body = br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
        assert_eq!(Error::from_answer(404, "u", body).to_string(), "manifest unknown: manifest unknown");
        let body = br#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
        assert_eq!(Error::from_answer(401, "u", body).to_string(), "unauthorized: authentication required");
        assert!(Error::from_answer(503, "u", b"<html>").is_transient());
        assert!(!Error::from_answer(403, "u", b"").is_transient());
    }
}
