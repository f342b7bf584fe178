//! `kill -9` in the middle of a load, then a new start.

use std::{
    collections::HashSet,
    io::Write,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use cubby_image::{Limits, Store, archive};

use super::{
    build::{Tar, docker_archive},
    is_pristine, names, store,
};

const ROOT: &str = "CUBBY_TEST_CRASH_ROOT";

/// Not a test of its own: the process that is killed. Loads its standard input, then says so and waits.
#[test]
#[ignore = "run by the crash tests"]
fn child() {
    let Some(root) = std::env::var_os(ROOT) else { return };
    let store = Store::open(Path::new(&root), Limits::default()).unwrap();
    let loaded = archive::load(std::io::stdin(), &store, &(), None, &|_| {}).unwrap();
    std::fs::write(Path::new(&root).join("loaded"), "").unwrap();
    std::thread::park();
    drop(loaded);
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(30), "waited for {what}");
        std::thread::yield_now();
    }
}

/// Feeds `archive` to a child, kills it when `ready`, and opens the store again.
fn killed(root: &Path, archive: &[u8], ready: impl Fn() -> bool) -> Store {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child", "--ignored"])
        .env(ROOT, root)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(archive).unwrap();
    let whole = archive.ends_with(&[0; 1024]);
    let kept = if whole {
        drop(stdin);
        None
    } else {
        Some(stdin)
    };
    wait_for("the load to get there", ready);
    child.kill().unwrap();
    child.wait().unwrap();
    drop(kept);
    Store::open(root, Limits::default()).unwrap()
}

#[test]
fn a_load_killed_half_way_leaves_nothing() {
    let Some((dir, store)) = store() else { return };
    drop(store);
    let layers: Vec<Vec<u8>> = (0..3).map(|n| Tar::default().dir("d/").file("d/f", &vec![n; 300_000]).end()).collect();
    let archive = docker_archive(&["a:1"], &layers);
    let staging = dir.path().join("layers/.staging");
    killed(dir.path(), &archive[..700_000], || staging.join("2/diff").exists());
    assert!(is_pristine(dir.path()));
}

#[test]
fn layers_committed_but_not_recorded_are_swept() {
    let Some((dir, store)) = store() else { return };
    drop(store);
    let archive = docker_archive(&["a:1"], &[Tar::default().file("f", b"x").end()]);
    let store = killed(dir.path(), &archive, || dir.path().join("loaded").exists());
    assert_eq!(names(&dir.path().join("layers")).len(), 4, "the layer was committed");
    store.sweep(&HashSet::new()).unwrap();
    assert!(is_pristine(dir.path()));
}
