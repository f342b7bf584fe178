//! The machine: boot stages, memory of the idle guest, and the sizes of what is shipped.

use std::{fs, path::PathBuf};

use cubby_harness::Machine;

use crate::{page::Page, summary::Summary};

const BOOTS: usize = 5;

pub fn measure(page: &mut Page) {
    let mut stages: Vec<(String, Vec<f64>)> = Vec::new();
    let mut last = serde_json::Value::Null;
    for _ in 0..BOOTS {
        let machine = Machine::start();
        last = machine.status();
        for stage in last["machine"]["stages"].as_array().into_iter().flatten() {
            let (Some(name), Some(took)) = (stage["stage"].as_str(), stage["took_ms"].as_f64()) else { continue };
            match stages.iter_mut().find(|(known, _)| known == name) {
                Some((_, samples)) => samples.push(took),
                None => stages.push((name.to_owned(), vec![took])),
            }
        }
    }
    let accelerator = last["machine"]["accelerator"].as_str().unwrap_or("unknown").to_owned();
    for (name, samples) in stages {
        let Some(summary) = Summary::of(samples) else { continue };
        page.row(&format!("boot stage {name}, ms ({accelerator})"), summary, "", "cubby up on a new data disk");
    }
    let figures = &last["figures"];
    for (what, field) in [
        ("guest: memory in use, MiB", "memory_used_bytes"),
        ("guest: engine, resident, MiB", "engine_resident_bytes"),
        ("guest: pid 1, resident, MiB", "init_resident_bytes"),
        ("host: machine's process, resident, MiB", "host_resident_bytes"),
    ] {
        if let Some(bytes) = figures[field].as_u64() {
            page.row(what, format!("{:.1}", bytes as f64 / 1_048_576.0), "", "cubby status --json after boot");
        }
    }
}

/// Sizes of the shipped files, where they have been built.
pub fn sizes(page: &mut Page) {
    let guest = std::env::var_os("CUBBY_GUEST_IMAGE").map(PathBuf::from);
    let programs = std::env::var_os("CUBBY_RELEASE_DIR").map(PathBuf::from);
    let files = [
        (&guest, "vmlinuz", "kernel, MB", "≤ 8 MB"),
        (&guest, "initramfs.img", "initramfs with cubbyd, MB", "≤ 25 MB with the kernel"),
        (&guest, "demo-image.tar", "demo image, MB", "< 2 MB"),
        (&programs, "cubby-app", "app program, MB", "≤ 60 MB installed"),
        (&programs, "cubby", "cubby program, MB", ""),
    ];
    for (dir, name, what, budget) in files {
        let Some(size) = dir.as_ref().and_then(|dir| fs::metadata(dir.join(name)).ok()) else { continue };
        page.row(what, format!("{:.2}", size.len() as f64 / 1e6), budget, "file size");
    }
}
