//! The named budgets, measured: `cargo xtask bench` runs this and it writes `tests/perf/FIGURES.md`.
//!
//! Method: subjects are interleaved round by round within one run; medians are reported with minimum and maximum;
//! absolute times say something about this machine only, ratios within a run travel. Peers (dockerd, podman) take part
//! when their sockets are named in `CUBBY_BENCH_PEERS` (`name=unix:///path,…`).

mod client;
mod cycle;
mod idle;
mod images;
mod machine;
mod page;
mod summary;

use std::path::Path;

fn main() {
    let mut page = page::Page::new();
    cycle::measure(&mut page);
    machine::measure(&mut page);
    idle::measure(&mut page);
    images::measure(&mut page);
    machine::sizes(&mut page);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    page.write(&root.join("perf/FIGURES.md")).expect("the page can be written");
}
