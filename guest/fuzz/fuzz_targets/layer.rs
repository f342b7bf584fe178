//! Any bytes as a layer: refused leaving nothing, or unpacked so that the stream can be made again byte for byte.
#![no_main]

use cubby_image::{Compression, Digest, Limits, Store};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let limits = Limits { layer_bytes: 4 << 20, layer_entries: 200, header_bytes: 64 << 10, reserve_bytes: 0, ..Limits::default() };
    let dir = tempfile::tempdir_in("/dev/shm").expect("memory to unpack to");
    let store = Store::open(dir.path(), limits).expect("a fresh store");
    match store.unpack(data) {
        Err(_) => assert!(empty(&dir.path().join("layers/.staging")), "a refused layer left something"),
        Ok(staged) => {
            assert_eq!(*staged.blob(), Digest::of(data));
            let plain = staged.compression() == Compression::None;
            let pin = store.place(staged).expect("a place for the layer");
            let mut again = Vec::new();
            store.write_tar(pin.diff_id(), &mut again).expect("the stream again");
            assert!(!plain || again == data);
        }
    }
    assert_eq!(std::fs::read_dir(dir.path()).expect("the directory").count(), 1, "something outside the layers");
});

fn empty(dir: &std::path::Path) -> bool {
    std::fs::read_dir(dir).is_ok_and(|mut items| items.next().is_none())
}
