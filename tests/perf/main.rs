//! The named budgets, measured: `cargo xtask bench` runs this and it writes `tests/perf/FIGURES.md`.
//!
//! Method: subjects are interleaved round by round within one run; medians are reported with minimum and maximum;
//! absolute times say something about this machine only, ratios within a run travel. Peers (dockerd, podman) take part
//! when their sockets are named in `CUBBY_BENCH_PEERS` (`name=unix:///path,…`). `CUBBY_BENCH_ONLY=engine` leaves the
//! machine out; rows that a run does not measure stay on the page as they are.

mod client;
mod crowd;
mod cycle;
mod idle;
mod images;
mod machine;
mod page;
mod subject;
mod summary;

use std::path::Path;

use cubby_harness::NativeEngine;

fn main() {
    let mut page = page::Page::new();
    engine(&mut page);
    if std::env::var("CUBBY_BENCH_ONLY").is_ok_and(|only| only == "engine") {
        return write(&page);
    }
    machine::measure(&mut page);
    idle::measure(&mut page);
    images::measure(&mut page);
    machine::sizes(&mut page);
    write(&page);
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
