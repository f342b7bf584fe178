//! The guest image: what `cargo xtask image` builds, as files in one directory beside a `manifest.json`.
//!
//! [`GuestImage::open`] is cheap and runs at every start: the manifest must be of a shape that we know and its files
//! must be there in full. [`GuestImage::verify`] reads everything; the doctor calls it, and whoever has seen a guest
//! fail to boot.

use std::fs::File;
use std::io;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

/// The guest's processor architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    #[serde(rename = "x86_64")]
    X86_64,
    Aarch64,
}

impl Arch {
    pub fn as_str(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64",
            Arch::Aarch64 => "aarch64",
        }
    }
}

/// The manifest's shape that this version boots.
const FORMAT: u32 = 1;
const MANIFEST: &str = "manifest.json";

/// Why a directory is no guest image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error(
        "there is no guest image: build it with `cargo xtask image`, or name its directory in {variable}. Looked in:{places}"
    )]
    NotInstalled { variable: &'static str, places: String },
    #[error("no guest image in {dir}: build it with `cargo xtask image`")]
    Missing { dir: PathBuf, source: io::Error },
    #[error("guest image manifest {path} cannot be read; install Cubby again")]
    Manifest { path: PathBuf, source: serde_json::Error },
    #[error("guest image in {dir} has format {found}, this version of Cubby boots format {FORMAT}")]
    Format { dir: PathBuf, found: u32 },
    #[error("guest image file {path} is damaged ({what}); install Cubby again")]
    Damaged { path: PathBuf, what: String },
}

#[derive(Deserialize)]
struct Manifest {
    arch: Arch,
    version: String,
    kernel_release: String,
    cmdline: String,
    kernel: Part,
    initramfs: Part,
    data_template: Part,
    #[serde(default = "first_data_format")]
    data_format: u32,
}

/// Of images from before data formats were counted.
fn first_data_format() -> u32 {
    1
}

/// Read on its own first: another format may differ in everything else.
#[derive(Deserialize)]
struct Shape {
    format: u32,
}

#[derive(Deserialize)]
struct Part {
    file: String,
    bytes: u64,
    sha256: String,
}

/// A guest image whose files are all there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestImage {
    pub arch: Arch,
    /// Digest of the manifest, and so of everything in the image.
    pub id: String,
    /// What the image makes of a data disk; it reads this and every lower one.
    pub data_format: u32,
    /// Of `cubbyd`.
    pub version: String,
    /// `uname -r` of the guest.
    pub kernel_release: String,
    pub kernel: PathBuf,
    pub initramfs: PathBuf,
    /// The data disk's first content, zstd-compressed.
    pub data_template: PathBuf,
    /// The kernel command line that the image needs.
    pub cmdline: String,
    /// What [`GuestImage::verify`] expects.
    digests: Vec<(PathBuf, String)>,
}

impl GuestImage {
    /// Reads the manifest in `dir` and looks whether its files are there. Blocking, but quick.
    pub fn open(dir: &Path) -> Result<GuestImage, ImageError> {
        let path = dir.join(MANIFEST);
        let text = std::fs::read(&path).map_err(|source| ImageError::Missing { dir: dir.to_owned(), source })?;
        let unreadable = |source| ImageError::Manifest { path: path.clone(), source };
        let shape: Shape = serde_json::from_slice(&text).map_err(unreadable)?;
        if shape.format != FORMAT {
            return Err(ImageError::Format { dir: dir.to_owned(), found: shape.format });
        }
        let manifest: Manifest = serde_json::from_slice(&text).map_err(unreadable)?;
        let parts = [&manifest.kernel, &manifest.initramfs, &manifest.data_template];
        let [kernel, initramfs, data_template] = parts.map(|part| located(dir, part));
        let (kernel, initramfs, data_template) = (kernel?, initramfs?, data_template?);
        let digests = [&kernel, &initramfs, &data_template].into_iter().cloned();
        Ok(GuestImage {
            arch: manifest.arch,
            id: hex::encode(Sha256::digest(&text)),
            data_format: manifest.data_format,
            version: manifest.version,
            kernel_release: manifest.kernel_release,
            cmdline: manifest.cmdline,
            digests: digests.zip(parts.map(|part| part.sha256.clone())).collect(),
            kernel,
            initramfs,
            data_template,
        })
    }

    /// Reads every file and compares digests. Blocking: some 20 MB.
    pub fn verify(&self) -> Result<(), ImageError> {
        for (path, expected) in &self.digests {
            let damaged = |what: String| ImageError::Damaged { path: path.clone(), what };
            let mut digest = Sha256::new();
            let mut file = File::open(path).map_err(|err| damaged(err.to_string()))?;
            io::copy(&mut file, &mut digest).map_err(|err| damaged(err.to_string()))?;
            if hex::encode(digest.finalize()) != *expected {
                return Err(damaged("its digest is wrong".into()));
            }
        }
        Ok(())
    }

    /// What the manifest says of the kernel's content; empty for an image without manifest.
    pub fn kernel_digest(&self) -> &str {
        self.digests.first().map_or("", |(_, digest)| digest)
    }

