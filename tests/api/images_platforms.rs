//! Indexes with several platforms and attestations: what is pulled, shown, saved, loaded and pushed of them.
//!
//! As dockerd's graph drivers have it, a name stands for the image of one platform.

use std::{collections::HashMap, path::Path};

use cubby_harness::{Registry, RegistryOptions, layer, request, sha256};
use serde_json::{Value, json};

use super::{
    docker,
    images_foreign::{text, tool},
    registry::{allow_plain, host},
};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const NATIVE: &str = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
const OTHER: &str = "riscv64";

/// Blobs of an OCI layout by their digests in hexadecimal.
#[derive(Default)]
struct Layout(HashMap<String, Vec<u8>>);

impl Layout {
    fn blob(&mut self, media_type: &str, bytes: Vec<u8>) -> Value {
        let (hex, size) = (sha256(&bytes), bytes.len());
        self.0.insert(hex.clone(), bytes);
        json!({ "mediaType": media_type, "digest": format!("sha256:{hex}"), "size": size })
    }

    fn document(&mut self, media_type: &str, document: &Value) -> Value {
        self.blob(media_type, document.to_string().into_bytes())
    }

    /// The manifest of an image of one file that says which platform it is for; its id too.
    fn image(&mut self, architecture: &str) -> (Value, String) {
        let content = layer("etc/platform", architecture.as_bytes());
        let rootfs = json!({ "type": "layers", "diff_ids": [format!("sha256:{}", sha256(&content))] });
        let config =
            json!({ "architecture": architecture, "os": "linux", "config": { "Cmd": ["none"] }, "rootfs": rootfs });
        let config = self.document("application/vnd.oci.image.config.v1+json", &config);
        let id = config["digest"].as_str().expect("text").to_owned();
        let layers = [self.blob(LAYER, content)];
        let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers });
        let mut descriptor = self.document(MANIFEST, &manifest);
        descriptor["platform"] = json!({ "os": "linux", "architecture": architecture });
        (descriptor, id)
    }

    /// What BuildKit puts beside an image.
    fn attestation(&mut self, of: &Value) -> Value {
        let statement = self.document("application/vnd.in-toto+json", &json!({ "predicate": {} }));
        let config = json!({ "architecture": "unknown", "os": "unknown", "config": {},
            "rootfs": { "type": "layers", "diff_ids": [statement["digest"]] } });
        let config = self.document("application/vnd.oci.image.config.v1+json", &config);
        let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [statement] });
        let mut descriptor = self.document(MANIFEST, &manifest);
        descriptor["platform"] = json!({ "os": "unknown", "architecture": "unknown" });
        descriptor["annotations"] =
            json!({ "vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": of["digest"] });
        descriptor
    }

    /// As a tar that `docker load` and skopeo read, with one index of that name.
    fn archive(&self, mut index: Value, name: &str) -> Vec<u8> {
        index["annotations"] = json!({ "io.containerd.image.name": name, "org.opencontainers.image.ref.name": "1" });
        let top = json!({ "schemaVersion": 2, "manifests": [index] });
        let version = json!({ "imageLayoutVersion": "1.0.0" });
        let mut files: Vec<(String, Vec<u8>)> =
            self.0.iter().map(|(hex, bytes)| (format!("blobs/sha256/{hex}"), bytes.clone())).collect();
        files.push(("index.json".to_owned(), top.to_string().into_bytes()));
        files.push(("oci-layout".to_owned(), version.to_string().into_bytes()));
        let mut tar = tar::Builder::new(Vec::new());
        for (path, bytes) in files {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, path, bytes.as_slice()).expect("memory does not fail");
        }
        tar.into_inner().expect("memory does not fail")
    }
}

struct Multi {
    layout: Layout,
    /// Descriptors.
    index: Value,
    native: Value,
    /// Ids.
    native_id: String,
    other_id: String,
}

fn multi() -> Multi {
    let mut layout = Layout::default();
    let (other, other_id) = layout.image(OTHER);
    let (native, native_id) = layout.image(NATIVE);
    let attestation = layout.attestation(&native);
    let manifests = [attestation, other, native.clone()];
    let index = layout.document(INDEX, &json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests }));
    Multi { layout, index, native, native_id, other_id }
}

fn id(docker: &cubby_harness::Docker, name: &str) -> String {
    docker.run(["image", "inspect", "-f", "{{.Id}}", name]).ok()
}

