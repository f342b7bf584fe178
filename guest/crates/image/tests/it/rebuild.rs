//! Whatever a layer holds: it is refused, or its stream can be made again byte for byte.

use cubby_image::Digest;
use proptest::{collection::vec, prelude::*};

use super::build::{Head, Tar};

#[derive(Clone, Debug)]
enum Op {
    File(String, Vec<u8>),
    Dir(String),
    Symlink(String, String),
    HardLink(String, String),
    Fifo(String),
}

fn name() -> impl Strategy<Value = String> {
    // Few names, so that entries replace and pass through each other.
    "(\\.\\./|/|\\./)?[ab](/(\\.wh\\.)?[ab]){0,3}/?|\\.wh\\.[ab]|a/\\.wh\\.\\.wh\\.\\.opq"
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (name(), vec(any::<u8>(), 0..700)).prop_map(|(name, content)| Op::File(name, content)),
        3 => name().prop_map(Op::Dir),
        2 => (name(), name()).prop_map(|(name, target)| Op::Symlink(name, target)),
        2 => (name(), name()).prop_map(|(name, target)| Op::HardLink(name, target)),
        1 => name().prop_map(Op::Fifo),
    ]
}

fn tar(ops: &[Op]) -> Vec<u8> {
    let tar = ops.iter().fold(Tar::default(), |tar, op| match op {
        Op::File(name, content) => tar.file(name.trim_end_matches('/'), content),
        Op::Dir(name) => tar.dir(name),
        Op::Symlink(name, target) => tar.symlink(name.trim_end_matches('/'), target),
        Op::HardLink(name, target) => tar.hard_link(name.trim_end_matches('/'), target),
        Op::Fifo(name) => tar.raw(&Head::new(name.trim_end_matches('/'), b'6'), b""),
    });
    tar.end()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn refused_or_made_again(ops in vec(op(), 0..12)) {
        let Some((dir, store)) = super::store_in_memory() else { return Ok(()) };
        let tar = tar(&ops);
        match store.unpack(tar.as_slice()) {
            Err(_) => prop_assert!(super::is_pristine(dir.path())),
            Ok(staged) => {
                prop_assert_eq!(*staged.diff_id(), Digest::of(&tar));
                let pins = store.commit(vec![staged]).unwrap();
                let mut again = Vec::new();
                store.write_tar(pins[0].diff_id(), &mut again).unwrap();
                prop_assert!(again == tar);
            }
        }
        prop_assert_eq!(super::names(dir.path()), ["layers"], "nothing outside");
    }
}
