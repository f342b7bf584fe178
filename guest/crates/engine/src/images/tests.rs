//! The rules of images against a real store: needs root to unpack layers, and says so otherwise.

use std::sync::{Arc, Mutex};

use cubby_image::Digest;
use serde_json::json;

use super::*;
use crate::{error::ErrorKind, filters::Filters};

/// Containers that say they use an image.
#[derive(Default)]
struct Users(Mutex<Vec<(Digest, ImageUse)>>);

impl Users {
    fn add(&self, image: Digest, id: &str, running: bool) {
        self.0.lock().unwrap().push((image, ImageUse { container_id: id.to_owned(), running }));
    }
}

impl ImageUsers for Users {
    fn using(&self, image_id: &Digest) -> Vec<ImageUse> {
        let uses = self.0.lock().unwrap();
        uses.iter().filter(|(image, _)| image == image_id).map(|(_, user)| user.clone()).collect()
    }
}

struct Bench {
    dir: tempfile::TempDir,
    images: Arc<Images>,
    users: Arc<Users>,
    events: Arc<EventBus>,
}

impl Bench {
    fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: needs root");
            return None;
        }
        Some(Self::open(tempfile::tempdir().unwrap(), Arc::default()))
    }

    fn open(dir: tempfile::TempDir, users: Arc<Users>) -> Self {
        let state = Arc::new(State::open(&dir.path().join("state.db")).unwrap());
        let events = Arc::new(EventBus::default());
        let images = Images::open(dir.path(), state, events.clone()).unwrap();
        let weak = Arc::downgrade(&users);
        images.set_users(weak);
        Self { dir, images, users, events }
    }

    /// Closes and opens again, as after a crash.
    fn reopened(self) -> Self {
        let Self { dir, images, users, .. } = self;
        drop(images);
        Self::open(dir, users)
    }

    /// Loads an image of one layer for each of `layers`; equal texts make equal layers.
    fn load(&self, names: &[&str], layers: &[&str]) -> Digest {
        let said = Mutex::new(Vec::new());
        self.images
            .load(archive(names, layers).as_slice(), &LoadOptions { quiet: true, platform: None }, &|message| {
                said.lock().unwrap().push(message.stream.unwrap());
            })
            .unwrap();
        let said = said.into_inner().unwrap();
        assert!(names.iter().all(|name| said.contains(&format!("Loaded image: {name}\n"))), "{said:?}");
        let text = said.last().unwrap();
        let name = text.rsplit(": ").next().unwrap().trim();
        self.images.find(name).unwrap().id
    }

    fn layers_on_disk(&self) -> usize {
        let names = std::fs::read_dir(self.dir.path().join("layers")).unwrap();
        names.filter(|item| item.as_ref().unwrap().file_name().len() == 64).count()
    }

    fn actions(&self) -> Vec<String> {
        self.events.subscribe().0.into_iter().map(|event| event.action).collect()
    }

    fn remove(&self, name: &str, force: bool) -> Result<Vec<Removed>> {
        self.images.remove(name, RemoveOptions { force, keep_parents: false })
    }

    fn refused(&self, name: &str, force: bool) -> String {
        let error = self.remove(name, force).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        error.message().to_owned()
    }
}

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, *content).unwrap();
    }
    tar.into_inner().unwrap()
}

pub(super) fn archive(names: &[&str], layers: &[&str]) -> Vec<u8> {
    let layers: Vec<Vec<u8>> = layers.iter().map(|text| tar(&[("file", text.as_bytes())])).collect();
    let diff_ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
    let config = json!({"architecture": "amd64", "os": "linux", "created": "2020-01-01T00:00:00Z",
        "config": {"Labels": {"names": names.join(",")}}, "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [{"created_by": "step"}]});
    let paths: Vec<String> = (0..layers.len()).map(|n| format!("{n}.tar")).collect();
    let manifest = json!([{"Config": "c.json", "RepoTags": names, "Layers": paths}]);
    let (config, manifest) = (config.to_string(), manifest.to_string());
    let mut files: Vec<(&str, &[u8])> =
        paths.iter().map(String::as_str).zip(layers.iter().map(Vec::as_slice)).collect();
    files.extend([("c.json", config.as_bytes()), ("manifest.json", manifest.as_bytes())]);
    tar(&files)
}

#[test]
fn images_are_found_by_name_id_and_beginning_and_survive_reopening() {
    let Some(bench) = Bench::new() else { return };
    let id = bench.load(&["busy:1"], &["a"]);
    let bench = bench.reopened();
    let hex = id.hex();
    for name in ["busy:1", "docker.io/library/busy:1", &hex, &hex[..12], &id.to_string(), &id.to_string()[..15]] {
        assert_eq!(bench.images.find(name).unwrap().id, id, "{name}");
    }
    for (name, message) in [
        ("busy", "No such image: busy:latest"),
        ("host.example/x", "No such image: host.example/x:latest"),
        (&"0".repeat(64), &format!("No such image: sha256:{}", "0".repeat(64))),
    ] {
        let error = bench.images.find(name).unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::NotFound, message));
    }
    let error = bench.images.find("Busy").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidParameter);
}

