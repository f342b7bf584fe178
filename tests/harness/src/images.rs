//! Images made on the spot: no registry is within reach of the tests, and none is needed.

use std::path::Path;

use serde_json::json;

/// The image of [`busybox_archive`].
pub const IMAGE: &str = "cubby-test/busybox:latest";

const APPLETS: &[&str] = &[
    "sh", "ls", "cat", "echo", "true", "false", "sleep", "ps", "id", "env", "pwd", "grep", "head", "yes", "hostname",
    "stty", "kill", "mount", "umount", "touch", "rm", "mkdir", "ln", "stat", "wc", "nc", "httpd", "wget", "ip", "ping",
    "dd", "chmod", "chown", "tail", "test", "printf", "sort", "mknod", "nslookup", "seq", "tr", "date", "which", "tar",
    "df", "uname", "whoami", "find", "od", "du", "sync", "md5sum", "cut", "awk", "sed", "usleep", "trap", "tty",
];

/// A `docker save` archive with one layer: a static busybox, its applets, and the usual directories and accounts.
///
/// # Panics
/// When the static busybox of the distribution (package `busybox-static`) is not installed.
pub fn busybox_archive() -> Vec<u8> {
    busybox_archive_as(IMAGE)
}

/// [`busybox_archive`] under another name, as an image of its own.
///
/// # Panics
/// As there.
pub fn busybox_archive_as(name: &str) -> Vec<u8> {
    let busybox = std::fs::read("/bin/busybox").expect("package busybox-static is needed: scripts/test installs it");
    let layer = busybox_layer(&busybox);
    let config = json!({
        "architecture": if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" },
        "os": "linux",
        "created": "2026-01-01T00:00:00Z",
        "config": { "Cmd": ["sh"], "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"] },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", sha256(&layer))] },
        "history": [{ "created": "2026-01-01T00:00:00Z", "created_by": "busybox" }],
    });
    let mut config = config;
    if name != IMAGE {
        config["config"]["Labels"] = json!({ "cubby.test.name": name });
    }
    let config = config.to_string().into_bytes();
    let config_name = format!("{}.json", sha256(&config));
    let manifest = json!([{ "Config": config_name, "RepoTags": [name], "Layers": ["layer.tar"] }]);
    let mut archive = tar::Builder::new(Vec::new());
    file(&mut archive, "layer.tar", &layer, 0o644);
    file(&mut archive, &config_name, &config, 0o644);
    file(&mut archive, "manifest.json", manifest.to_string().as_bytes(), 0o644);
    archive.into_inner().expect("memory does not fail")
}

/// A layer of one file.
pub fn layer(path: &str, content: &[u8]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    file(&mut tar, path, content, 0o644);
    tar.into_inner().expect("memory does not fail")
}

/// Bytes that do not compress, others for each seed.
pub fn noise(size: usize, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let bytes = std::iter::repeat_with(|| {
        // Source: Marsaglia's xorshift.
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    });
    bytes.take(size).collect()
}

/// A `docker save` archive of one image.
pub fn image(name: &str, layers: &[Vec<u8>]) -> Vec<u8> {
    let diff_ids: Vec<String> = layers.iter().map(|layer| format!("sha256:{}", sha256(layer))).collect();
    let config = json!({
        "architecture": if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" },
        "os": "linux",
        "config": { "Cmd": ["true"] },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
        "history": diff_ids.iter().map(|id| json!({ "created_by": format!("layer {id}") })).collect::<Vec<_>>(),
    });
    let paths: Vec<String> = (0..layers.len()).map(|n| format!("{n}.tar")).collect();
    let manifest = json!([{ "Config": "config.json", "RepoTags": [name], "Layers": paths }]);
    let mut archive = tar::Builder::new(Vec::new());
    for (path, bytes) in paths.iter().zip(layers) {
        file(&mut archive, path, bytes, 0o644);
    }
    file(&mut archive, "config.json", config.to_string().as_bytes(), 0o644);
    file(&mut archive, "manifest.json", manifest.to_string().as_bytes(), 0o644);
    archive.into_inner().expect("memory does not fail")
}

fn busybox_layer(busybox: &[u8]) -> Vec<u8> {
    let mut layer = tar::Builder::new(Vec::new());
    for (name, mode) in [
        ("bin", 0o755),
        ("etc", 0o755),
        ("root", 0o700),
        ("tmp", 0o1777),
        ("home", 0o755),
        ("var", 0o755),
        ("usr", 0o755),
    ] {
        let mut header = header(tar::EntryType::Directory, 0, mode);
        layer.append_data(&mut header, name, &[][..]).expect("memory does not fail");
    }
    file(&mut layer, "bin/busybox", busybox, 0o755);
    for applet in APPLETS {
        let mut header = header(tar::EntryType::Link, 0, 0o755);
        layer.append_link(&mut header, format!("bin/{applet}"), "bin/busybox").expect("memory does not fail");
    }
    file(&mut layer, "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nguest:x:1000:1000::/home:/bin/sh\n", 0o644);
    file(&mut layer, "etc/group", b"root:x:0:\nguest:x:1000:\nextra:x:2000:guest\n", 0o644);
    layer.into_inner().expect("memory does not fail")
}

fn header(kind: tar::EntryType, size: u64, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode);
    header.set_mtime(1_767_225_600);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn file(archive: &mut tar::Builder<Vec<u8>>, name: impl AsRef<Path>, bytes: &[u8], mode: u32) {
    let mut header = header(tar::EntryType::Regular, bytes.len() as u64, mode);
    archive.append_data(&mut header, name, bytes).expect("memory does not fail");
}

/// Hexadecimal digest, by an implementation that is not the engine's.
pub fn sha256(bytes: &[u8]) -> String {
    use std::{
        io::Write,
        process::{Command, Stdio},
    };
    let mut child = Command::new("sha256sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("coreutils are installed");
    child.stdin.take().expect("stdin is piped").write_all(bytes).expect("sha256sum reads");
    let output = child.wait_with_output().expect("sha256sum ends");
    String::from_utf8_lossy(&output.stdout).split(' ').next().unwrap_or_default().to_owned()
}
