//! Any bytes as an image archive: refused leaving nothing, or loaded with layers that are what they are called.
#![no_main]

use cubby_image::{Limits, Store, archive};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let limits = Limits {
        layer_bytes: 4 << 20,
        layer_entries: 200,
        header_bytes: 64 << 10,
        document_bytes: 64 << 10,
        archive_entries: 200,
        reserve_bytes: 0,
        ..Limits::default()
    };
    let dir = tempfile::tempdir_in("/dev/shm").expect("memory to unpack to");
    let store = Store::open(dir.path(), limits).expect("a fresh store");
    match archive::load(data, &store, &(), None, &|_| {}) {
        Err(_) => {
            let left = std::fs::read_dir(dir.path().join("layers")).expect("the layers").count();
            assert_eq!(left, 3, "a refused archive left a layer");
        }
        Ok(loaded) => {
            for layer in loaded.images.iter().flat_map(|image| &image.layers) {
                assert!(store.write_tar(&layer.diff_id, std::io::sink()).is_ok());
            }
        }
    }
    assert_eq!(std::fs::read_dir(dir.path()).expect("the directory").count(), 1, "something outside the layers");
});
