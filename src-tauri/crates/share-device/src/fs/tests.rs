//! Operations against a real directory, as the server calls them.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::*;
use crate::abi::{SetattrIn, setattr};
use crate::happened::{Created, Happened};
use crate::watch::{Name, Seen};

const ROOT: Caller = Caller { uid: 0, gid: 0, pid: 1 };
const AGENT: Caller = Caller { uid: 0, gid: 0, pid: 77 };

struct Case {
    fs: Fs,
    dir: tempfile::TempDir,
    /// The shared folder and a directory beside it that is not shared.
    share: PathBuf,
    outside: PathBuf,
}

impl Case {
    fn new() -> Case {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        let (share, outside) = (base.join("share"), base.join("outside"));
        std::fs::create_dir(&share).unwrap();
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("secret"), "secret").unwrap();
        let (folders, errors) = Folders::new([share.clone()]);
        assert!(errors.is_empty());
        Case { fs: Fs::new(folders, None), dir, share, outside }
    }

    fn walk(&self, path: &Path) -> Result<u64> {
        path.strip_prefix("/")
            .unwrap()
            .iter()
            .try_fold(ROOT_ID, |dir, name| Ok(self.fs.look_up(ROOT, dir, name)?.node.id))
    }

    fn root(&self) -> u64 {
        self.walk(&self.share).unwrap()
    }

    fn look_up(&self, name: &str) -> Result<Entry> {
        self.fs.look_up(ROOT, self.root(), OsStr::new(name))
    }

    fn list(&self, fh: u64, limit: usize) -> (Vec<String>, u64) {
        let mut listing = Listing::new(limit, false);
        let mut names = Vec::new();
        let mut offset = 0;
        loop {
            self.fs.read_dir(fh, offset, &mut listing).unwrap();
            let bytes = std::mem::replace(&mut listing, Listing::new(limit, false)).into_bytes();
            let mut rest = &bytes[..];
            if rest.is_empty() {
                return (names, offset);
            }
            while !rest.is_empty() {
                let len = u32::from_ne_bytes(rest[16..20].try_into().unwrap()) as usize;
                offset = u64::from_ne_bytes(rest[8..16].try_into().unwrap());
                names.push(String::from_utf8(rest[24..24 + len].to_vec()).unwrap());
                rest = &rest[(24 + len).next_multiple_of(8)..];
            }
        }
    }
}

fn error<T>(result: Result<T>) -> Errno {
    match result {
        Ok(_) => panic!("it was allowed"),
        Err(err) => err,
    }
}

#[test]
fn no_name_and_no_link_leads_out() {
    let case = Case::new();
    for name in ["..", ".", "", "../outside", "a/b", "a\0b"] {
        assert_eq!(error(case.look_up(name)), Errno::INVAL, "{name:?}");
        assert_eq!(error(case.fs.make_dir(ROOT, case.root(), OsStr::new(name), 0o755)), Errno::INVAL, "{name:?}");
    }
    symlink(&case.outside, case.share.join("dir")).unwrap();
    symlink(case.outside.join("secret"), case.share.join("file")).unwrap();
    symlink(case.outside.join("new"), case.share.join("new")).unwrap();
    let link = case.look_up("dir").unwrap();
    assert_eq!(link.attr.mode & libc::S_IFMT, libc::S_IFLNK);
    assert_eq!(case.fs.read_link(link.node.id).unwrap(), case.outside.as_os_str().as_encoded_bytes());
    assert_eq!(error(case.fs.look_up(ROOT, link.node.id, OsStr::new("secret"))), Errno::NOTDIR);
    assert_eq!(error(case.fs.open_dir(link.node.id)), Errno::NOTDIR);
    let file = case.look_up("file").unwrap().node.id;
    assert_eq!(error(case.fs.open(ROOT, file, 0)), Errno::STALE);
    let flags = libc::O_RDWR as u32;
    assert_eq!(error(case.fs.create(ROOT, case.root(), OsStr::new("new"), flags, 0o644)), Errno::LOOP);
    assert!(!case.outside.join("new").exists());
}

