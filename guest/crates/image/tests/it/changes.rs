//! What layers change, and whether they are still what they were.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::Write,
    ops::ControlFlow,
    path::PathBuf,
};

use cubby_image::{
    Pin, Store,
    layer::{Change, ChangeKind, Depth, changes},
};

use super::{build::Tar, store};

fn layer(store: &Store, tar: Tar) -> Pin {
    store.commit(vec![store.unpack(tar.end().as_slice()).unwrap()]).unwrap().remove(0)
}

/// `+path`, `~path`, `-path` of at most `limit` changes of the topmost layer.
fn told(store: &Store, layers: &[&Pin], after: Option<&str>, limit: usize) -> Vec<String> {
    let dirs: Vec<PathBuf> = layers.iter().rev().map(|pin| store.diff_dir(pin.diff_id())).collect();
    let mut told = Vec::new();
    let mut visit = |change: Change| {
        let sign = match change.kind {
            ChangeKind::Added => '+',
            ChangeKind::Changed => '~',
            ChangeKind::Removed => '-',
        };
        told.push(format!("{sign}{}", String::from_utf8(change.path).unwrap()));
        if told.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    changes(&dirs[0], &dirs[1..], after.map(str::as_bytes), &mut visit).unwrap();
    told
}

fn stack(store: &Store) -> [Pin; 3] {
    [
        layer(
            store,
            Tar::default().dir("d/").file("d/a", b"1").file("d/b", b"2").dir("o/").file("o/x", b"x").file("z", b"z"),
        ),
        layer(
            store,
            Tar::default()
                .dir("d/")
                .file("d/.wh.a", b"")
                .file("d/c", b"3")
                .dir("o/")
                .file("o/.wh..wh..opq", b"")
                .file("o/y", b"y"),
        ),
        layer(
            store,
            Tar::default()
                .dir("d/")
                .file("d/a", b"again")
                .file("d/b", b"other")
                .file("d/.wh.c", b"")
                .dir("n/")
                .dir("n/m/")
                .file("n/m/f", b"deep")
                .file(".wh.nothing", b"")
                .symlink("z", "d"),
        ),
    ]
}

#[test]
fn a_layer_is_read_as_what_it_does_to_the_ones_below() {
    let Some((_dir, store)) = store() else { return };
    let [one, two, three] = stack(&store);
    assert_eq!(told(&store, &[&one], None, 99), ["+d", "+d/a", "+d/b", "+o", "+o/x", "+z"]);
    assert_eq!(told(&store, &[&one, &two], None, 99), ["-d/a", "+d/c", "-o/x", "+o/y"]);
    let all = ["+d/a", "~d/b", "-d/c", "+n", "+n/m", "+n/m/f", "~z"];
    assert_eq!(told(&store, &[&one, &two, &three], None, 99), all);
}

#[test]
fn pages_join_into_the_whole() {
    let Some((_dir, store)) = store() else { return };
    let [one, two, three] = stack(&store);
    let layers = [&one, &two, &three];
    let whole = told(&store, &layers, None, 99);
    for size in 1..=whole.len() {
        let mut pages: Vec<String> = Vec::new();
        loop {
            let after = pages.last().map(|last| last[1..].to_owned());
            let page = told(&store, &layers, after.as_deref(), size);
            let ended = page.len() < size;
            pages.extend(page);
            if ended {
                break;
            }
        }
        assert_eq!(pages, whole, "pages of {size}");
    }
    assert_eq!(told(&store, &layers, Some("d/bb"), 99), whole[2..], "after a path that is not there");
}

#[test]
fn damage_is_found_and_strays_are_named() {
    let Some((dir, store)) = store() else { return };
    let pin = layer(&store, Tar::default().file("f", b"content").file("g", b"more"));
    let id = *pin.diff_id();
    for depth in [Depth::Shape, Depth::Content] {
        store.verify(&id, depth, &|| true).unwrap();
    }
    assert_eq!(store.strays(&HashSet::new()).unwrap(), Default::default(), "pinned layers are wanted");
    fs::create_dir(dir.path().join("layers/stranger")).unwrap();
    assert_eq!(store.strays(&HashSet::new()).unwrap().unknown, ["stranger"]);

    let file = store.diff_dir(&id).join("f");
    File::options().write(true).open(&file).unwrap().write_all(b"CONTENT").unwrap();
    store.verify(&id, Depth::Shape, &|| true).unwrap();
    assert!(store.verify(&id, Depth::Content, &|| true).unwrap_err().to_string().contains("does not match its digest"));
    fs::write(&file, b"c").unwrap();
    assert!(store.verify(&id, Depth::Shape, &|| true).unwrap_err().to_string().contains("shorter"));
    fs::remove_file(&file).unwrap();
    assert!(store.verify(&id, Depth::Shape, &|| true).is_err());
    assert!(store.verify(&id, Depth::Content, &|| false).is_err());
}
