//! `GET /containers/{id}/stats` and `/top`.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::header,
    response::{IntoResponse, Response},
};
use cubby_engine::{
    Engine,
    containers::{StatsStream, Top},
};
use futures_util::stream;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::{client::Client, error::ApiError, extract::Query, version::ApiVersion};

const PERIOD: Duration = Duration::from_secs(1);

pub async fn stats(
    State(engine): State<Arc<Engine>>,
    Path(id): Path<String>,
    version: ApiVersion,
    client: Client,
    query: Query,
) -> Result<Response, ApiError> {
    let stream = query.flag_or("stream", true);
    let one_shot = version >= ApiVersion(41) && query.flag("one-shot");
    if stream && one_shot {
        return Err(ApiError::bad_request("cannot have stream=true and one-shot=true"));
    }
    let mut figures = engine.containers.stats(&id)?;
    if stream {
        let mut clock = interval(PERIOD);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let samples = stream::unfold((figures, clock), next);
        return Ok(([(header::CONTENT_TYPE, "application/json")], client.body(samples)).into_response());
    }
    if !one_shot && figures.is_running() {
        // Why: the figures of processors mean something beside earlier ones only.
        figures.sample().await?;
        tokio::time::sleep(PERIOD).await;
    }
    Ok(Json(figures.sample().await?.unwrap_or_default()).into_response())
}

async fn next(state: (StatsStream, Interval)) -> Option<(Result<Bytes, Infallible>, (StatsStream, Interval))> {
    let (mut figures, mut clock) = state;
    clock.tick().await;
    let sample = figures.sample().await.ok()??;
    Some((Ok(Bytes::from(format!("{sample}\n"))), (figures, clock)))
}

pub async fn top(
    State(engine): State<Arc<Engine>>,
    Path(id): Path<String>,
    query: Query,
) -> Result<Json<Top>, ApiError> {
    Ok(Json(engine.containers.top(&id, query.text("ps_args").unwrap_or_default()).await?))
}
