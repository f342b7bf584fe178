//! `GET /images/json` and `POST /images/prune`. Source: API 1.50 `ImageList`, `ImagePrune`.

use std::{collections::HashMap, sync::Arc};

use axum::{Json, extract::State};
use cubby_engine::{
    Engine,
    images::{Image, Listed, created_at},
};
use serde_json::{Value, json};

use super::{manifests::manifests, stream::blocking};
use crate::{error::ApiError, extract::Query, version::ApiVersion};

/// From here on an image without names has empty lists instead of `<none>`.
const EMPTY_NAMES: ApiVersion = ApiVersion(43);
/// From here on clients may ask for manifests.
const MANIFESTS: ApiVersion = ApiVersion(47);
/// From here on there is no `VirtualSize`.
const NO_VIRTUAL_SIZE: ApiVersion = ApiVersion(44);

pub async fn list(
    State(engine): State<Arc<Engine>>,
    version: ApiVersion,
    query: Query,
) -> Result<Json<Vec<Value>>, ApiError> {
    let mut filters = query.filters()?;
    // Clients before 1.25 ask for a name so.
    if let Some(name) = query.text("filter").filter(|name| !name.is_empty() && version < ApiVersion(41)) {
        filters.insert("reference", name);
    }
    let shared = query.flag("shared-size").then(|| {
        engine.images.usage().into_iter().map(|usage| (usage.image.id, usage.shared_bytes)).collect::<HashMap<_, _>>()
    });
    let listed = engine.images.list(&filters, query.flag("all"))?;
    // Why only then: counting is cheap here, but clients take a number other than -1 for a request of theirs.
    let with_manifests = query.flag("manifests") && version >= MANIFESTS;
    let summaries = listed.iter().map(|listed| {
        let shared = shared.as_ref().map_or(-1, |shared| shared.get(&listed.image.id).map_or(0, |bytes| *bytes as i64));
        let mut summary = summary(listed, shared, version);
        if with_manifests {
            summary["Manifests"] = json!(manifests(&engine, &listed.image));
            summary["Containers"] = json!(engine.images.containers_of(&listed.image).len());
        }
        summary
    });
    Ok(Json(summaries.collect()))
}

fn summary(listed: &Listed, shared_bytes: i64, version: ApiVersion) -> Value {
    let image = &listed.image;
    let mut summary = json!({
        "Containers": -1,
        "Created": created_at(image),
        "Id": image.id,
        "Labels": image.config().labels,
        "ParentId": parent(image),
        "RepoDigests": listed.repo_digests,
        "RepoTags": listed.repo_tags,
        "SharedSize": shared_bytes,
        "Size": image.size_bytes,
    });
    if version < EMPTY_NAMES && listed.repo_tags.is_empty() && listed.repo_digests.is_empty() {
        summary["RepoTags"] = json!(["<none>:<none>"]);
        summary["RepoDigests"] = json!(["<none>@<none>"]);
    }
    if version < NO_VIRTUAL_SIZE {
        summary["VirtualSize"] = json!(image.size_bytes);
    }
    summary
}

/// The id of the image it was made on here, or nothing.
pub fn parent(image: &Image) -> String {
    image.parent().map(|parent| parent.to_string()).unwrap_or_default()
}

/// Every image with what it shares and how many containers use it, for `/system/df`.
pub fn usage_summaries(engine: &Engine, version: ApiVersion) -> Vec<Value> {
    let usage = engine.images.usage();
    let summaries = usage.into_iter().map(|usage| {
        let (repo_tags, repo_digests) = (usage.image.repo_tags.clone(), usage.image.repo_digests.clone());
        let listed = Listed { image: usage.image, repo_tags, repo_digests };
        let mut summary = summary(&listed, usage.shared_bytes as i64, version);
        summary["Containers"] = json!(usage.containers);
        summary
    });
    summaries.collect()
}

pub async fn prune(State(engine): State<Arc<Engine>>, query: Query) -> Result<Json<Value>, ApiError> {
    let filters = query.filters()?;
    let pruned = blocking(move || engine.images.prune(&filters)).await?;
    let deleted = (!pruned.removed.is_empty()).then_some(pruned.removed);
    Ok(Json(json!({ "ImagesDeleted": deleted, "SpaceReclaimed": pruned.reclaimed_bytes })))
}
