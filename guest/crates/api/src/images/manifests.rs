//! `Manifests` of list and inspect: what a client shows below an image's name. Source: API 1.50 `ImageManifestSummary`.
//!
//! An image here is of one platform. What else an index lists, other platforms and attestations, was not fetched, and is
//! not shown: it would be shown as absent, which every client would have to hide again.

use cubby_engine::{
    Engine,
    images::{Image, ManifestRecord},
};
use serde_json::{Value, json};

use super::distribution::platform;

pub fn manifests(engine: &Engine, image: &Image) -> Vec<Value> {
    let (digest, size, media_type) = descriptor(image);
    let content: u64 = image.layers.iter().filter_map(|layer| Some(layer.blob.as_ref()?.size_bytes)).sum();
    vec![json!({
        "ID": digest,
        "Descriptor": { "mediaType": media_type, "digest": digest, "size": size },
        "Available": true,
        "Size": { "Content": content, "Total": content + image.size_bytes },
        "Kind": "image",
        "ImageData": {
            "Platform": platform(&image.platform()),
            "Containers": engine.images.containers_of(image),
            "Size": { "Unpacked": image.size_bytes },
        },
    })]
}

/// Of the manifest that the image came with; an image that never had one is named by its config.
fn descriptor(image: &Image) -> (String, usize, &str) {
    match image.manifest() {
        Some(ManifestRecord { media_type, document }) => {
            let digest = cubby_image::Digest::of(document.as_bytes());
            (digest.to_string(), document.len(), media_type)
        }
        None => (image.id.to_string(), image.config_bytes(), "application/vnd.docker.container.image.v1+json"),
    }
}
