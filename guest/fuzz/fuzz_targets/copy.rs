//! Any bytes as an archive that a client puts into a container: nothing lands outside its root, and what landed is archived
//! again.
#![no_main]

use std::os::{fd::AsFd, unix::fs::symlink};

use cubby_engine::containers::files::{Files, TreeWriter, Unpack, unpack};
use libfuzzer_sys::fuzz_target;

const CANARY: &str = "as it was";

fuzz_target!(|data: &[u8]| {
    let Some((&how, archive)) = data.split_first() else { return };
    let dir = tempfile::tempdir_in("/dev/shm").expect("memory to unpack to");
    let (root, outside) = (dir.path().join("root"), dir.path().join("outside"));
    std::fs::create_dir_all(root.join("dir")).expect("made");
    std::fs::create_dir(&outside).expect("made");
    std::fs::write(outside.join("file"), CANARY).expect("written");
    // Ways out that a container may have laid.
    for (name, target) in [("out", "../outside"), ("far", "../../../../../../etc"), ("own", outside.to_str().expect("text"))] {
        symlink(target, root.join(name)).expect("laid");
    }
    let files = Files::at(&root).expect("a directory");
    let options = Unpack {
        into: if how & 1 == 0 { "/" } else { "/dir" }.to_owned(),
        keep_kinds: how & 2 != 0,
        owner: (how & 4 != 0).then_some((1000, 1000)),
        mode: (how & 8 != 0).then_some(0o755),
        keeps_inside: how & 16 != 0,
    };
    let _ = unpack(&files, archive, &options);
    let left: Vec<_> = std::fs::read_dir(&outside).expect("still there").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["file"], "something landed outside");
    assert_eq!(std::fs::read_to_string(outside.join("file")).expect("still there"), CANARY);
    assert_eq!(std::fs::read_dir(dir.path()).expect("still there").count(), 2, "something landed beside the root");
    // Holes make files far longer than what is in them.
    if !data.windows(6).any(|bytes| bytes == b"GNU.sp") && !holes(&root) {
        let mut tree = TreeWriter::new(std::io::sink());
        tree.add(files.root().as_fd(), c".", b".").expect("what was unpacked can be read");
        tree.finish().expect("a sink takes everything");
    }
});

fn holes(dir: &std::path::Path) -> bool {
    let mut todo = vec![dir.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(found) if found.is_dir() => todo.push(entry.path()),
                Ok(found) if found.len() > 64 << 20 => return true,
                _ => {}
            }
        }
    }
    false
}
