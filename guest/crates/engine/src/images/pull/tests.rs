//! Pulls from a registry that cuts connections, lies, and counts: plain HTTP on loopback, in this process.

use std::{
    collections::HashMap,
    io::Write,
    sync::{Arc, Mutex},
};

use cubby_image::{Digest, Platform, Reference};
use cubby_registry::Credentials;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::{events::EventBus, filters::Filters, images::RegistryOptions, state::State};

#[derive(Clone, Default)]
struct Content {
    media_type: &'static str,
    bytes: Vec<u8>,
    /// How often the connection is cut half way, and whether ranges are understood.
    cuts: usize,
    resumes: bool,
    /// Nothing comes after the first half, and the connection stays.
    stalls: bool,
}

#[derive(Default)]
struct Served {
    pages: HashMap<String, Content>,
    /// Path and range of each request.
    asked: Vec<(String, Option<usize>)>,
}

/// A registry; gone when the test's runtime is.
struct Registry {
    port: u16,
    served: Arc<Mutex<Served>>,
}

impl Registry {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = Arc::new(Mutex::new(Served::default()));
        let pages = served.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, pages.clone()));
            }
        });
        let registry = Self { port, served };
        registry.put("/v2/", "text/plain", b"{}");
        registry
    }

    fn put(&self, path: &str, media_type: &'static str, bytes: &[u8]) {
        let content = Content { media_type, bytes: bytes.to_vec(), resumes: true, ..Content::default() };
        self.served.lock().unwrap().pages.insert(path.to_owned(), content);
    }

    fn change(&self, path: &str, change: impl FnOnce(&mut Content)) {
        change(self.served.lock().unwrap().pages.get_mut(path).unwrap());
    }

    fn asked(&self, path: &str) -> Vec<Option<usize>> {
        let served = self.served.lock().unwrap();
        served.asked.iter().filter(|(asked, _)| asked == path).map(|(_, range)| *range).collect()
    }

    fn blob(&self, bytes: &[u8]) -> serde_json::Value {
        self.put(&blob_path(bytes), "application/octet-stream", bytes);
        json!({"digest": Digest::of(bytes), "size": bytes.len()})
    }

    /// Puts an image of these layers under a tag; its manifest.
    fn image(&self, tag: &str, layers: &[Vec<u8>]) -> Vec<u8> {
        let diff_ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
        let config = json!({"architecture": Platform::native().architecture, "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": diff_ids}});
        let mut config = self.blob(config.to_string().as_bytes());
        config["mediaType"] = json!("application/vnd.oci.image.config.v1+json");
        let layers = layers.iter().map(|layer| {
            let mut descriptor = self.blob(&gzip(layer));
            descriptor["mediaType"] = json!("application/vnd.oci.image.layer.v1.tar+gzip");
            descriptor
        });
        let manifest =
            json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers.collect::<Vec<_>>()});
        let manifest = manifest.to_string().into_bytes();
        self.put(&format!("/v2/app/manifests/{tag}"), MANIFEST, &manifest);
        self.put(&format!("/v2/app/manifests/{}", Digest::of(&manifest)), MANIFEST, &manifest);
        manifest
    }

    fn options(&self, name: &str) -> PullOptions {
        let reference = Reference::parse(&format!("127.0.0.1:{}/{name}", self.port)).unwrap();
        PullOptions { reference, platform: None, credentials: Credentials::Anonymous }
    }
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

async fn answer(mut stream: TcpStream, served: Arc<Mutex<Served>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            // A TLS greeting: this registry speaks plain HTTP only.
            Ok(0x16) if head.is_empty() => return,
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let range = head.split("range: bytes=").nth(1).and_then(|rest| rest.split('-').next()?.parse().ok());
    let (content, cut) = {
        let mut served = served.lock().unwrap();
        served.asked.push((path.clone(), range));
        let content = served.pages.get_mut(&path);
        let cut = content.as_ref().is_some_and(|content| content.cuts > 0);
        (
            content.map(|content| {
                content.cuts = content.cuts.saturating_sub(1);
                content.clone()
            }),
            cut,
        )
    };
    let Some(content) = content else {
        let body = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
        let head =
            format!("HTTP/1.1 404 Not Found\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
        return drop(stream.write_all(head.as_bytes()).await);
    };
    let from = range.filter(|_| content.resumes).unwrap_or(0);
    let body = &content.bytes[from..];
    let status = if from > 0 { "206 Partial Content" } else { "200 OK" };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        content.media_type,
        body.len()
    );
    let sent = if cut || content.stalls { &body[..body.len() / 2] } else { body };
    drop(stream.write_all(&[head.as_bytes(), sent].concat()).await);
    if content.stalls {
        std::future::pending().await
    }
}