#[test]
fn a_directory_that_becomes_a_link_still_is_the_directory() {
    let case = Case::new();
    std::fs::create_dir(case.share.join("d")).unwrap();
    let dir = case.look_up("d").unwrap().node.id;
    std::fs::rename(case.share.join("d"), case.share.join("moved")).unwrap();
    symlink(&case.outside, case.share.join("d")).unwrap();
    case.fs.make_dir(ROOT, dir, OsStr::new("made"), 0o755).unwrap();
    assert!(case.share.join("moved/made").is_dir());
    assert!(!case.outside.join("made").exists());
    assert_eq!(error(case.fs.look_up(ROOT, dir, OsStr::new("secret"))), Errno::NOENT);
}

#[test]
fn a_file_that_becomes_something_else_is_not_opened() {
    let case = Case::new();
    std::fs::write(case.share.join("f"), "mine").unwrap();
    let file = case.look_up("f").unwrap().node.id;
    std::fs::remove_file(case.share.join("f")).unwrap();
    symlink(case.outside.join("secret"), case.share.join("f")).unwrap();
    assert_eq!(error(case.fs.open(ROOT, file, 0)), Errno::STALE);
    assert_eq!(error(case.fs.get_attr(file)), Errno::STALE);
    assert_eq!(
        error(case.fs.set_attr(ROOT, file, &SetattrIn { valid: setattr::SIZE, ..SetattrIn::default() })),
        Errno::STALE
    );
    std::fs::remove_file(case.share.join("f")).unwrap();
    case.fs.make_node(ROOT, case.root(), OsStr::new("f"), libc::S_IFIFO | 0o666).unwrap();
    let pipe = case.look_up("f").unwrap().node.id;
    assert_eq!(error(case.fs.open(ROOT, pipe, 0)), Errno::INVAL, "nobody waits for a pipe's other end");
    assert_eq!(std::fs::read_to_string(case.outside.join("secret")).unwrap(), "secret");
}

#[test]
fn devices_and_set_id_bits_are_not_made() {
    let case = Case::new();
    let root = case.root();
    for kind in [libc::S_IFCHR, libc::S_IFBLK] {
        assert_eq!(error(case.fs.make_node(ROOT, root, OsStr::new("dev"), kind | 0o666)), Errno::PERM);
    }
    let (made, _) = case.fs.create(ROOT, root, OsStr::new("f"), libc::O_RDWR as u32, 0o6755).unwrap();
    assert_eq!(made.attr.mode & 0o7777, 0o755);
    let asked = SetattrIn { valid: setattr::MODE, mode: 0o6711, ..SetattrIn::default() };
    let attr = case.fs.set_attr(ROOT, made.node.id, &asked).unwrap().attr;
    assert_eq!(attr.mode & 0o7777, 0o711);
    assert_eq!(std::fs::metadata(case.share.join("f")).unwrap().permissions().mode() & 0o7777, 0o711);
}

#[test]
fn files_are_the_containers_inside_and_ours_outside() {
    let case = Case::new();
    let root = case.root();
    let us = rustix::process::geteuid().as_raw();
    let www = Caller { uid: 33, gid: 34, pid: 1 };
    let (file, _) = case.fs.create(www, root, OsStr::new("f"), libc::O_RDWR as u32, 0o444).unwrap();
    assert_eq!((file.attr.uid, file.attr.gid), (33, 34));
    assert_eq!(std::fs::metadata(case.share.join("f")).unwrap().uid(), us);
    let (mine, _) = case.fs.create(ROOT, root, OsStr::new("g"), libc::O_RDWR as u32, 0o644).unwrap();
    assert_eq!((mine.attr.uid, mine.attr.gid), (0, 0));

    let chown = SetattrIn { valid: setattr::UID, uid: 999, ..SetattrIn::default() };
    let attr = case.fs.set_attr(ROOT, file.node.id, &chown).unwrap().attr;
    assert_eq!((attr.uid, attr.gid, attr.mode & 0o777), (999, 34, 0o444), "a read-only file, too");
    assert_eq!(case.fs.list_xattr(file.node.id).unwrap(), b"");
    assert_eq!(error(case.fs.set_xattr(file.node.id, OsStr::new(attr::OWNER), b"0:0", 0)), Errno::PERM);
    assert_eq!(error(case.fs.set_xattr(mine.node.id, OsStr::new("security.capability"), b"x", 0)), Errno::OPNOTSUPP);
    case.fs.set_xattr(mine.node.id, OsStr::new("user.note"), b"hello", 0).unwrap();
    assert_eq!(case.fs.get_xattr(mine.node.id, OsStr::new("user.note")).unwrap(), b"hello");
    assert_eq!(case.fs.list_xattr(mine.node.id).unwrap(), b"user.note\0");
}

