//! Images that other tools make (skopeo, umoci, buildah) load, run, and save again as the same.

use std::{path::Path, process::Command};

use cubby_harness::{IMAGE, busybox_archive};
use serde_json::Value;

use crate::docker;

/// Runs a tool to its end; its standard output.
pub fn tool(dir: &Path, command: &str) -> String {
    let mut words = command.split_whitespace();
    let output = Command::new(words.next().expect("a program"))
        .current_dir(dir)
        .args(words)
        .output()
        .unwrap_or_else(|error| panic!("{command}: {error}: scripts/test installs it"));
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

/// The config's digest, which is the image's id, as skopeo sees it.
fn config_digest(dir: &Path, source: &str) -> String {
    let manifest: Value = serde_json::from_str(&tool(dir, &format!("skopeo inspect --raw {source}"))).expect("JSON");
    manifest["config"]["digest"].as_str().expect("a digest").to_owned()
}

#[test]
fn every_format_and_compression_is_the_same_image() {
    let (docker, _engine) = docker();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let dir = dir.path();
    std::fs::write(dir.join("base.tar"), busybox_archive()).expect("a file can be written");
    // Why from one layout: a conversion may write the config anew, and only equal configs are one image.
    tool(dir, "skopeo copy -q docker-archive:base.tar oci:layout:foreign/base:1");
    let id = config_digest(dir, "oci:layout:foreign/base:1");
    for (name, options) in [
        ("gzip.tar", "--dest-compress-format gzip"),
        ("zstd.tar", "--dest-compress-format zstd"),
        ("plain.tar", "--dest-oci-accept-uncompressed-layers --dest-decompress"),
    ] {
        let copied = format!("skopeo copy -q {options} oci:layout:foreign/base:1 oci-archive:{name}:foreign/{name}:1");
        tool(dir, &copied);
        let loaded = docker.run(["load", "-i", text(&dir.join(name))]).ok();
        assert!(loaded.contains(&format!("foreign/{name}:1")), "{loaded}");
        assert_eq!(docker.run(["image", "inspect", "-f", "{{.Id}}", &format!("foreign/{name}:1")]).ok(), id, "{name}");
        assert_eq!(docker.run(["run", "--rm", &format!("foreign/{name}:1"), "echo", "runs"]).ok(), "runs");
        docker.run(["save", "-o", text(&dir.join("saved.tar")), &format!("foreign/{name}:1")]).ok();
        let saved = config_digest(dir, &format!("docker-archive:saved.tar:foreign/{name}:1"));
        assert_eq!(saved, id, "{name}");
        docker.run(["rmi", &format!("foreign/{name}:1")]).ok();
    }
    let archive = "skopeo copy -q oci:layout:foreign/base:1 docker-archive:docker.tar:foreign/docker:1";
    tool(dir, archive);
    docker.run(["load", "-i", text(&dir.join("docker.tar"))]).ok();
    assert_eq!(docker.run(["run", "--rm", "foreign/docker:1", "echo", "runs"]).ok(), "runs");
    docker.run(["rmi", "foreign/docker:1"]).ok();
}

#[test]
fn what_umoci_and_buildah_make_loads_and_runs() {
    let (docker, _engine) = docker();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let dir = dir.path();
    std::fs::write(dir.join("base.tar"), busybox_archive()).expect("a file can be written");
    tool(dir, "skopeo copy -q docker-archive:base.tar oci:layout:base");
    std::fs::write(dir.join("greeting"), "by umoci\n").expect("a file can be written");
    tool(dir, "umoci insert --image layout:base --tag greeted greeting /etc/greeting");
    tool(dir, "umoci config --image layout:greeted --config.cmd cat --config.cmd /etc/greeting");
    tool(dir, "skopeo copy -q oci:layout:greeted oci-archive:umoci.tar:foreign/umoci:1");
    docker.run(["load", "-i", text(&dir.join("umoci.tar"))]).ok();
    assert_eq!(docker.run(["run", "--rm", "foreign/umoci:1"]).ok(), "by umoci");

    let buildah = format!("buildah --storage-driver vfs --root {0}/root --runroot {0}/run", text(dir));
    let container = tool(dir, &format!("{buildah} from scratch"));
    let container = container.trim();
    tool(dir, "tar -xf base.tar layer.tar");
    tool(dir, &format!("{buildah} add -q {container} layer.tar /"));
    std::fs::write(dir.join("greeting"), "by buildah\n").expect("a file can be written");
    tool(dir, &format!("{buildah} copy -q {container} greeting /etc/greeting"));
    tool(dir, &format!("{buildah} config --entrypoint [\"cat\",\"/etc/greeting\"] {container}"));
    tool(dir, &format!("{buildah} commit -q {container} docker-archive:buildah.tar:foreign/buildah:1"));
    docker.run(["load", "-i", text(&dir.join("buildah.tar"))]).ok();
    assert_eq!(docker.run(["run", "--rm", "foreign/buildah:1"]).ok(), "by buildah");
    let _ = tool(dir, &format!("{buildah} rm {container}"));
    assert!(docker.run(["image", "inspect", IMAGE]).code == 0, "the base is another image and stays");
    docker.run(["rmi", "foreign/umoci:1", "foreign/buildah:1"]).ok();
}
