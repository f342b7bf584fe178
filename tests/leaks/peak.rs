//! What an engine holds while it pulls does not depend on how large the layers are or how many.

use cubby_harness::{NativeEngine, Registry, RegistryOptions, forget_peak, image, layer, noise, peak_kib};

/// Layers and bytes of one: a small image, then few large and many small layers.
const IMAGES: [(usize, usize); 3] = [(4, 2 << 20), (3, 20 << 20), (24, 5 << 19)];

#[test]
fn a_pulls_peak_of_memory_is_the_same_for_small_large_and_many_layers() {
    let engine = NativeEngine::start();
    let docker = engine.docker();
    let registry = Registry::start(RegistryOptions::default());
    let name = |n: usize| format!("127.0.0.1:{}/peak:{n}", registry.port);
    let noise = noise(20 << 20, 1);
    for (n, (layers, size)) in IMAGES.into_iter().enumerate() {
        // Why one noise under other names: it takes as long to make as all the rest.
        let layers: Vec<_> = (0..layers).map(|nth| layer(&format!("noise-{n}-{nth}"), &noise[..size])).collect();
        docker.run_with_input(["load"], &image(&name(n), &layers)).ok();
        docker.run(["push", &name(n)]).ok();
        docker.run(["rmi", &name(n)]).ok();
    }
    let peaks = IMAGES.map(|(layers, size)| {
        let n = IMAGES.iter().position(|image| *image == (layers, size)).expect("it is one of them");
        forget_peak(engine.pid());
        docker.run(["pull", &name(n)]).ok();
        docker.run(["rmi", &name(n)]).ok();
        (layers * size / 1024, peak_kib(engine.pid()))
    });
    let (small, least) = peaks[0];
    for (bytes, peak) in &peaks[1..] {
        let (more, grown) = ((bytes - small) as u64, peak.saturating_sub(least));
        // Why a quarter: queues and the allocator need a few pulls to be as full as they get; layers that were held whole
        // would be all of it.
        assert!(grown < more / 4, "{grown} KiB more at its peak for {more} KiB more to pull: {peaks:?}");
    }
}