fn blob_path(bytes: &[u8]) -> String {
    format!("/v2/app/blobs/{}", Digest::of(bytes))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn layer(seed: u32) -> Vec<u8> {
    // Not compressible, so that half of a blob is something.
    let content: Vec<u8> = (0..100_000_u32).map(|n| ((n ^ seed).wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, format!("file-{seed}"), content.as_slice()).unwrap();
    tar.into_inner().unwrap()
}

struct Bench {
    dir: tempfile::TempDir,
    images: Arc<Images>,
}

impl Bench {
    fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: needs root");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let state = Arc::new(State::open(&dir.path().join("state.db")).unwrap());
        let images = Images::open(dir.path(), state, Arc::new(EventBus::default())).unwrap();
        Some(Self { dir, images })
    }

    /// Pulls; everything that was said, or the error's text.
    async fn pull(&self, options: PullOptions) -> Result<Vec<Message>, String> {
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = said.clone();
        let resolved = self.images.resolve(&options).await.map_err(|error| error.message().to_owned())?;
        let pulled = self.images.pull(resolved, Arc::new(move |message| heard.lock().unwrap().push(message))).await;
        pulled.map_err(|error| error.message().to_owned())?;
        let said = said.lock().unwrap().clone();
        Ok(said)
    }

    /// Waits until nothing is left: a fetch that was cancelled ends when its unpacker notices.
    fn becomes_pristine(&self) -> bool {
        self.becomes_pristine_with(|| {})
    }

    fn becomes_pristine_with(&self, help: impl Fn()) -> bool {
        let count = |path: &str| std::fs::read_dir(self.dir.path().join(path)).unwrap().count();
        let start = std::time::Instant::now();
        while start.elapsed().as_secs() < 20 {
            help();
            // Staging, trash and the empty directory.
            if count("layers") == 3 && count("layers/.staging") == 0 && self.images.count() == 0 {
                return true;
            }
            std::thread::yield_now();
        }
        false
    }
}

fn statuses(said: &[Message], id: &str) -> Vec<String> {
    let of = said.iter().filter(|message| message.id.as_deref() == Some(id) && message.progress.is_none());
    of.filter_map(|message| message.status.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_is_told_as_dockerd_tells_it_and_a_second_one_fetches_nothing() {
    let Some(bench) = Bench::new() else { return };
    let registry = Registry::start().await;
    let manifest = registry.image("1", &[layer(1), layer(2), layer(1)]);
    let said = bench.pull(registry.options("app:1")).await.unwrap();
    assert_eq!(statuses(&said, "1"), ["Pulling from app"]);
    let second = &Digest::of(&gzip(&layer(2))).hex()[..12];
    assert_eq!(statuses(&said, second), ["Pulling fs layer", "Download complete", "Pull complete"]);
    let last: Vec<String> = said.iter().rev().take(2).filter_map(|message| message.status.clone()).collect();
    let name = format!("127.0.0.1:{}/app", registry.port);
    assert_eq!(
        last,
        [format!("Status: Downloaded newer image for {name}:1"), format!("Digest: {}", Digest::of(&manifest))]
    );
    let image = bench.images.find(&format!("{name}:1")).unwrap();
    assert_eq!(image.repo_digests, [format!("{name}@{}", Digest::of(&manifest))]);
    assert_eq!(registry.asked(&blob_path(&gzip(&layer(1)))).len(), 1, "a layer that is there twice comes once");

    let said = bench.pull(registry.options("app:1")).await.unwrap();
    assert_eq!(statuses(&said, second), ["Already exists"]);
    assert_eq!(said.last().unwrap().status, Some(format!("Status: Image is up to date for {name}:1")));
    assert_eq!(registry.asked(&blob_path(&gzip(&layer(2)))).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_download_is_taken_up_where_it_broke() {
    let Some(bench) = Bench::new() else { return };
    let registry = Registry::start().await;
    registry.image("1", &[layer(1)]);
    let blob = gzip(&layer(1));
    registry.change(&blob_path(&blob), |content| content.cuts = 2);
    bench.pull(registry.options("app:1")).await.unwrap();
    let half = blob.len() / 2;
    let asked = registry.asked(&blob_path(&blob));
    assert_eq!(asked, [None, Some(half), Some(half + (blob.len() - half) / 2)]);
}

/// A registry and a mirror before it that have the same image of one layer; its blob.
async fn mirrored(bench: &Bench) -> (Registry, Registry, Vec<u8>) {
    let (mirror, registry) = (Registry::start().await, Registry::start().await);
    for server in [&mirror, &registry] {
        server.image("1", &[layer(1)]);
    }
    let mirrors = vec!["http://127.0.0.1:1".to_owned(), format!("http://127.0.0.1:{}", mirror.port)];
    let mirrors_of = [(format!("127.0.0.1:{}", registry.port), mirrors)].into();
    bench.images.store_registries(RegistryOptions { mirrors_of, ..RegistryOptions::default() }).unwrap();
    (mirror, registry, gzip(&layer(1)))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_mirror_breaks_off_goes_on_at_its_registry_where_it_broke() {
    let Some(bench) = Bench::new() else { return };
    let (mirror, registry, blob) = mirrored(&bench).await;
    mirror.change(&blob_path(&blob), |content| content.cuts = usize::MAX);
    bench.pull(registry.options("app:1")).await.unwrap();
    let (half, path) = (blob.len() / 2, blob_path(&blob));
    assert_eq!(mirror.asked(&path), [None, Some(half)]);
    assert_eq!(registry.asked(&path), [Some(half + (blob.len() - half) / 2)]);
    assert!(registry.asked("/v2/app/manifests/1").is_empty(), "the mirror had told what the name means");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirrors_false_bytes_are_asked_again_of_its_registry() {
    let (half, whole) = (Some(0), None);
    for (cuts, asked) in [(0, vec![whole]), (usize::MAX, vec![half, whole])] {
        let Some(bench) = Bench::new() else { return };
        let (mirror, registry, blob) = mirrored(&bench).await;
        let path = blob_path(&blob);
        mirror.change(&path, |content| {
            content.cuts = cuts;
            content.bytes[blob.len() / 4] ^= 1;
        });
        bench.pull(registry.options("app:1")).await.unwrap();
        let found: Vec<_> = registry.asked(&path).into_iter().map(|range| range.map(|_| 0)).collect();
        assert_eq!(found, asked, "cut {cuts} times");
        assert_eq!(bench.images.count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_cannot_resume_starts_over() {
    let Some(bench) = Bench::new() else { return };
    let registry = Registry::start().await;
    registry.image("1", &[layer(1)]);
    registry.change(&blob_path(&gzip(&layer(1))), |content| (content.cuts, content.resumes) = (1, false));
    bench.pull(registry.options("app:1")).await.unwrap();
    assert_eq!(bench.images.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_do_not_match_their_digest_are_refused_and_nothing_is_kept() {
    let registry = Registry::start().await;
    let manifest = registry.image("1", &[layer(1), layer(2)]);
    let (blob, other) = (gzip(&layer(1)), gzip(&layer(3)));
    let blob_digest = Digest::of(&blob);
    let manifest_path = format!("/v2/app/manifests/{}", Digest::of(&manifest));
    let by_digest = format!("app@{}", Digest::of(&manifest));
    let whole = other[..other.len().min(blob.len())].to_vec();
    for (path, bytes, name, expected) in [
        (
            blob_path(&blob),
            other.clone(),
            "app:1",
            format!("larger than its manifest says|verification failed for digest {blob_digest}|unexpected end"),
        ),
        (blob_path(&blob), whole, "app:1", "corrupt|truncated|verification failed|unexpected end".to_owned()),
        (
            blob_path(&blob),
            b"not a tar, not compressed".repeat(9000)[..blob.len()].to_vec(),
            "app:1",
            "not a tar header|verification failed for digest".to_owned(),
        ),
        (manifest_path, b"{}".to_vec(), by_digest.as_str(), "manifest verification failed for digest".to_owned()),
    ] {
        let Some(bench) = Bench::new() else { return };
        let kept = registry.served.lock().unwrap().pages[&path].bytes.clone();
        registry.change(&path, |content| content.bytes = bytes);
        let error = bench.pull(registry.options(name)).await.unwrap_err();
        assert!(expected.split('|').any(|text| error.contains(text)), "{path}: {error}");
        assert!(bench.becomes_pristine(), "{path} left something");
        registry.change(&path, |content| content.bytes = kept);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_platforms_image_of_an_index_is_pulled() {
    let Some(bench) = Bench::new() else { return };
    let registry = Registry::start().await;
    let manifest = registry.image("native", &[layer(1)]);
    let native = Platform::native();
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
        {"mediaType": MANIFEST, "digest": Digest::of(b"x"), "size": 1, "platform": {"os": "linux", "architecture": "riscv64"}},
        {"mediaType": MANIFEST, "digest": Digest::of(&manifest), "size": manifest.len(),
            "platform": {"os": "linux", "architecture": native.architecture}}]});
    registry.put("/v2/app/manifests/multi", INDEX, index.to_string().as_bytes());
    bench.pull(registry.options("app:multi")).await.unwrap();
    let name = format!("127.0.0.1:{}/app", registry.port);
    let image = bench.images.find(&format!("{name}:multi")).unwrap();
    assert_eq!(image.repo_digests, [format!("{name}@{}", Digest::of(index.to_string().as_bytes()))]);
    let options = PullOptions { platform: Platform::parse("linux/s390x").ok(), ..registry.options("app:multi") };
    let error = bench.pull(options).await.unwrap_err();
    assert_eq!(error, "no matching manifest for linux/s390x in the manifest list entries");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_tag_is_not_found_in_dockerds_words() {
    let Some(bench) = Bench::new() else { return };
    let registry = Registry::start().await;
    let error = bench.pull(registry.options("app:nope")).await.unwrap_err();
    let name = format!("127.0.0.1:{}/app:nope", registry.port);
    assert_eq!(error, format!("manifest for {name} not found: manifest unknown: manifest unknown"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_that_is_dropped_in_the_middle_leaves_nothing_and_can_be_had_again() {
    let Some(bench) = Bench::new() else { return };
    let registry = Registry::start().await;
    registry.image("1", &[layer(1), layer(2)]);
    let path = blob_path(&gzip(&layer(2)));
    registry.change(&path, |content| content.stalls = true);
    let resolved = bench.images.resolve(&registry.options("app:1")).await.unwrap();
    let images = bench.images.clone();
    let pull = tokio::spawn(async move { images.pull(resolved, Arc::new(|_| {})).await });
    let layers = || std::fs::read_dir(bench.dir.path().join("layers")).unwrap().count();
    // The first layer is in its place, the second one on its way.
    while registry.asked(&path).is_empty() || layers() < 4 {
        tokio::task::yield_now().await;
    }
    pull.abort();
    assert!(pull.await.unwrap_err().is_cancelled());
    // Why with a prune: what came whole stays for the next attempt.
    assert!(bench.becomes_pristine_with(|| drop(bench.images.prune(&Filters::default()).unwrap())));
    registry.change(&path, |content| content.stalls = false);
    bench.pull(registry.options("app:1")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_layers_are_refused() {
    let Some(bench) = Bench::new() else { return };
    let registry = Registry::start().await;
    let manifest = registry.image("1", &[layer(1)]);
    let mut manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    manifest["layers"][0]["urls"] = json!(["https://elsewhere.example/layer"]);
    registry.put("/v2/app/manifests/foreign", MANIFEST, manifest.to_string().as_bytes());
    let error = bench.pull(registry.options("app:foreign")).await.unwrap_err();
    assert_eq!(error, "unsupported image: it has foreign layers, which its registry does not hold");
    assert!(registry.asked(&blob_path(&gzip(&layer(1)))).is_empty() && bench.becomes_pristine());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_pulls_of_one_layer_download_it_once() {
    let Some(bench) = Bench::new() else { return };
    let registry = Registry::start().await;
    registry.image("1", &[layer(1), layer(2)]);
    registry.image("2", &[layer(2), layer(1), layer(3)]);
    let (one, two) = tokio::join!(bench.pull(registry.options("app:1")), bench.pull(registry.options("app:2")));
    one.unwrap();
    two.unwrap();
    for n in [1, 2] {
        assert_eq!(registry.asked(&blob_path(&gzip(&layer(n)))).len(), 1, "layer {n}");
    }
    assert_eq!(bench.images.count(), 2);
}
