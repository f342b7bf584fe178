//! `GET /system/df`: what takes the disk's space; shared layers count once. Source: API 1.50 `SystemDataUsage`.

use std::sync::Arc;

use axum::{Json, extract::State};
use cubby_engine::{Engine, containers::ListOptions};
use serde_json::{Value, json};

use crate::{error::ApiError, extract::Query, images::usage_summaries, version::ApiVersion};

const KINDS: [&str; 4] = ["container", "image", "volume", "build-cache"];

pub async fn df(State(engine): State<Arc<Engine>>, version: ApiVersion, query: Query) -> Result<Json<Value>, ApiError> {
    // Older versions know no such choice.
    let wanted: Vec<&str> = query.all("type").filter(|_| version >= ApiVersion(42)).collect();
    if let Some(unknown) = wanted.iter().find(|kind| !KINDS.contains(kind)) {
        return Err(ApiError::bad_request(format!("unknown object type: {unknown}")));
    }
    let wants = |kind: &str| wanted.is_empty() || wanted.contains(&kind);
    // Every member is there, as Go has it: what was not asked for is null.
    let mut answer =
        json!({ "LayersSize": 0, "Images": null, "Containers": null, "Volumes": null, "BuildCache": null });
    if wants("image") {
        answer["LayersSize"] = json!(engine.images.disk_bytes());
        answer["Images"] = json!(usage_summaries(&engine, version));
    }
    if wants("container") {
        let options = ListOptions { all: true, size: true, ..ListOptions::default() };
        answer["Containers"] = json!(engine.containers.list(options).await?);
    }
    if wants("volume") {
        answer["Volumes"] = engine.volumes.usage().await?.into_iter().map(crate::volumes::shown).collect();
    }
    if wants("build-cache") {
        answer["BuildCache"] = json!([]);
    }
    Ok(Json(answer))
}
