//! Images: load, list, inspect, tag, remove, save; archives that must be refused.

use cubby_harness::{IMAGE, busybox_archive, busybox_archive_as};

use crate::docker;

#[test]
fn a_loaded_image_is_listed_inspected_tagged_and_untagged() {
    let (docker, _engine) = docker();
    let loaded = docker.run_with_input(["load"], &busybox_archive()).ok();
    assert_eq!(loaded, format!("Loaded image: {IMAGE}"));
    let listed = docker.run(["images", "--format", "{{.Repository}}:{{.Tag}}"]).ok();
    assert!(listed.lines().any(|line| line == IMAGE), "{listed}");
    let inspected = docker.run(["image", "inspect", "-f", "{{.Os}} {{.Architecture}} {{.Config.Cmd}}", IMAGE]).ok();
    assert_eq!(inspected, "linux amd64 [sh]");
    docker.run(["tag", IMAGE, "cubby-test/other:1"]).ok();
    assert_eq!(docker.run(["rmi", "cubby-test/other:1"]).ok(), "Untagged: cubby-test/other:1");
    docker.run(["run", "--rm", IMAGE, "true"]).ok();
}

#[test]
fn an_image_in_use_is_not_removed() {
    let (docker, _engine) = docker();
    docker.run(["tag", IMAGE, "cubby-test/used:1"]).ok();
    docker.run(["create", "--name", "image-user", "cubby-test/used:1", "true"]).ok();
    let id = docker.run(["image", "inspect", "-f", "{{.Id}}", IMAGE]).ok();
    let refused = docker.run(["rmi", &id]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("conflict: unable to delete"), "{refused:?}");
    docker.run(["rm", "image-user"]).ok();
    docker.run(["rmi", "cubby-test/used:1"]).ok();
}

#[test]
fn a_saved_image_loads_again_as_the_same() {
    let (docker, _engine) = docker();
    let id = docker.run(["image", "inspect", "-f", "{{.Id}}", IMAGE]).ok();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let archive = dir.path().join("saved.tar");
    docker.run(["save", "-o", archive.to_str().expect("a plain path"), IMAGE]).ok();
    let loaded = docker.run(["load", "-i", archive.to_str().expect("a plain path")]).ok();
    assert_eq!(loaded, format!("Loaded image: {IMAGE}"));
    assert_eq!(docker.run(["image", "inspect", "-f", "{{.Id}}", IMAGE]).ok(), id);
}

#[test]
fn a_truncated_archive_is_refused_and_nothing_is_kept() {
    let (docker, _engine) = docker();
    // Why an image of its own: other cases bring and remove images meanwhile.
    let name = "cubby-test/truncated:1";
    let archive = busybox_archive_as(name);
    let output = docker.run_with_input(["load"], &archive[..archive.len() / 2]);
    assert_ne!(output.code, 0, "{output:?}");
    let nonsense = docker.run_with_input(["load"], b"this is no archive");
    assert_ne!(nonsense.code, 0, "{nonsense:?}");
    assert_eq!(docker.run(["images", "-aq", "--filter", "label=cubby.test.name"]).ok(), "");
    assert_ne!(docker.run(["image", "inspect", name]).code, 0);
}
