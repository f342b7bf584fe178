//! The guest's root: `cubbyd` as `/init`, the directories it mounts on, a console to speak on, and nothing else.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use super::cpio::Archive;
use super::files;

/// Directories of the root, with their modes.
const DIRECTORIES: &[(&str, u32)] = &[
    ("dev", 0o755),
    ("etc", 0o755),
    ("etc/ssl", 0o755),
    ("etc/ssl/certs", 0o755),
    ("mnt", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("var", 0o755),
    ("var/lib", 0o755),
    ("var/lib/cubby", 0o700),
    ("var/tmp", 0o1777),
];

/// Certificate authorities that image registries are checked against.
const CA_BUNDLE: &str = "etc/ssl/certs/ca-certificates.crt";

/// The archive's bytes, uncompressed.
pub fn pack(cubbyd: &Path, ca_bundle: Option<&Path>) -> anyhow::Result<Vec<u8>> {
    let mut archive = Archive::default();
    for (name, mode) in DIRECTORIES {
        archive.directory(name, *mode);
    }
    // The kernel opens it for pid 1 before anything is mounted.
    archive.character_device("dev/console", 0o600, 5, 1);
    archive.file("init", 0o755, files::read(cubbyd)?);
    if let Some(bundle) = ca_bundle {
        archive.file(CA_BUNDLE, 0o644, files::read(bundle)?);
    }
    Ok(archive.finish())
}

/// Compresses it for the kernel, which knows LZ4's legacy frames only.
///
/// Why LZ4: every boot unpacks it. Against zstd it costs 1.4 MB of image and saves a tenth of a second of an emulated boot; not
/// compressing at all saves a few hundredths more and costs 5 MB.
pub fn compress(archive: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut command = Command::new("lz4");
    command.args(["-l", "-9", "-q", "-c"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut lz4 = command.spawn().context("the initramfs needs the program lz4 (package lz4)")?;
    let mut input = lz4.stdin.take().context("lz4's input is piped")?;
    let output = std::thread::scope(|scope| {
        // Its own thread: lz4 writes while it reads.
        let writer = scope.spawn(move || input.write_all(archive));
        let output = lz4.wait_with_output();
        (writer.join().is_ok_and(|written| written.is_ok()), output)
    });
    match output {
        (true, Ok(output)) if output.status.success() => Ok(output.stdout),
        (_, output) => bail!("lz4 failed: {:?}", output.map(|output| output.status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_inputs_give_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let cubbyd = dir.path().join("cubbyd");
        std::fs::write(&cubbyd, vec![7; 4097]).unwrap();
        let first = compressed(&cubbyd);
        // Another file with the same content: names, times and inodes of the build machine leave no trace.
        let other = dir.path().join("other");
        std::fs::write(&other, vec![7; 4097]).unwrap();
        assert_eq!(first, compressed(&other));
        std::fs::write(&other, vec![8; 4097]).unwrap();
        assert_ne!(first, compressed(&other));
    }

    fn compressed(cubbyd: &Path) -> Vec<u8> {
        compress(&pack(cubbyd, None).unwrap()).unwrap()
    }
}
