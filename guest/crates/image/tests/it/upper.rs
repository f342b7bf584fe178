//! What a container changed becomes a layer that shows the same tree.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::PathBuf,
};

use cubby_image::{
    layer::write_upper,
    snapshot::{Access, mount_detached, prepare},
};
use rustix::fs::{AtFlags, XattrFlags, lsetxattr, statat, unlinkat};

use super::{build::Tar, store};

#[test]
fn a_committed_upper_directory_shows_the_same_tree() {
    let Some((dir, store)) = store() else { return };
    let long = "n".repeat(150);
    let base = Tar::default().dir("d/").file("d/gone", b"x").dir("old/").file("old/x", b"x").file("kept", b"k").end();
    let base = store.commit(vec![store.unpack(base.as_slice()).unwrap()]).unwrap().remove(0);
    let lowers = vec![store.diff_dir(base.diff_id())];
    let (upper, work) = prepare(&dir.path().join("c")).unwrap();
    let root = mount_detached(&lowers, Access::Writable { upper: &upper, work: &work }).unwrap();
    let at = |path: &str| PathBuf::from(format!("/proc/self/fd/{}/{path}", std::os::fd::AsRawFd::as_raw_fd(&root)));
    unlinkat(&root, "d/gone", AtFlags::empty()).unwrap();
    fs::remove_dir_all(at("old")).unwrap();
    fs::create_dir(at("old")).unwrap();
    fs::write(at("old/y"), "y").unwrap();
    fs::write(at(&long), "long").unwrap();
    fs::hard_link(at(&long), at("same")).unwrap();
    symlink("/etc/passwd", at("link")).unwrap();
    fs::set_permissions(at("same"), fs::Permissions::from_mode(0o4711)).unwrap();
    std::os::unix::fs::chown(at("old/y"), Some(3_000_000), Some(7)).unwrap();
    lsetxattr(at("old/y"), "user.note", b"kept", XattrFlags::empty()).unwrap();

    let mut tar = Vec::new();
    write_upper(&upper, &mut tar).unwrap();
    let layer = store.commit(vec![store.unpack(tar.as_slice()).unwrap()]).unwrap().remove(0);
    let stack = [store.diff_dir(layer.diff_id()), lowers[0].clone()];
    let again = mount_detached(&stack, Access::ReadOnly).unwrap();
    let stat = |path: &str| statat(&again, path, AtFlags::SYMLINK_NOFOLLOW);
    assert!(stat("d/gone").is_err() && stat("old/x").is_err());
    assert!(stat("kept").is_ok() && stat("d").is_ok());
    let y = stat("old/y").unwrap();
    assert_eq!((y.st_uid, y.st_gid, y.st_size), (3_000_000, 7, 1));
    assert_eq!(stat(&long).unwrap().st_ino, stat("same").unwrap().st_ino);
    assert_eq!(stat("same").unwrap().st_mode & 0o7777, 0o4711);
    let mut value = [0; 16];
    let n = rustix::fs::lgetxattr(store.diff_dir(layer.diff_id()).join("old/y"), "user.note", &mut value[..]).unwrap();
    assert_eq!(&value[..n], b"kept");
}

#[test]
fn links_in_an_upper_directory_are_never_followed() {
    let Some((dir, _store)) = store() else { return };
    let (upper, _) = prepare(&dir.path().join("c")).unwrap();
    fs::write(dir.path().join("secret"), "secret").unwrap();
    symlink(dir.path().join("secret"), upper.join("file")).unwrap();
    symlink(dir.path(), upper.join("directory")).unwrap();
    let mut tar = Vec::new();
    write_upper(&upper, &mut tar).unwrap();
    let mut archive = tar::Archive::new(tar.as_slice());
    let kinds: Vec<_> = archive.entries().unwrap().map(|entry| entry.unwrap().header().entry_type()).collect();
    assert_eq!(kinds, [tar::EntryType::Symlink, tar::EntryType::Symlink]);
}