#[test]
fn an_open_file_outlives_its_name() {
    let case = Case::new();
    let root = case.root();
    let (file, opened) = case.fs.create(ROOT, root, OsStr::new("f"), libc::O_RDWR as u32, 0o644).unwrap();
    case.fs.remove(ROOT, root, OsStr::new("f"), false).unwrap();
    assert_eq!(case.fs.get_attr(file.node.id).unwrap().attr.nlink, 0);
    let size = SetattrIn { valid: setattr::SIZE, size: 5, ..SetattrIn::default() };
    assert_eq!(case.fs.set_attr(ROOT, file.node.id, &size).unwrap().attr.size, 5);
    case.fs.release(opened.fh);
    assert_eq!(error(case.fs.get_attr(file.node.id)), Errno::STALE);
}

#[test]
fn renames_and_links_keep_the_node() {
    let case = Case::new();
    let root = case.root();
    std::fs::write(case.share.join("a"), "a").unwrap();
    std::fs::write(case.share.join("b"), "b").unwrap();
    let (a, b) = (case.look_up("a").unwrap().node.id, case.look_up("b").unwrap().node.id);
    case.fs.rename(ROOT, (root, OsStr::new("a")), (root, OsStr::new("c")), 0).unwrap();
    assert_eq!(case.look_up("c").unwrap().node.id, a);
    case.fs.get_attr(a).unwrap();
    let exchange = rustix::fs::RenameFlags::EXCHANGE.bits();
    case.fs.rename(ROOT, (root, OsStr::new("b")), (root, OsStr::new("c")), exchange).unwrap();
    assert_eq!(case.fs.get_attr(b).unwrap().attr.size, 1);
    assert_eq!(std::fs::read_to_string(case.share.join("c")).unwrap(), "b");
    let linked = case.fs.link(b, root, OsStr::new("d")).unwrap();
    assert_eq!((linked.node.id, linked.attr.nlink), (b, 2));
    let whiteout = rustix::fs::RenameFlags::WHITEOUT.bits();
    assert_eq!(error(case.fs.rename(ROOT, (root, OsStr::new("d")), (root, OsStr::new("e")), whiteout)), Errno::PERM);
}

#[test]
fn a_listing_is_whole_however_small_the_buffer() {
    let case = Case::new();
    let wanted: BTreeSet<String> = (0..700).map(|n| format!("file-{n:04}-{}", "x".repeat(n % 60))).collect();
    for name in &wanted {
        std::fs::write(case.share.join(name), "").unwrap();
    }
    let fh = case.fs.open_dir(case.root()).unwrap().fh;
    for limit in [160, 1000, 4096, 200_000] {
        let (names, _) = case.list(fh, limit);
        assert_eq!(names.len(), wanted.len() + 2, "{limit}");
        let found: BTreeSet<String> = names.into_iter().filter(|name| name != "." && name != "..").collect();
        assert_eq!(found, wanted, "{limit}");
    }
}

#[test]
fn the_way_to_a_folder_shows_nothing_else_and_a_folder_may_come_back() {
    let case = Case::new();
    let above = case.walk(case.share.parent().unwrap()).unwrap();
    let fh = case.fs.open_dir(above).unwrap().fh;
    assert_eq!(case.list(fh, 4096).0, [".", "..", "share"]);
    assert_eq!(error(case.fs.look_up(ROOT, above, OsStr::new("outside"))), Errno::NOENT);
    assert_eq!(error(case.fs.make_dir(ROOT, above, OsStr::new("x"), 0o755)), Errno::ACCESS);
    std::fs::remove_dir(&case.share).unwrap();
    assert_eq!(error(case.walk(&case.share)), Errno::NOENT);
    std::fs::create_dir(&case.share).unwrap();
    std::fs::write(case.share.join("again"), "").unwrap();
    case.look_up("again").unwrap();
    std::fs::remove_dir_all(&case.share).unwrap();
    symlink(&case.outside, &case.share).unwrap();
    assert!(case.walk(&case.share).is_err(), "a link in the folder's place is not the folder");
}

