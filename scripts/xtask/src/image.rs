//! `cargo xtask image`: kernel, initramfs with `cubbyd`, data-disk template and manifest, everything a machine boots from.

use std::fs;
use std::path::{Path, PathBuf};

use crate::guest::arch::{Arch, image_sources, output_dir};
use crate::guest::binary::Build;
use crate::guest::manifest::{self, Manifest, Part};
use crate::guest::{files, initramfs, template};
use crate::kernel::{self, Kernel};

/// The template is read once per machine: as small as can be.
const TEMPLATE_LEVEL: i32 = 19;

#[derive(clap::Args)]
pub struct Arguments {
    /// The guest's architecture; this machine's unless given
    #[arg(long)]
    arch: Option<Arch>,
    /// Where to put the image instead of the target directory's guest/<arch>
    #[arg(long)]
    out: Option<PathBuf>,
    /// Cargo profile of cubbyd
    #[arg(long, default_value = "guest")]
    profile: String,
    /// Boot this kernel instead of building ours; whatever the guest needs must be built into it
    #[arg(long)]
    kernel: Option<PathBuf>,
}

pub fn main(root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let arch = arguments.arch.unwrap_or_else(Arch::host);
    let dir = arguments.out.clone().unwrap_or_else(|| output_dir(root, arch));
    fs::create_dir_all(&dir)?;
    let kernel = match &arguments.kernel {
        Some(image) => Kernel { image: image.clone(), release: format!("given: {}", image.display()) },
        None => kernel::built(root, arch, &kernel::Effort::default())?,
    };
    let cubbyd = Build { package: "cubbyd", arch, profile: &arguments.profile, settings: &[] }.run(root)?;
    let bundle = Some(image_sources(root).join("ca-certificates.crt")).filter(|path| path.exists());
    let root_files = initramfs::pack(&cubbyd, bundle.as_deref())?;
    let template = template::build()?;
    let unpacked = |bytes: &[u8]| Some(bytes.len() as u64);
    Manifest {
        format: manifest::FORMAT,
        arch: arch.name().into(),
        version: env!("CARGO_PKG_VERSION").into(),
        kernel_release: kernel.release,
        cmdline: manifest::command_line(root, arch)?,
        data_format: cubby_wire::DATA_FORMAT,
        kernel: Part::write(&dir, "vmlinuz", &files::read(&kernel.image)?, None)?,
        initramfs: Part::write(&dir, "initramfs.img", &initramfs::compress(&root_files)?, unpacked(&root_files))?,
        data_template: Part::write(
            &dir,
            "data-template.ext4.zst",
            &zstd::encode_all(&template[..], TEMPLATE_LEVEL)?,
            unpacked(&template),
        )?,
    }
    .write(&dir)?;
    println!("{}", dir.display());
    Ok(())
}
