//! `cargo xtask sizes`: what was built, beside what it may weigh.

use std::fs;
use std::path::Path;

use anyhow::bail;

use crate::guest::arch::{Arch, output_dir};
use crate::guest::manifest::Manifest;

const MB: u64 = 1_000_000;
/// Budgets of the milestone: kernel, whole image, demo image.
const KERNEL: u64 = 8 * MB;
const IMAGE: u64 = 25 * MB;
const DEMO: u64 = 2 * MB;

#[derive(clap::Args)]
pub struct Arguments {
    /// The guest's architecture; this machine's unless given
    #[arg(long)]
    arch: Option<Arch>,
}

/// Fails when something is over its budget.
pub fn main(root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let dir = output_dir(root, arguments.arch.unwrap_or_else(Arch::host));
    let manifest = Manifest::read(&dir)?;
    let parts = [&manifest.kernel, &manifest.initramfs, &manifest.data_template];
    let mut rows = vec![
        ("kernel", manifest.kernel.bytes, Some(KERNEL)),
        ("initramfs", manifest.initramfs.bytes, None),
        ("initramfs, unpacked", manifest.initramfs.unpacked_bytes.unwrap_or(manifest.initramfs.bytes), None),
        ("data template", manifest.data_template.bytes, None),
        ("guest image", parts.iter().map(|part| part.bytes).sum(), Some(IMAGE)),
    ];
    if let Ok(demo) = fs::metadata(dir.join(crate::demo::NAME)) {
        rows.push(("demo image", demo.len(), Some(DEMO)));
    }
    let mut over = Vec::new();
    for (what, bytes, budget) in rows {
        let budget_text = budget.map_or(String::new(), |budget| format!(" of {:5.1}", in_mb(budget)));
        println!("{what:20} {:8.3} MB{budget_text}", in_mb(bytes));
        if budget.is_some_and(|budget| bytes > budget) {
            over.push(what);
        }
    }
    if over.is_empty() { Ok(()) } else { bail!("over budget: {}", over.join(", ")) }
}

fn in_mb(bytes: u64) -> f64 {
    bytes as f64 / MB as f64
}
