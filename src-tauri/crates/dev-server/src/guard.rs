//! Who may talk to the server.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{CONTENT_SECURITY_POLICY, HOST, ORIGIN, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

pub(crate) struct Guard {
    token: String,
    /// `127.0.0.1:PORT` and `localhost:PORT`.
    authorities: [String; 2],
}

impl Guard {
    pub(crate) fn new(address: SocketAddr) -> anyhow::Result<Self> {
        let mut random = [0; 16];
        getrandom::fill(&mut random)?;
        let authorities = [address.to_string(), format!("localhost:{}", address.port())];
        Ok(Self { token: hex::encode(random), authorities })
    }

    pub(crate) fn prefix(&self) -> String {
        format!("/{}", self.token)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}{}/", self.authorities[0], self.prefix())
    }

    /// The host is ours, and so is the origin where a browser sends one.
    fn admits(&self, headers: &HeaderMap) -> bool {
        let text = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or_default());
        let ours = |authority: &str| self.authorities.iter().any(|known| known == authority);
        text(HOST).is_some_and(ours)
            && text(ORIGIN).is_none_or(|origin| origin.strip_prefix("http://").is_some_and(ours))
    }

    fn policy(&self) -> String {
        let [first, second] = &self.authorities;
        format!(
            "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; \
             connect-src 'self' ws://{first} ws://{second}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
    }
}

/// Comes before everything else. A path without the token finds nothing, like any other wrong path.
pub(crate) async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    if !guard.admits(request.headers()) {
        return (StatusCode::FORBIDDEN, "this server answers its own pages only\n").into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(&guard.policy()) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // The address carries the token: it must not reach another site.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