#[test]
fn a_layer_twice_in_a_stack_is_a_lower_directory_once() {
    let Some(bench) = Bench::new() else { return };
    let id = bench.load(&["twice:1"], &["a", "b", "a"]);
    let image = bench.images.find("twice:1").unwrap();
    assert_eq!((image.id, image.layers.len(), image.lower_dirs.len()), (id, 3, 2));
    assert_eq!(std::fs::read(image.lower_dirs[0].join("file")).unwrap(), b"a");
    let empty = bench.load(&["empty:1"], &[]);
    assert_eq!(bench.images.retained(&empty).unwrap().lower_dirs.len(), 1);
}

#[test]
fn names_move_and_the_old_image_dangles() {
    let Some(bench) = Bench::new() else { return };
    let old = bench.load(&["busy:1"], &["a"]);
    let new = bench.load(&["busy:1"], &["b"]);
    assert_eq!(bench.images.find("busy:1").unwrap().id, new);
    assert!(bench.images.retained(&old).unwrap().is_dangling());
    bench.images.tag(&old.hex(), "other/busy", "").unwrap();
    assert_eq!(bench.images.find("other/busy:latest").unwrap().id, old);
    for (repository, tag) in [("Upper", ""), ("a b", ""), ("a", ":"), ("", "x"), (&format!("a@{old}"), "")] {
        let error = bench.images.tag("busy:1", repository, tag).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidParameter, "{repository}:{tag}");
    }
    assert_eq!(bench.actions(), ["load", "load", "tag"]);
}

#[test]
fn removing_names_keeps_the_image_until_the_last_one_goes() {
    let Some(bench) = Bench::new() else { return };
    let id = bench.load(&["busy:1", "busy:2"], &["a", "b"]);
    bench.load(&["other:1"], &["a"]);
    let untagged = |name: &str| Removed::Untagged(name.to_owned());
    assert_eq!(bench.remove("busy:1", false).unwrap(), [untagged("busy:1")]);
    let removed = bench.remove("busy:2", false).unwrap();
    assert_eq!(removed[..2], [untagged("busy:2"), Removed::Deleted(id.to_string())]);
    assert_eq!(removed.len(), 3, "the shared layer stays: {removed:?}");
    assert_eq!(bench.layers_on_disk(), 1);
    assert_eq!(bench.actions(), ["load", "load", "untag", "untag", "delete"]);
    let bench = bench.reopened();
    assert_eq!(bench.images.count(), 1);
    assert!(bench.images.find("busy:2").is_err());
}

#[test]
fn an_image_with_names_in_several_repositories_needs_force_by_id() {
    let Some(bench) = Bench::new() else { return };
    let id = bench.load(&["a:1", "b:1"], &["x"]);
    let short = id.hex()[..12].to_owned();
    assert_eq!(
        bench.refused(&short, false),
        format!("conflict: unable to delete {short} (must be forced) - image is referenced in multiple repositories")
    );
    assert_eq!(bench.remove(&short, true).unwrap().len(), 4);
    assert_eq!((bench.images.count(), bench.layers_on_disk()), (0, 0));
}

