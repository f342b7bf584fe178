//! `GET|HEAD /_ping`: is the engine there, and what does it speak?

use axum::response::IntoResponse;

/// The headers are the answer: clients negotiate their version from them. Source: API 1.50 `SystemPing`.
pub async fn ping() -> impl IntoResponse {
    let headers = [
        // Why: 1 is the classic builder; 2 would make the CLI demand a BuildKit session that is not served yet.
        ("Builder-Version", "1"),
        ("Swarm", "inactive"),
        ("Cache-Control", "no-cache, no-store, must-revalidate"),
        ("Pragma", "no-cache"),
        ("Content-Type", "text/plain; charset=utf-8"),
    ];
    (headers, "OK")
}
