//! `POST /containers/{id}/wait`: the head at once, so that a client may start the container then; the body at the end.

use std::{convert::Infallible, sync::Arc};

use axum::{
    body::Bytes,
    extract::{Path, State},
    http::header,
    response::{IntoResponse, Response},
};
use cubby_engine::{Engine, containers::Condition};
use futures_util::stream;
use serde_json::json;

use crate::{client::Client, error::ApiError, extract::Query, version::ApiVersion};

pub async fn wait(
    State(engine): State<Arc<Engine>>,
    Path(id): Path<String>,
    version: ApiVersion,
    client: Client,
    query: Query,
) -> Result<Response, ApiError> {
    let wanted = query.text("condition").filter(|_| version >= ApiVersion(30)).unwrap_or_default();
    let waiter = engine.containers.wait(&id, Condition::parse(wanted)?)?;
    let answer = async move {
        let waited = waiter.wait().await;
        let mut body = json!({ "StatusCode": waited.exit_code });
        if !waited.error.is_empty() {
            body["Error"] = json!({ "Message": waited.error });
        }
        Ok::<_, Infallible>(Bytes::from(format!("{body}\n")))
    };
    let body = client.body(stream::once(answer));
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}
