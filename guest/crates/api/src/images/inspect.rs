//! `GET /images/{name}/json` and `/history`. Source: API 1.50 `ImageInspect`, `ImageHistory`.

use std::sync::Arc;

use cubby_engine::{Engine, images::Image, timestamps};
use serde_json::{Value, json};

use cubby_image::Platform;

use super::{config, manifests::manifests, platform::described};
use crate::{error::ApiError, extract::Query, version::ApiVersion};

pub fn inspect(engine: &Engine, name: &str, version: ApiVersion, query: &Query) -> Result<Value, ApiError> {
    let platform = described(query, version, ApiVersion(49))?;
    let with_manifests = query.flag("manifests") && version >= ApiVersion(48);
    if with_manifests && platform.is_some() {
        return Err(ApiError::bad_request("conflicting options: manifests and platform options cannot both be set"));
    }
    let image = find(engine, name, platform.as_ref())?;
    let file = &image.file;
    // Source: moby daemon/images/image_inspect.go.
    let last = file.history.last().map(|step| &step.comment).filter(|_| file.comment.is_empty());
    let mut answer = json!({
        "Id": image.id,
        "RepoTags": image.repo_tags,
        "RepoDigests": image.repo_digests,
        "Parent": super::list::parent(&image),
        "Comment": last.unwrap_or(&file.comment),
        "Created": image.created().unwrap_or(timestamps::ZERO),
        "DockerVersion": file.docker_version,
        "Author": file.author,
        "Config": config::of_version(&image, version),
        "Architecture": image.architecture(),
        "Os": image.os(),
        "Size": image.size_bytes,
        "GraphDriver": graph_driver(&image),
        "RootFS": { "Type": "layers", "Layers": file.rootfs.diff_ids },
        "Metadata": { "LastTagTime": timestamps::rfc3339_nano(image.tagged_time()) },
    });
    if let Some(variant) = file.variant.as_deref().filter(|variant| !variant.is_empty()) {
        answer["Variant"] = json!(variant);
    }
    if let Some(os_version) = &file.os_version {
        answer["OsVersion"] = json!(os_version);
    }
    if with_manifests {
        answer["Manifests"] = json!(manifests(engine, &image));
    }
    if version < ApiVersion(45) {
        config::add_builders(&mut answer, &image);
    }
    if version < ApiVersion(44) {
        answer["VirtualSize"] = json!(image.size_bytes);
    }
    Ok(answer)
}

/// The image of that name, which must be for the platform that is asked for.
fn find(engine: &Engine, name: &str, platform: Option<&Platform>) -> Result<Arc<Image>, ApiError> {
    let image = engine.images.find(name)?;
    image.must_fit(name, platform)?;
    Ok(image)
}

/// Where the layers are, as the overlay2 driver shows them.
fn graph_driver(image: &Image) -> Value {
    let dirs: Vec<String> = image.lower_dirs.iter().map(|dir| dir.display().to_string()).collect();
    let mut data = json!({ "UpperDir": dirs.first() });
    if dirs.len() > 1 {
        data["LowerDir"] = json!(dirs[1..].join(":"));
    }
    json!({ "Name": "overlay2", "Data": data })
}

/// Newest step first; only the newest has the image's id and names.
pub fn history(engine: &Engine, name: &str, version: ApiVersion, query: &Query) -> Result<Vec<Value>, ApiError> {
    let image = find(engine, name, described(query, version, ApiVersion(48))?.as_ref())?;
    let mut layers = image.layers.iter();
    let mut steps = Vec::with_capacity(image.file.history.len());
    for step in &image.file.history {
        let size = if step.empty_layer { 0 } else { layers.next().map_or(0, |layer| layer.size_bytes) };
        steps.push(json!({
            "Comment": step.comment,
            "Created": step.created.as_deref().map_or(0, cubby_engine::images::unix_seconds),
            "CreatedBy": step.created_by,
            "Id": "<missing>",
            "Size": size,
            "Tags": null,
        }));
    }
    steps.reverse();
    if let Some(newest) = steps.first_mut() {
        newest["Id"] = json!(image.id);
        newest["Tags"] = json!((!image.repo_tags.is_empty()).then_some(&image.repo_tags));
    }
    Ok(steps)
}
