//! What a good layer becomes on disk.

use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use cubby_image::Digest;
use rustix::fs::lgetxattr;

use super::{
    build::{Head, Tar, checksum, gzip},
    store,
};

/// Unpacks, checks the digests and that the stream can be made again, and hands the tree on.
fn unpacked(tar: Vec<u8>, look: impl FnOnce(&Path)) {
    let Some((_dir, store)) = store() else { return };
    let staged = store.unpack(gzip(&tar).as_slice()).unwrap();
    assert_eq!(*staged.diff_id(), Digest::of(&tar));
    assert_eq!(*staged.blob(), Digest::of(&gzip(&tar)));
    let pins = store.commit(vec![staged]).unwrap();
    let mut again = Vec::new();
    store.write_tar(pins[0].diff_id(), &mut again).unwrap();
    assert!(again == tar, "the stream is made again byte for byte");
    assert_eq!(store.tar_bytes(pins[0].diff_id()).unwrap(), tar.len() as u64);
    look(&store.diff_dir(pins[0].diff_id()));
}

fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = [0; 256];
    lgetxattr(path, name, &mut value[..]).ok().map(|n| value[..n].to_vec())
}

#[test]
fn owners_modes_times_and_kinds() {
    let tar = Tar::default()
        .raw(&Head { mode: 0o1777, mtime: 5, ..Head::new("tmp/", b'5') }, b"")
        .raw(
            &Head { mode: 0o4755, uid: 70_000, gid: 3_000_000_000, size: 2, mtime: 7, ..Head::new("tmp/su", b'0') },
            b"hi",
        )
        .symlink("tmp/link", "/etc/passwd")
        .hard_link("tmp/same", "tmp/su")
        .raw(&Head { device: (1, 3), mode: 0o666, ..Head::new("null", b'3') }, b"")
        .raw(&Head::new("pipe", b'6'), b"")
        .end();
    unpacked(tar, |root| {
        let tmp = fs::metadata(root.join("tmp")).unwrap();
        assert_eq!((tmp.permissions().mode() & 0o7777, tmp.mtime()), (0o1777, 5));
        let su = fs::metadata(root.join("tmp/su")).unwrap();
        assert_eq!(
            (su.permissions().mode() & 0o7777, su.uid(), su.gid(), su.mtime()),
            (0o4755, 70_000, 3_000_000_000, 7)
        );
        assert_eq!(fs::read_link(root.join("tmp/link")).unwrap(), PathBuf::from("/etc/passwd"));
        assert_eq!(fs::metadata(root.join("tmp/same")).unwrap().ino(), su.ino());
        let null = fs::metadata(root.join("null")).unwrap();
        assert!(null.file_type().is_char_device());
        assert_eq!(null.rdev(), rustix::fs::makedev(1, 3));
        assert!(fs::metadata(root.join("pipe")).unwrap().file_type().is_fifo());
    });
}

#[test]
fn whiteouts_become_overlayfs_own() {
    let tar = Tar::default()
        .dir("etc/")
        .file("etc/.wh.gone", b"")
        .dir("opaque/")
        .file("opaque/.wh..wh..opq", b"")
        .file("opaque/new", b"x")
        .file(".wh..wh.plnk", b"")
        .file(".wh.replaced", b"")
        .dir("replaced/")
        .dir("also/")
        .file(".wh.also", b"")
        .end();
    unpacked(tar, |root| {
        let gone = fs::symlink_metadata(root.join("etc/gone")).unwrap();
        assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
        for dir in ["opaque", "replaced", "also"] {
            assert_eq!(xattr(&root.join(dir), "trusted.overlay.opaque").as_deref(), Some(b"y".as_slice()), "{dir}");
        }
        assert_eq!(xattr(&root.join("etc"), "trusted.overlay.opaque"), None);
        assert!(!root.join(".wh..wh.plnk").exists());
    });
}

#[test]
fn long_names_in_every_notation() {
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(200));
    let tar = Tar::default()
        .pax(&[("path", long.as_bytes()), ("mtime", b"12.5")])
        .file("short", b"pax")
        .gnu_long(b'L', format!("gnu/{long}").as_bytes())
        .file("short", b"gnu")
        .gnu_long(b'K', long.as_bytes())
        .symlink("link", "short")
        .end();
    unpacked(tar, |root| {
        assert_eq!(fs::read(root.join(&long)).unwrap(), b"pax");
        assert_eq!(fs::metadata(root.join(&long)).unwrap().mtime_nsec(), 500_000_000);
        assert_eq!(fs::read(root.join("gnu").join(&long)).unwrap(), b"gnu");
        assert_eq!(fs::read_link(root.join("link")).unwrap(), PathBuf::from(long));
    });
}

