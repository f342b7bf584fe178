//! Space: what images took on the host's disk comes back when they are removed.

use std::time::Duration;

use cubby_harness::{Machine, wait_for};
use serde_json::json;
use sha2::Digest;

use crate::footprint::{allocated, disk_of};

const PATIENCE: Duration = Duration::from_secs(180);
const MIB: u64 = 1 << 20;

#[test]
fn an_image_that_is_removed_gives_its_blocks_back_to_the_host() {
    let machine = Machine::start();
    let docker = machine.docker();
    let disk = disk_of(&machine);
    // Why first: the journal and the first tables of the filesystem are written once, whatever comes.
    let on_disk = |least: u64| {
        wait_for("the image to be on the disk", PATIENCE, || Some(allocated(&disk)).filter(|bytes| *bytes > least))
    };
    docker.run_with_input(["load"], &image("disk/stays:1", 48, 1)).ok();
    let before = on_disk(48 * MIB);
    docker.run_with_input(["load"], &image("disk/goes:1", 40, 2)).ok();
    let full = on_disk(before + 38 * MIB);
    docker.run(["tag", "disk/goes:1", "disk/goes:2"]).ok();
    docker.run(["rmi", "disk/goes:1"]).ok();
    docker.run(["image", "prune", "--all", "--force", "--filter", "label!=stays"]).ok();
    let most = before + before / 20;
    let after =
        wait_for(&format!("at most {most} of {full} bytes to stay allocated ({before} before)"), PATIENCE, || {
            Some(allocated(&disk)).filter(|bytes| *bytes <= most)
        });
    println!("allocated on the host: {before} before, {full} with the image, {after} after");
}

/// An archive of an image with one layer of that many MiB that do not compress, labelled when it is to stay.
pub fn image(name: &str, mib: u64, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let words = std::iter::repeat_with(|| {
        // Source: Knuth's MMIX generator.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state
    });
    let content: Vec<u8> = words.take((mib * MIB / 8) as usize).flat_map(u64::to_le_bytes).collect();
    let layer = archive(&[("content", &content)]);
    let digest = |bytes: &[u8]| -> String { sha2::Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect() };
    let labels = if seed == 1 { json!({ "stays": "1" }) } else { json!({}) };
    let config = json!({
        "architecture": if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" },
        "os": "linux",
        "config": { "Cmd": ["true"], "Labels": labels },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", digest(&layer))] },
    });
    let config = config.to_string();
    let manifest = json!([{ "Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"] }]).to_string();
    archive(&[("layer.tar", &layer), ("config.json", config.as_bytes()), ("manifest.json", manifest.as_bytes())])
}

fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, *bytes).expect("memory does not fail");
    }
    tar.into_inner().expect("memory does not fail")
}
