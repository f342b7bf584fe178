//! Archives in every shape, made by hand: load, save, load again.

use cubby_image::{
    Digest, Platform, Reference,
    archive::{self, Event, Known, Loaded, SavedImage, SavedLayer},
};
use serde_json::json;
use std::sync::Mutex;

use super::{
    build::{Tar, config, docker_archive, gzip, native},
    is_pristine, names, store,
};

fn layer(n: u8) -> Vec<u8> {
    Tar::default().dir("d/").file(&format!("d/{n}"), &[n; 3000]).end()
}

fn blob(tar: Tar, bytes: &[u8]) -> Tar {
    tar.file(&format!("blobs/sha256/{}", Digest::of(bytes).hex()), bytes)
}

fn descriptor(media_type: &str, bytes: &[u8]) -> serde_json::Value {
    json!({"mediaType": media_type, "digest": Digest::of(bytes), "size": bytes.len()})
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// An image's blobs in `tar`; its manifest.
fn oci_image(tar: Tar, layers: &[Vec<u8>], architecture: &str) -> (Tar, Vec<u8>) {
    let config = config(layers, architecture);
    let mut descriptors = Vec::new();
    let mut tar = blob(tar, &config);
    for layer in layers {
        let zipped = gzip(layer);
        descriptors.push(descriptor("application/vnd.oci.image.layer.v1.tar+gzip", &zipped));
        tar = blob(tar, &zipped);
    }
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config), "layers": descriptors});
    let manifest = serde_json::to_vec(&manifest).unwrap();
    (blob(tar, &manifest), manifest)
}

fn with_index(tar: Tar, manifests: serde_json::Value) -> Vec<u8> {
    let index = json!({"schemaVersion": 2, "manifests": manifests});
    tar.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#).file("index.json", index.to_string().as_bytes()).end()
}

fn named(mut descriptor: serde_json::Value, key: &str, name: &str) -> serde_json::Value {
    descriptor["annotations"] = json!({ key: name });
    descriptor
}

fn familiar(loaded: &Loaded) -> Vec<String> {
    loaded.images.iter().flat_map(|image| image.names.iter().map(Reference::familiar)).collect()
}

#[test]
fn a_docker_archive_loads_compressed_or_not() {
    let archive = docker_archive(&["busy:1", "host.example/a/b:2"], &[layer(1), layer(2)]);
    for archive in [archive.clone(), gzip(&archive), zstd::encode_all(archive.as_slice(), 1).unwrap()] {
        let Some((_dir, store)) = store() else { return };
        let loaded = archive::load(archive.as_slice(), &store, &(), None, &|_| {}).unwrap();
        assert_eq!(familiar(&loaded), ["busy:1", "host.example/a/b:2"]);
        let image = &loaded.images[0];
        assert_eq!(image.id, Digest::of(image.config.as_bytes()));
        assert!(image.native);
        assert_eq!(std::fs::read(store.diff_dir(&image.layers[1].diff_id).join("d/2")).unwrap(), [2; 3000]);
    }
}

#[test]
fn an_oci_layout_loads_the_native_image_of_an_index() {
    let Some((_dir, store)) = store() else { return };
    let (tar, native_manifest) = oci_image(Tar::default(), &[layer(1)], native());
    let (tar, foreign_manifest) = oci_image(tar, &[layer(2)], "riscv64");
    let attestation = json!({"mediaType": MANIFEST, "digest": Digest::of(b"absent"), "size": 1,
        "platform": {"os": "unknown", "architecture": "unknown"}});
    let index = json!({"schemaVersion": 2, "mediaType": INDEX,
        "manifests": [attestation, descriptor(MANIFEST, &foreign_manifest), descriptor(MANIFEST, &native_manifest)]});
    let index = serde_json::to_vec(&index).unwrap();
    let archive = with_index(
        blob(tar, &index),
        json!([named(descriptor(INDEX, &index), "io.containerd.image.name", "docker.io/library/multi:1")]),
    );
    let loaded = archive::load(archive.as_slice(), &store, &(), None, &|_| {}).unwrap();
    assert_eq!(familiar(&loaded), ["multi:1"]);
    assert_eq!(loaded.images[0].file.architecture, native());
    let layers = names(store.layer_dir(&Digest::of(b"")).parent().unwrap());
    assert_eq!(layers.len(), 4, "the other platform's layer is not kept: {layers:?}");

    let foreign = Platform::parse("linux/riscv64").unwrap();
    let loaded = archive::load(archive.as_slice(), &store, &(), Some(&foreign), &|_| {}).unwrap();
    assert!(!loaded.images[0].native);
    let absent = Platform::parse("linux/s390x").unwrap();
    let Err(error) = archive::load(archive.as_slice(), &store, &(), Some(&absent), &|_| {}) else { panic!("loaded") };
    assert!(error.to_string().starts_with("no image for platform linux/s390x"), "{error}");
}