#[test]
fn what_is_looked_up_twice_is_one_node_that_is_forgotten_twice() {
    let case = Case::new();
    std::fs::create_dir(case.share.join("d")).unwrap();
    std::fs::write(case.share.join("f"), "").unwrap();
    for name in ["d", "f"] {
        let node = case.look_up(name).unwrap().node.id;
        assert_eq!(case.look_up(name).unwrap().node.id, node);
        case.fs.forget(node, 1);
        case.fs.get_attr(node).unwrap();
        case.fs.forget(node, 1);
        assert_eq!(error(case.fs.get_attr(node)), Errno::STALE);
    }
}

#[test]
fn what_the_guest_forgets_is_let_go() {
    let case = Case::new();
    let before = case.fs.held();
    for name in ["a", "b"] {
        std::fs::create_dir(case.share.join(name)).unwrap();
    }
    let root = case.root();
    let ids: Vec<_> = ["a", "b"].iter().map(|name| case.look_up(name).unwrap().node.id).collect();
    for id in ids {
        case.fs.forget(id, 1);
        case.fs.forget(id, u64::MAX);
    }
    case.fs.forget(root, u64::MAX);
    case.fs.forget(ROOT_ID, u64::MAX);
    assert_eq!(case.fs.held(), before);
    assert!(case.fs.look_up(ROOT, ROOT_ID, OsStr::new("no such")).is_err());
    drop(case.dir);
}

fn changed(dir: u64, name: &str, mask: u64) -> Seen {
    Seen::Changed { name: Name { dir, name: name.into() }, mask }
}

#[test]
fn the_agent_sees_the_world_before_and_changes_nothing() {
    let case = Case::new();
    let root = case.root();
    case.fs.set_agent(Some(AGENT.pid));
    std::fs::write(case.share.join("b"), "moved").unwrap();
    let name = |name: &str| Name { dir: root, name: name.into() };
    let steps = case.fs.steps(&Seen::Moved { from: name("a"), to: name("b") });
    let moved = Happened::Moved { from: case.share.join("a"), to: case.share.join("b") };
    assert_eq!(steps.iter().map(|step| step.happened.clone()).collect::<Vec<_>>(), [moved]);
    case.fs.script(&steps);
    let look = |caller, name: &str| case.fs.look_up(caller, root, OsStr::new(name));
    assert_eq!(look(AGENT, "a").unwrap().attr.mode & libc::S_IFMT, libc::S_IFREG);
    assert_eq!(error(look(AGENT, "b")), Errno::NOENT);
    assert_eq!(error(look(ROOT, "a")), Errno::NOENT);
    look(ROOT, "b").unwrap();
    case.fs.rename(AGENT, (root, OsStr::new("a")), (root, OsStr::new("b")), 0).unwrap();
    case.fs.remove(AGENT, root, OsStr::new("b"), false).unwrap();
    assert_eq!(std::fs::read_to_string(case.share.join("b")).unwrap(), "moved");
    case.fs.script(&[]);
    look(AGENT, "b").unwrap();
    for agent in [Some(AGENT.pid), None, Some(5)] {
        case.fs.set_agent(agent);
        case.fs.remove(AGENT, root, OsStr::new("b"), false).unwrap();
        assert!(case.share.join("b").exists(), "what arrives late is not done either: {agent:?}");
    }
    case.fs.remove(ROOT, root, OsStr::new("b"), false).unwrap();
    assert!(!case.share.join("b").exists());
}

#[test]
fn merged_events_come_in_the_order_that_the_outcome_tells() {
    let case = Case::new();
    let root = case.root();
    let both = libc::FAN_CREATE | libc::FAN_DELETE | libc::FAN_MODIFY | libc::FAN_CLOSE_WRITE;
    let path = case.share.join("f");
    let steps = |mask| -> Vec<Happened> {
        case.fs.steps(&changed(root, "f", mask)).into_iter().map(|step| step.happened).collect()
    };
    assert_eq!(steps(both), [Happened::Removed { path: path.clone(), directory: false }]);
    std::fs::write(&path, "now").unwrap();
    let wanted = [
        Happened::Removed { path: path.clone(), directory: false },
        Happened::Created { path: path.clone(), what: Created::File },
        Happened::Modified { path: path.clone() },
        Happened::Written { path: path.clone() },
    ];
    assert_eq!(steps(both), wanted);
    assert!(case.fs.steps(&changed(999_999, "f", both)).is_empty(), "a directory that is known no more");
}
