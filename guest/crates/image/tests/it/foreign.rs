//! Images made by independent tools load with the digests that those tools give them.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use cubby_image::{Digest, Reference, archive};

use super::store;

fn has(tool: &str) -> bool {
    Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}

fn run(dir: &Path, command: &str) {
    let output = Command::new("sh").args(["-ec", command]).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An OCI layout `oci:v1` of two layers, made by umoci, with a removed file and a replaced directory in the second.
fn layout(dir: &Path) {
    run(
        dir,
        "umoci init --layout oci; umoci new --image oci:v1
         umoci unpack --image oci:v1 b; mkdir -p b/rootfs/etc b/rootfs/old; echo one > b/rootfs/etc/one
         echo gone > b/rootfs/etc/gone; echo x > b/rootfs/old/x; ln b/rootfs/etc/one b/rootfs/hard
         head -c 3000000 /dev/urandom > b/rootfs/big; chown 12345:70000 b/rootfs/big
         umoci repack --refresh-bundle --image oci:v1 b
         rm b/rootfs/etc/gone; rm -r b/rootfs/old; mkdir b/rootfs/old; echo y > b/rootfs/old/y
         umoci repack --image oci:v1 b; umoci config --image oci:v1 --config.cmd /one --architecture amd64",
    );
}

fn config_digest(dir: &Path, image: &str) -> Digest {
    let raw = Command::new("skopeo").args(["inspect", "--config", "--raw", image]).current_dir(dir).output().unwrap();
    assert!(raw.status.success(), "{}", String::from_utf8_lossy(&raw.stderr));
    Digest::of(&raw.stdout)
}

#[test]
fn skopeo_archives_of_an_umoci_image_in_all_formats_and_compressions() {
    if !has("umoci") || !has("skopeo") {
        return eprintln!("skipped: needs umoci and skopeo");
    }
    let Some((dir, _)) = store() else { return };
    layout(dir.path());
    for (copy, file) in [
        ("docker-archive:d.tar:busy:1", "d.tar"),
        ("oci-archive:o.tar:busy:1", "o.tar"),
        ("--dest-compress-format zstd oci-archive:z.tar:busy:1", "z.tar"),
        ("--dest-decompress dir:plain && skopeo copy -q dir:plain oci-archive:p.tar:busy:1", "p.tar"),
    ] {
        run(dir.path(), &format!("skopeo copy -q oci:oci:v1 {copy}"));
        let archive = std::fs::File::open(dir.path().join(file)).unwrap();
        let Some((_data, store)) = super::store() else { return };
        let loaded = archive::load(archive, &store, &(), None, &|_| {}).unwrap();
        let kind = if file == "d.tar" { "docker-archive" } else { "oci-archive" };
        assert_eq!(loaded.images[0].id, config_digest(dir.path(), &format!("{kind}:{file}")), "{file}");
        let names: Vec<String> = loaded.images[0].names.iter().map(Reference::familiar).collect();
        assert_eq!(names, ["busy:1"], "{file}");
        look(&store, &loaded);
    }
}

/// The two layers, seen as one tree.
fn look(store: &cubby_image::Store, loaded: &archive::Loaded) {
    use cubby_image::snapshot::{Access, mount_detached};
    use rustix::fs::{AtFlags, statat};
    let lowers: Vec<_> = loaded.images[0].layers.iter().rev().map(|layer| store.diff_dir(&layer.diff_id)).collect();
    let root = mount_detached(&lowers, Access::ReadOnly).unwrap();
    let stat = |path: &str| statat(&root, path, AtFlags::SYMLINK_NOFOLLOW);
    assert!(stat("etc/gone").is_err(), "the second layer removed it");
    assert!(stat("old/x").is_err() && stat("old/y").is_ok(), "the second layer replaced its directory");
    assert_eq!(stat("etc/one").unwrap().st_nlink, 2);
    let big = stat("big").unwrap();
    assert_eq!((big.st_size, big.st_uid, big.st_gid), (3_000_000, 12345, 70000));
}

#[test]
fn what_we_save_is_read_by_skopeo() {
    if !has("umoci") || !has("skopeo") {
        return eprintln!("skipped: needs umoci and skopeo");
    }
    let Some((dir, store)) = store() else { return };
    layout(dir.path());
    run(dir.path(), "skopeo copy -q oci:oci:v1 oci-archive:o.tar:busy:1");
    let archive = std::fs::File::open(dir.path().join("o.tar")).unwrap();
    let loaded = archive::load(archive, &store, &(), None, &|_| {}).unwrap();
    let image = &loaded.images[0];
    let saved = archive::SavedImage {
        config: image.config.clone(),
        layers: image.layers.iter().map(|layer| archive::SavedLayer { diff_id: layer.diff_id }).collect(),
        manifest: None,
        names: image.names.clone(),
        created: 0,
    };
    let out = std::fs::File::create(dir.path().join("saved.tar")).unwrap();
    archive::save(&[saved], &store, out).unwrap();
    assert_eq!(config_digest(dir.path(), "docker-archive:saved.tar"), image.id);
    assert_eq!(config_digest(dir.path(), "oci-archive:saved.tar"), image.id);
    // Every blob is read and checked.
    run(dir.path(), "skopeo copy -q docker-archive:saved.tar dir:one; skopeo copy -q oci-archive:saved.tar dir:two");
}
