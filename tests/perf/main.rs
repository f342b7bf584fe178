//! The named budgets, measured: `cargo xtask bench` runs this and it writes `tests/perf/FIGURES.md`.
//!
//! Method: subjects are interleaved round by round within one run; medians are reported with minimum and maximum;
//! absolute times say something about this machine only, ratios within a run travel. Peers (dockerd, podman) take part
//! when their sockets are named in `CUBBY_BENCH_PEERS` (`name=unix:///path,…`). `CUBBY_BENCH_ONLY` names parts, separated by
//! commas: `engine`, `ports`, `names`, `machine`, `shares`, `images`, `window`; rows that a run does not measure stay on the page as they are.

mod client;
mod crowd;
mod cycle;
mod idle;
mod images;
mod machine;
mod names;
mod page;
mod places;
mod ports;
mod shares;
mod subject;
mod summary;
mod window;
mod within;

use std::path::Path;

use cubby_harness::NativeEngine;

/// Its name in `CUBBY_BENCH_ONLY`, and what measures it.
type Part = (&'static str, fn(&mut page::Page));

fn main() {
    let mut page = page::Page::new();
    let only = std::env::var("CUBBY_BENCH_ONLY").unwrap_or_default();
    let parts: [Part; 7] = [
        ("engine", engine),
        ("ports", ports::measure),
        ("names", names::measure),
        ("machine", machine),
        ("shares", shares::measure),
        ("images", images::measure),
        ("window", window::measure),
    ];
    for (_, measure) in parts.iter().filter(|(name, _)| only.is_empty() || only.split(',').any(|part| part == *name)) {
        measure(&mut page);
    }
    write(&page);
}

fn machine(page: &mut page::Page) {
    machine::measure(page);
    idle::measure(page);
    machine::sizes(page);
}

/// The engine beside its peers.
fn engine(page: &mut page::Page) {
    let engine = NativeEngine::start();
    let subjects = subject::all(&engine);
    crowd::idle(page, &engine, &subjects);
    cycle::measure(page, &engine, &subjects);
    crowd::logs(page, &subjects);
    crowd::memory(page, &engine, &subjects);
    crowd::lists_of_created(page, &subjects);
}

fn write(page: &page::Page) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    page.write(&root.join("perf/FIGURES.md")).expect("the page can be written");
}