#[test]
fn names_come_from_either_annotation_and_bare_tags_name_nothing() {
    let (tar, manifest) = oci_image(Tar::default(), &[layer(1)], native());
    for (key, name, expected) in [
        ("org.opencontainers.image.ref.name", "example.com/a:2", vec!["example.com/a:2"]),
        ("org.opencontainers.image.ref.name", "busybox:latest", vec!["busybox:latest"]),
        ("org.opencontainers.image.ref.name", "latest", vec![]),
        ("io.containerd.image.name", "docker.io/library/a:1", vec!["a:1"]),
    ] {
        let Some((_dir, store)) = store() else { return };
        let archive = with_index(tar.clone(), json!([named(descriptor(MANIFEST, &manifest), key, name)]));
        let loaded = archive::load(archive.as_slice(), &store, &(), None, &|_| {}).unwrap();
        assert_eq!(familiar(&loaded), expected);
    }
}

struct All(Vec<(Digest, Digest)>);

impl Known for All {
    fn diff_id(&self, blob: &Digest) -> Option<(Digest, u64)> {
        self.0.iter().find(|(known, _)| known == blob).map(|(_, diff_id)| (*diff_id, 3000))
    }
}

#[test]
fn layers_that_are_here_are_not_unpacked_again() {
    let Some((_dir, store)) = store() else { return };
    let (tar, manifest) = oci_image(Tar::default(), &[layer(1), layer(2)], native());
    let archive = with_index(tar, json!([descriptor(MANIFEST, &manifest)]));
    let first = archive::load(archive.as_slice(), &store, &(), None, &|_| {}).unwrap();
    let known = All(first.images[0].layers.iter().map(|l| (l.blob.unwrap().0, l.diff_id)).collect());
    let events = Mutex::new(Vec::new());
    let again =
        archive::load(archive.as_slice(), &store, &known, None, &|event| events.lock().unwrap().push(event)).unwrap();
    assert_eq!(again.images[0].id, first.images[0].id);
    let events = events.into_inner().unwrap();
    assert_eq!(events.len(), 2);
    assert!(events.iter().all(|event| matches!(event, Event::LayerExists { .. })), "{events:?}");
}

#[test]
fn what_is_saved_loads_again_with_equal_digests() {
    let Some((_dir, store)) = store() else { return };
    let archive = docker_archive(&["busy:1"], &[layer(1), layer(2), layer(1)]);
    let loaded = archive::load(archive.as_slice(), &store, &(), None, &|_| {}).unwrap();
    let image = &loaded.images[0];
    let saved = SavedImage {
        config: image.config.clone(),
        layers: image.layers.iter().map(|layer| SavedLayer { diff_id: layer.diff_id }).collect(),
        manifest: None,
        names: image.names.clone(),
        created: 1,
    };
    let mut bytes = Vec::new();
    archive::save(&[saved], &store, &mut bytes).unwrap();
    let Some((_dir2, other)) = super::store() else { return };
    let again = archive::load(bytes.as_slice(), &other, &(), None, &|_| {}).unwrap();
    assert_eq!(again.images[0].id, image.id);
    assert_eq!(familiar(&again), ["busy:1"]);
    // The OCI half alone, as other tools read it.
    let oci: Vec<u8> = without(&bytes, "manifest.json");
    let Some((_dir3, third)) = super::store() else { return };
    let again = archive::load(oci.as_slice(), &third, &(), None, &|_| {}).unwrap();
    assert_eq!((again.images[0].id, familiar(&again)), (image.id, vec!["busy:1".to_owned()]));
}

fn without(archive: &[u8], name: &str) -> Vec<u8> {
    let mut out = tar::Builder::new(Vec::new());
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let entry = entry.unwrap();
        if entry.path_bytes().as_ref() != name.as_bytes() {
            let header = entry.header().clone();
            out.append(&header, entry).unwrap();
        }
    }
    out.into_inner().unwrap()
}

#[test]
fn removed_layers_go_and_pinned_ones_stay() {
    let Some((dir, store)) = store() else { return };
    let loaded = archive::load(docker_archive(&["a"], &[layer(1)]).as_slice(), &store, &(), None, &|_| {}).unwrap();
    let diff_id = loaded.images[0].layers[0].diff_id;
    store.remove([diff_id]).unwrap();
    assert!(store.diff_dir(&diff_id).exists(), "it is pinned");
    drop(loaded.pins);
    store.remove([diff_id]).unwrap();
    assert!(is_pristine(dir.path()));
    store.empty_trash();
    assert!(names(&dir.path().join("layers/.trash")).is_empty());
}
