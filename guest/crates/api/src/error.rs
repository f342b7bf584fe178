//! Errors as a Docker client sees them: `{"message": …}` and a status.
//!
//! The only place where error kinds become statuses. Source: moby `errdefs` and `httpstatus`.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use cubby_engine::{Error, ErrorKind};
use serde_json::json;

/// What every handler returns when it fails.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    message: String,
}

impl ApiError {
    /// A request that cannot be understood.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, message: message.into() }
    }

    /// A status that no error kind stands for (406 of the swarm endpoints, 503 …). Prefer [`cubby_engine::Error`].
    pub fn with_status(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    pub fn message(&self) -> &str {
        &self.message
    }
}

/// The status of each kind.
pub fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::InvalidParameter => StatusCode::BAD_REQUEST,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::NotModified => StatusCode::NOT_MODIFIED,
        ErrorKind::Unauthorized => StatusCode::UNAUTHORIZED,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::NotImplemented => StatusCode::NOT_IMPLEMENTED,
        ErrorKind::System => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        if error.kind() == ErrorKind::System {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(err = error.message(), cause, "request failed");
        }
        Self { status: status_of(error.kind()), message: error.message().to_owned() }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if self.status == StatusCode::NOT_MODIFIED {
            // Why: a 304 has no body (RFC 9110 §15.4.5); Go's client waits for one otherwise.
            return self.status.into_response();
        }
        (self.status, Json(json!({ "message": self.message }))).into_response()
    }
}

/// dockerd answers unknown paths and wrong methods alike.
pub async fn page_not_found() -> ApiError {
    ApiError { status: StatusCode::NOT_FOUND, message: "page not found".to_owned() }
}