#[test]
fn containers_keep_their_image() {
    let Some(bench) = Bench::new() else { return };
    let id = bench.load(&["a:1"], &["x"]);
    let short = id.hex()[..12].to_owned();
    bench.users.add(id, "0123456789abcdef", true);
    assert_eq!(
        bench.refused("a:1", false),
        format!(
            "conflict: unable to remove repository reference \"a:1\" (must force) - container 0123456789ab is using its \
             referenced image {short}"
        )
    );
    let hard = format!(
        "conflict: unable to delete {short} (cannot be forced) - image is being used by running container 0123456789ab"
    );
    assert_eq!(bench.refused(&short, false), hard);
    assert_eq!(bench.refused(&short, true), hard);
    assert_eq!(bench.images.prune(&Filters::parse(r#"{"dangling":["false"]}"#).unwrap()).unwrap().removed, []);
    // By name and with force only the name goes.
    assert_eq!(bench.remove("a:1", true).unwrap(), [Removed::Untagged("a:1".into())]);
    assert!(bench.images.find(&short).unwrap().is_dangling());
}

#[test]
fn an_image_forced_away_under_a_stopped_container_keeps_its_layers_until_the_container_goes() {
    let Some(bench) = Bench::new() else { return };
    let id = bench.load(&["a:1"], &["x"]);
    let short = id.hex()[..12].to_owned();
    bench.users.add(id, "0123456789abcdef", false);
    assert_eq!(
        bench.refused(&short, false),
        format!(
            "conflict: unable to delete {short} (must be forced) - image is being used by stopped container 0123456789ab"
        )
    );
    bench.remove(&short, true).unwrap();
    let bench = bench.reopened();
    assert!(bench.images.find(&short).is_err());
    assert_eq!((bench.images.count(), bench.layers_on_disk()), (0, 1));
    let image = bench.images.retained(&id).unwrap();
    assert!(image.lower_dirs[0].join("file").exists());
    bench.users.0.lock().unwrap().clear();
    bench.images.release_hidden();
    assert!(bench.images.retained(&id).is_none());
    assert_eq!(bench.layers_on_disk(), 0);
}

#[test]
fn lists_are_filtered_and_prune_takes_what_dangles() {
    let Some(bench) = Bench::new() else { return };
    bench.load(&["busy:1"], &["old"]);
    bench.load(&["busy:1", "other:2"], &["new", "old"]);
    let list = |filters: &str| {
        let listed = bench.images.list(&Filters::parse(filters).unwrap(), false).unwrap();
        listed
            .into_iter()
            .flat_map(|l| if l.repo_tags.is_empty() { vec!["<none>".into()] } else { l.repo_tags })
            .collect::<Vec<String>>()
    };
    assert_eq!(list(r#"{"dangling":["true"]}"#), ["<none>"]);
    assert_eq!(list(r#"{"dangling":["false"]}"#), ["busy:1", "other:2"]);
    assert_eq!(list(r#"{"reference":["bus*"]}"#), ["busy:1"]);
    assert_eq!(list(r#"{"label":["names=busy:1,other:2"]}"#), ["busy:1", "other:2"]);
    assert_eq!(list(r#"{"since":["busy:1"]}"#), Vec::<String>::new());
    assert!(bench.images.list(&Filters::parse(r#"{"bogus":["1"]}"#).unwrap(), false).is_err());
    let usage = bench.images.usage();
    assert!(usage.iter().all(|usage| usage.shared_bytes == 3), "the layer of three bytes is shared");
    assert_eq!(bench.images.disk_bytes(), 6);
    let pruned = bench.images.prune(&Filters::default()).unwrap();
    assert_eq!((pruned.removed.len(), pruned.reclaimed_bytes), (1, 0));
    let pruned = bench.images.prune(&Filters::parse(r#"{"dangling":["0"]}"#).unwrap()).unwrap();
    assert_eq!((pruned.reclaimed_bytes, bench.layers_on_disk()), (6, 0));
}

#[test]
fn a_broken_archive_is_the_clients_fault_and_leaves_nothing() {
    let Some(bench) = Bench::new() else { return };
    let whole = archive(&["a:1"], &["x"]);
    let error = bench.images.load(&whole[..whole.len() / 2], &LoadOptions::default(), &|_| {}).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidParameter);
    assert!(error.message().starts_with("invalid archive"), "{error}");
    assert_eq!((bench.images.count(), bench.layers_on_disk()), (0, 0));
}

#[test]
fn layers_without_a_record_are_removed_at_the_start() {
    let Some(bench) = Bench::new() else { return };
    bench.load(&["a:1"], &["x"]);
    std::fs::create_dir_all(bench.dir.path().join("layers").join("0".repeat(64)).join("diff")).unwrap();
    assert_eq!(bench.reopened().layers_on_disk(), 1);
}

#[test]
fn a_save_names_what_was_asked_for() {
    let Some(bench) = Bench::new() else { return };
    let id = bench.load(&["a:1", "a:2", "b:1"], &["x"]);
    for (asked, expected) in [("a", vec!["a:1", "a:2"]), ("b:1", vec!["b:1"]), (&id.hex()[..12], vec![])] {
        let save = bench.images.prepare_save(&[asked.to_owned()], None).unwrap();
        let mut bytes = Vec::new();
        bench.images.save(&save, &mut bytes).unwrap();
        let other = Bench::new().unwrap();
        other.images.load(bytes.as_slice(), &LoadOptions::default(), &|_| {}).unwrap();
        assert_eq!(other.images.retained(&id).unwrap().repo_tags, expected, "{asked}");
    }
    assert!(bench.images.prepare_save(&["a".into(), "nothere".into()], None).is_err());
}