#[test]
fn of_a_multi_platform_archive_the_platform_that_is_asked_for_is_loaded() {
    let (docker, _engine) = docker();
    let multi = multi();
    let name = "platforms/loaded:1";
    let archive = multi.layout.archive(multi.index.clone(), &format!("docker.io/{name}"));
    let loaded = docker.run_with_input(["load"], &archive).ok();
    assert!(loaded.contains(&format!("Loaded image: {name}")), "{loaded}");
    assert_eq!(id(&docker, name), multi.native_id);
    let other = docker.run_with_input(["load", "--platform", &format!("linux/{OTHER}")], &archive).ok();
    assert!(other.contains("does not match this machine's"), "{other}");
    assert_eq!(id(&docker, name), multi.other_id);
    let absent = docker.run_with_input(["load", "--platform", "linux/s390x"], &archive);
    assert!(absent.stderr.contains("no image for platform linux/s390x"), "{absent:?}");

    // Saved for its platform it is a layout of that one, and loads again as the same.
    let dir = tempfile::tempdir().expect("a temporary directory");
    let saved = dir.path().join("saved.tar");
    docker.run(["save", "--platform", &format!("linux/{OTHER}"), "-o", text(&saved), name]).ok();
    let native = docker.run(["save", "--platform", &format!("linux/{NATIVE}"), name]);
    assert!(native.stderr.contains(&format!("does not match the specified platform (linux/{NATIVE})")), "{native:?}");
    docker.run(["rmi", "-f", &multi.other_id, &multi.native_id]).ok();
    docker.run(["load", "-i", text(&saved)]).ok();
    assert_eq!(id(&docker, name), multi.other_id);
    docker.run(["rmi", name]).ok();
}

/// Puts the whole index into a registry, attestation included.
fn publish(multi: &Multi, dir: &Path, registry: &Registry) {
    let layout = dir.join("layout.tar");
    std::fs::write(&layout, multi.layout.archive(multi.index.clone(), "1")).expect("a file can be written");
    let to = format!("docker://127.0.0.1:{}/team/multi:1", registry.port);
    tool(
        dir,
        &format!("skopeo copy -q --all --preserve-digests --dest-tls-verify=false oci-archive:layout.tar:1 {to}"),
    );
}

#[test]
fn of_an_index_one_platform_is_pulled_shown_and_pushed() {
    let (docker, engine) = docker();
    let (multi, dir) = (multi(), tempfile::tempdir().expect("a temporary directory"));
    let registry = Registry::start(RegistryOptions::default());
    publish(&multi, dir.path(), &registry);
    let address = format!("{}:{}", host(&engine), registry.port);
    allow_plain(&engine, &address);
    let repository = format!("{address}/team/multi");
    let name = format!("{repository}:1");
    let get = |path: &str| request(&engine.socket(), "GET", path, b"").expect("the engine answers").json();

    let told = get(&format!("/v1.50/distribution/{name}/json"));
    assert_eq!(told["Descriptor"]["digest"], multi.index["digest"]);
    let platforms = told["Platforms"].as_array().expect("a list").iter();
    let platforms: Vec<&str> = platforms.filter_map(|platform| platform["architecture"].as_str()).collect();
    assert!(platforms.contains(&NATIVE) && platforms.contains(&OTHER), "{told}");

    docker.run(["pull", &name]).ok();
    let shown = get(&format!("/v1.50/images/{name}/json?manifests=1"));
    assert_eq!((&shown["Id"], &shown["Architecture"]), (&json!(multi.native_id), &json!(NATIVE)));
    let index = multi.index["digest"].as_str().expect("text");
    assert_eq!(shown["RepoDigests"], json!([format!("{repository}@{index}")]), "named by what the name meant");
    let listed = get("/v1.50/images/json?manifests=1");
    let listed = listed.as_array().expect("a list").iter().find(|image| image["Id"] == multi.native_id.as_str());
    for manifests in [&shown["Manifests"], &listed.expect("it is listed")["Manifests"]] {
        assert_eq!(
            manifests.as_array().map(Vec::len),
            Some(1),
            "neither absent platforms nor attestations: {manifests}"
        );
        assert_eq!(manifests[0]["Descriptor"]["digest"], multi.native["digest"]);
        assert_eq!((&manifests[0]["Available"], &manifests[0]["Kind"]), (&json!(true), &json!("image")));
        assert_eq!(manifests[0]["ImageData"]["Platform"]["architecture"], NATIVE);
    }

    // Another platform takes the name over.
    docker.run(["pull", "--platform", &format!("linux/{OTHER}"), &name]).ok();
    assert_eq!(id(&docker, &name), multi.other_id);
    let none = docker.run(["pull", "--platform", "linux/s390x", &name]);
    assert!(none.stderr.contains("no matching manifest for linux/s390x in the manifest list entries"), "{none:?}");
    let wrong = docker.run(["push", "--platform", &format!("linux/{NATIVE}"), &name]);
    assert!(wrong.stderr.contains(&format!("does not match the specified platform (linux/{NATIVE})")), "{wrong:?}");

    // What is pushed is that platform's own manifest, as it came, and not the index.
    docker.run(["rmi", "-f", &multi.native_id, &multi.other_id]).ok();
    docker.run(["pull", &name]).ok();
    docker.run(["tag", &name, &format!("{repository}:2")]).ok();
    let pushed = docker.run(["push", "--platform", &format!("linux/{NATIVE}"), &format!("{repository}:2")]).ok();
    assert!(pushed.contains(multi.native["digest"].as_str().expect("text")), "{pushed}");
    let told = get(&format!("/v1.50/distribution/{repository}:2/json"));
    assert_eq!(told["Descriptor"]["digest"], multi.native["digest"], "{told}");
    docker.run(["rmi", "-f", &multi.native_id]).ok();
}
