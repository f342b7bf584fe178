//! `manifest.json`: what a built guest image consists of, for the host that boots it.

use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::arch::Arch;
use super::files;

/// Raised when a host that knows the earlier shape could not boot the image.
pub const FORMAT: u32 = 1;
pub const NAME: &str = "manifest.json";

#[derive(Debug, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    pub arch: String,
    /// Of `cubbyd`.
    pub version: String,
    pub kernel_release: String,
    /// The kernel command line that the image needs; the host may append.
    pub cmdline: String,
    /// What the image makes of a data disk.
    #[serde(default)]
    pub data_format: u32,
    pub kernel: Part,
    pub initramfs: Part,
    pub data_template: Part,
}

/// One file beside the manifest.
#[derive(Debug, Serialize, Deserialize)]
pub struct Part {
    pub file: String,
    pub bytes: u64,
    pub sha256: String,
    /// Size once unpacked, for compressed files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unpacked_bytes: Option<u64>,
}

impl Part {
    /// Writes the file and describes it.
    pub fn write(dir: &Path, file: &str, bytes: &[u8], unpacked_bytes: Option<u64>) -> anyhow::Result<Part> {
        files::write(&dir.join(file), bytes)?;
        Ok(Part { file: file.into(), bytes: bytes.len() as u64, sha256: files::sha256_of(bytes), unpacked_bytes })
    }
}

impl Manifest {
    pub fn write(&self, dir: &Path) -> anyhow::Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        files::write(&dir.join(NAME), &text)
    }

    pub fn read(dir: &Path) -> anyhow::Result<Manifest> {
        let path = dir.join(NAME);
        let text = files::read(&path).context("no guest image: build it with `cargo xtask image`")?;
        serde_json::from_slice(&text).with_context(|| path.display().to_string())
    }
}

/// `guest/image/cmdline.<arch>`: words on one or more lines, `#` comments.
pub fn command_line(root: &Path, arch: Arch) -> anyhow::Result<String> {
    let text = files::read_text(&super::arch::image_sources(root).join(format!("cmdline.{}", arch.name())))?;
    Ok(words(&text))
}

fn words(text: &str) -> String {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    lines.flat_map(str::split_ascii_whitespace).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_line_breaks_are_no_part_of_the_command_line() {
        assert_eq!(words("# all\nquiet panic=-1 # why\n\nconsole=hvc0\n"), "quiet panic=-1 console=hvc0");
    }
}