    /// Copies the image into `dir`, which appears whole or not at all. Blocking: some 20 MB.
    pub fn copy_to(&self, dir: &Path) -> io::Result<()> {
        let source = self.kernel.parent().ok_or(io::ErrorKind::NotFound)?;
        let mut unfinished = dir.as_os_str().to_owned();
        unfinished.push(".new");
        let unfinished = PathBuf::from(unfinished);
        let _ = std::fs::remove_dir_all(&unfinished);
        std::fs::create_dir_all(&unfinished)?;
        let names = self.digests.iter().filter_map(|(path, _)| path.file_name());
        for name in names.chain([std::ffi::OsStr::new(MANIFEST)]) {
            std::fs::copy(source.join(name), unfinished.join(name))?;
            crate::system::sync_file(&unfinished.join(name))?;
        }
        let _ = std::fs::remove_dir_all(dir);
        std::fs::rename(&unfinished, dir)
    }

    /// An image made of any files; for tests of backends.
    #[cfg(test)]
    pub(crate) fn of_files(
        arch: Arch,
        kernel: &str,
        initramfs: &str,
        data_template: &str,
        cmdline: &str,
    ) -> GuestImage {
        GuestImage {
            arch,
            id: "test".into(),
            data_format: 1,
            version: "0".into(),
            kernel_release: "0".into(),
            kernel: kernel.into(),
            initramfs: initramfs.into(),
            data_template: data_template.into(),
            cmdline: cmdline.into(),
            digests: Vec::new(),
        }
    }
}

/// The part's path, if it is a plain file of the right length beside the manifest.
fn located(dir: &Path, part: &Part) -> Result<PathBuf, ImageError> {
    let path = dir.join(&part.file);
    let damaged = |what: String| ImageError::Damaged { path: path.clone(), what };
    if !matches!(Path::new(&part.file).components().collect::<Vec<_>>()[..], [Component::Normal(_)]) {
        return Err(damaged("the manifest names a file elsewhere".into()));
    }
    match std::fs::metadata(&path) {
        Ok(file) if file.is_file() && file.len() == part.bytes => Ok(path),
        Ok(file) => Err(damaged(format!("{} bytes instead of {}", file.len(), part.bytes))),
        Err(err) => Err(damaged(err.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(edit: impl Fn(&mut serde_json::Value)) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let part = |file: &str| {
            std::fs::write(dir.path().join(file), file).unwrap();
            serde_json::json!({
                "file": file, "bytes": file.len(), "sha256": hex::encode(Sha256::digest(file)), "unpacked_bytes": 1
            })
        };
        let mut manifest = serde_json::json!({
            "format": 1, "arch": "x86_64", "version": "0.1.0", "kernel_release": "6.12.1", "cmdline": "quiet",
            "kernel": part("vmlinuz"), "initramfs": part("initramfs.zst"), "data_template": part("data.zst"),
        });
        edit(&mut manifest);
        std::fs::write(dir.path().join("manifest.json"), manifest.to_string()).unwrap();
        dir
    }

    #[test]
    fn a_whole_image_opens_and_verifies() {
        let dir = image(|_| {});
        let image = GuestImage::open(dir.path()).unwrap();
        assert_eq!((image.arch, image.cmdline.as_str()), (Arch::X86_64, "quiet"));
        assert_eq!(image.kernel, dir.path().join("vmlinuz"));
        image.verify().unwrap();
    }

    #[test]
    fn no_image_says_how_to_get_one() {
        let dir = tempfile::tempdir().unwrap();
        let err = GuestImage::open(dir.path()).unwrap_err();
        assert!(err.to_string().contains("cargo xtask image"), "{err}");
    }

    #[test]
    fn damage_is_found() {
        let dir = image(|_| {});
        std::fs::write(dir.path().join("vmlinuz"), "VMLINUZ").unwrap();
        let changed = GuestImage::open(dir.path()).unwrap();
        assert!(matches!(changed.verify(), Err(ImageError::Damaged { .. })));
        std::fs::write(dir.path().join("vmlinuz"), "short").unwrap();
        assert!(matches!(GuestImage::open(dir.path()), Err(ImageError::Damaged { .. })));
        std::fs::remove_file(dir.path().join("vmlinuz")).unwrap();
        assert!(matches!(GuestImage::open(dir.path()), Err(ImageError::Damaged { .. })));
    }

    #[test]
    fn foreign_manifests_are_refused() {
        let newer = image(|manifest| *manifest = serde_json::json!({"format": 2}));
        assert!(matches!(GuestImage::open(newer.path()), Err(ImageError::Format { found: 2, .. })));
        let odd = image(|manifest| manifest["arch"] = "m68k".into());
        assert!(matches!(GuestImage::open(odd.path()), Err(ImageError::Manifest { .. })));
        let outside = image(|manifest| manifest["kernel"]["file"] = "../vmlinuz".into());
        assert!(matches!(GuestImage::open(outside.path()), Err(ImageError::Damaged { .. })));
    }
}
