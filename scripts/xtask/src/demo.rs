//! `cargo xtask demo`: the demo container image, one archive that `docker load` and OCI tools both take.
//!
//! ```text
//!  oci-layout  index.json  manifest.json        blobs/sha256/{layer,config,manifest}
//! ```
//!
//! Deterministic: same program, same bytes.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::guest::arch::{Arch, output_dir};
use crate::guest::binary::Build;
use crate::guest::files;

pub const NAME: &str = "demo-image.tar";
const TAG: &str = "cubby/demo:latest";
const CREATED: &str = "2026-01-01T00:00:00Z";
/// Smallest program that cargo makes: the demo's first impression is how fast it arrives.
const SMALL: &[(&str, &str)] = &[
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "z"),
    ("CARGO_PROFILE_RELEASE_LTO", "fat"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
    ("CARGO_PROFILE_RELEASE_PANIC", "abort"),
];

#[derive(clap::Args)]
pub struct Arguments {
    /// The guest's architecture; this machine's unless given
    #[arg(long)]
    arch: Option<Arch>,
    /// Directory for the archive instead of the target directory's guest/<arch>
    #[arg(long)]
    out: Option<PathBuf>,
}

pub fn main(root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let arch = arguments.arch.unwrap_or_else(Arch::host);
    let dir = arguments.out.clone().unwrap_or_else(|| output_dir(root, arch));
    fs::create_dir_all(&dir)?;
    let program = Build { package: "cubby-demo", arch, profile: "release", settings: SMALL }.run(root)?;
    let path = dir.join(NAME);
    files::write(&path, &archive(&files::read(&program)?, arch)?)?;
    println!("{}", path.display());
    Ok(())
}

/// The whole archive.
fn archive(program: &[u8], arch: Arch) -> anyhow::Result<Vec<u8>> {
    let layer = layer(program)?;
    let diff_id = files::sha256_of(&layer);
    let config = serde_json::to_vec(&config(&diff_id, arch))?;
    let manifest = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
    }))?;
    let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
    entry["annotations"] = json!({
        "io.containerd.image.name": format!("docker.io/{TAG}"),
        "org.opencontainers.image.ref.name": "latest",
    });
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [entry],
    });
    let docker = json!([{ "Config": blob(&config), "RepoTags": [TAG], "Layers": [blob(&layer)] }]);
    let mut out = tar::Builder::new(Vec::new());
    for directory in ["blobs/", "blobs/sha256/"] {
        add(&mut out, directory, Kind::Directory(0o755))?;
    }
    let mut blobs = [config, layer, manifest];
    blobs.sort_by_key(|bytes| files::sha256_of(bytes));
    for bytes in &blobs {
        add(&mut out, &blob(bytes), Kind::File(0o644, bytes))?;
    }
    add(&mut out, "index.json", Kind::File(0o644, &serde_json::to_vec(&index)?))?;
    add(&mut out, "manifest.json", Kind::File(0o644, &serde_json::to_vec(&docker)?))?;
    add(&mut out, "oci-layout", Kind::File(0o644, br#"{"imageLayoutVersion":"1.0.0"}"#))?;
    Ok(out.into_inner()?)
}

/// The root filesystem: the program, and the shell's name for it.
fn layer(program: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut out = tar::Builder::new(Vec::new());
    add(&mut out, "bin/", Kind::Directory(0o755))?;
    add(&mut out, "bin/sh", Kind::Symlink("/demo"))?;
    add(&mut out, "demo", Kind::File(0o755, program))?;
    add(&mut out, "etc/", Kind::Directory(0o755))?;
    add(&mut out, "etc/group", Kind::File(0o644, b"root:x:0:\nnogroup:x:65534:\n"))?;
    let users = b"root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n";
    add(&mut out, "etc/passwd", Kind::File(0o644, users))?;
    add(&mut out, "tmp/", Kind::Directory(0o1777))?;
    Ok(out.into_inner()?)
}

fn config(diff_id: &str, arch: Arch) -> Value {
    json!({
        "architecture": arch.oci(),
        "os": "linux",
        "created": CREATED,
        "config": {
            "Cmd": ["/demo"],
            "Env": ["PATH=/bin:/", "PORT=8080"],
            "ExposedPorts": { "8080/tcp": {} },
            "Labels": {
                "org.opencontainers.image.title": "Cubby demo",
                "org.opencontainers.image.description": "A web page that says: your first container is running",
                "org.opencontainers.image.licenses": "Apache-2.0",
            },
            "WorkingDir": "/",
            "Healthcheck": {
                "Test": ["CMD", "/demo", "--health"],
                "Interval": 30_000_000_000_u64,
                "Timeout": 3_000_000_000_u64,
                "StartInterval": 500_000_000_u64,
                "StartPeriod": 5_000_000_000_u64,
                "Retries": 3,
            },
        },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{diff_id}")] },
        "history": [{ "created": CREATED, "created_by": "cargo xtask demo" }],
    })
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": format!("sha256:{}", files::sha256_of(bytes)), "size": bytes.len() })
}

fn blob(bytes: &[u8]) -> String {
    format!("blobs/sha256/{}", files::sha256_of(bytes))
}

enum Kind<'a> {
    Directory(u32),
    File(u32, &'a [u8]),
    Symlink(&'a str),
}

fn add(out: &mut tar::Builder<Vec<u8>>, path: &str, kind: Kind<'_>) -> anyhow::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_mtime(0);
    let data: &[u8] = match kind {
        Kind::Directory(mode) => {
            header.set_entry_type(tar::EntryType::Directory);
            header.set_mode(mode);
            &[]
        }
        Kind::File(mode, data) => {
            header.set_entry_type(tar::EntryType::Regular);
            header.set_mode(mode);
            data
        }
        Kind::Symlink(target) => {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_mode(0o777);
            header.set_link_name(target)?;
            &[]
        }
    };
    header.set_size(data.len() as u64);
    header.set_uid(0);
    header.set_gid(0);
    out.append_data(&mut header, path, data)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read;

    use super::*;

    #[test]
    fn the_archive_is_deterministic_and_every_reference_resolves_to_its_bytes() {
        let bytes = archive(b"program", Arch::X86_64).unwrap();
        assert_eq!(bytes, archive(b"program", Arch::X86_64).unwrap());
        let mut members = BTreeMap::new();
        for entry in tar::Archive::new(&bytes[..]).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut data = Vec::new();
            entry.read_to_end(&mut data).unwrap();
            members.insert(entry.path().unwrap().to_string_lossy().into_owned(), data);
        }
        for (name, data) in members.iter().filter(|(name, _)| name.starts_with("blobs/sha256/") && !name.ends_with('/'))
        {
            assert_eq!(*name, blob(data));
        }
        let docker: Value = serde_json::from_slice(&members["manifest.json"]).unwrap();
        let config: Value = serde_json::from_slice(&members[docker[0]["Config"].as_str().unwrap()]).unwrap();
        let layer = &members[docker[0]["Layers"][0].as_str().unwrap()];
        assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", files::sha256_of(layer)));
        let index: Value = serde_json::from_slice(&members["index.json"]).unwrap();
        let digest = index["manifests"][0]["digest"].as_str().unwrap().replace(':', "/");
        assert!(members.contains_key(&format!("blobs/{digest}")));
    }
}