#[test]
fn attributes_are_kept_but_not_orders_to_overlayfs() {
    // VFS_CAP_REVISION_2, CAP_NET_BIND_SERVICE permitted and effective.
    let capability: &[u8] = &[1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let tar = Tar::default()
        .pax(&[
            ("SCHILY.xattr.security.capability", capability),
            ("SCHILY.xattr.user.note", b"kept"),
            ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
        ])
        .raw(&Head { uid: 1000, size: 1, ..Head::new("server", b'0') }, b"x")
        .pax(&[("SCHILY.xattr.trusted.overlay.opaque", b"y")])
        .dir("dir/")
        .end();
    unpacked(tar, |root| {
        assert_eq!(xattr(&root.join("server"), "security.capability").as_deref(), Some(capability));
        assert_eq!(xattr(&root.join("server"), "trusted.overlay.redirect"), None);
        assert_eq!(xattr(&root.join("dir"), "trusted.overlay.opaque"), None);
    });
}

#[test]
fn sparse_files_have_their_holes() {
    let mut old = Head { size: 1024, ..Head::new("old", b'S') }.block();
    for (at, text) in
        [(386, "00000000000"), (398, "00000001000"), (410, "00040000000"), (422, "00000001000"), (483, "00040001000")]
    {
        old[at..at + 11].copy_from_slice(text.as_bytes());
    }
    checksum(&mut old);
    let mut tar = Tar::default();
    tar.0.extend(old);
    tar.0.extend([b'a'; 512]);
    tar.0.extend([b'b'; 512]);
    let map = b"2\n0\n3\n1048576\n2\n";
    let payload = [map.as_slice(), &vec![0; 512 - map.len()], b"abcde"].concat();
    let tar = tar
        .pax(&[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", b"pax"),
            ("GNU.sparse.realsize", b"2097152"),
        ])
        .raw(&Head { size: payload.len() as u64, ..Head::new("GNUSparseFile.0/pax", b'0') }, &payload)
        .end();
    unpacked(tar, |root| {
        let old = fs::read(root.join("old")).unwrap();
        assert_eq!(old.len(), 0o40001000);
        assert_eq!((old[0], old[512], old[0o40000000], old[old.len() - 1]), (b'a', 0, b'b', b'b'));
        assert!(fs::metadata(root.join("old")).unwrap().blocks() * 512 < 100_000);
        let pax = fs::read(root.join("pax")).unwrap();
        assert_eq!(
            (pax.len(), &pax[..4], &pax[1_048_576..1_048_579]),
            (2_097_152, b"abc\0".as_slice(), b"de\0".as_slice())
        );
    });
}

#[test]
fn later_entries_replace_earlier_ones() {
    let tar = Tar::default()
        .file("a", b"first")
        .hard_link("b", "a")
        .file("a", b"second")
        .dir("tree/")
        .file("tree/x", b"in a tree")
        .file("tree", b"now a file")
        .symlink("way", "/nowhere")
        .dir("way/")
        .file("way/in", b"x")
        .file("a", b"third")
        .end();
    unpacked(tar, |root| {
        assert_eq!(fs::read(root.join("a")).unwrap(), b"third");
        assert_eq!(fs::read(root.join("b")).unwrap(), b"first");
        assert_eq!(fs::read(root.join("tree")).unwrap(), b"now a file");
        assert_eq!(fs::read(root.join("way/in")).unwrap(), b"x");
    });
}

#[test]
fn links_within_the_layer_lead_the_way() {
    let tar = Tar::default()
        .dir("usr/lib/")
        .symlink("lib", "usr/lib")
        .file("lib/so", b"x")
        .file("no/parents/here", b"y")
        .end();
    unpacked(tar, |root| {
        assert_eq!(fs::read(root.join("usr/lib/so")).unwrap(), b"x");
        assert_eq!(fs::metadata(root.join("no/parents")).unwrap().permissions().mode() & 0o7777, 0o755);
    });
}

#[test]
fn a_stream_that_ends_with_the_last_content_is_whole_and_one_that_ends_within_is_not() {
    let whole = Tar::default().file("first", b"1").file("greeting", b"by umoci").0;
    let bare = whole[..whole.len() - 512 + 8].to_vec();
    unpacked(bare.clone(), |tree| assert_eq!(fs::read(tree.join("greeting")).unwrap(), b"by umoci"));
    let Some((_dir, store)) = store() else { return };
    let cut = &bare[..bare.len() - 1];
    assert!(store.unpack(cut).is_err_and(|error| error.to_string().contains("unexpected EOF")));
}
