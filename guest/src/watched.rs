//! Whether somebody watches a file: the kernel lists every inotify mark below `/proc`.
//!
//! Where another's server has the shared folders, repeating a change costs it work (and an installation in a container makes tens of
//! thousands of them), so only what a watcher can hear is repeated.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, io};

/// A list as old as this is made anew.
const FRESH: Duration = Duration::from_millis(500);

/// Device and inode, as `/proc` has them.
type Mark = (u64, u64);

/// What is watched on some devices.
#[derive(Debug)]
pub struct Watched {
    devices: HashSet<u64>,
    marks: HashSet<Mark>,
    listed: Option<Instant>,
}

impl Watched {
    /// On what is mounted below `root`; `None`: nothing is.
    pub fn below(root: &str) -> Option<Watched> {
        let devices = devices(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default(), root);
        (!devices.is_empty()).then(|| Watched { devices, marks: HashSet::new(), listed: None })
    }

    /// Whether anybody would hear of a change of it: who watches it, or its directory.
    pub fn hears(&mut self, path: &Path) -> bool {
        if self.listed.is_none_or(|listed| listed.elapsed() >= FRESH) {
            self.marks = marks(Path::new("/proc")).filter(|(device, _)| self.devices.contains(device)).collect();
            self.listed = Some(Instant::now());
        }
        // Nobody at all: not even a look is needed.
        !self.marks.is_empty()
            && [Some(path), path.parent()].into_iter().flatten().any(|path| {
                fs::symlink_metadata(path).is_ok_and(|found| self.marks.contains(&(device(found.dev()), found.ino())))
            })
    }
}

/// Devices of what is mounted below a path. Source: proc_pid_mountinfo(5), fields 3 and 5.
fn devices(mountinfo: &str, root: &str) -> HashSet<u64> {
    let of = |line: &str| {
        let mut fields = line.split(' ').skip(2);
        let (major, minor) = fields.next()?.split_once(':')?;
        let below = fields.nth(1)?.strip_prefix(root)?.starts_with('/');
        below.then_some(number(major.parse().ok()?, minor.parse().ok()?))
    };
    mountinfo.lines().filter_map(of).collect()
}

/// Every process's. One that ends meanwhile watches nothing.
fn marks(proc: &Path) -> impl Iterator<Item = Mark> {
    let processes = fs::read_dir(proc).into_iter().flatten().flatten();
    let processes = processes.filter(|entry| entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit));
    processes.flat_map(|process| of_process(&process.path()).unwrap_or_default())
}

fn of_process(process: &Path) -> io::Result<Vec<Mark>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(process.join("fd"))? {
        let entry = entry?;
        if fs::read_link(entry.path()).is_ok_and(|link| link.as_os_str() == "anon_inode:inotify") {
            let info = fs::read_to_string(process.join("fdinfo").join(entry.file_name())).unwrap_or_default();
            found.extend(info.lines().filter_map(mark));
        }
    }
    Ok(found)
}

/// `inotify wd:1 ino:2a sdev:1f mask:…`, in hexadecimal. Source: the kernel's fs/notify/fdinfo.c.
fn mark(line: &str) -> Option<Mark> {
    let value = |name: &str| {
        let field = line.split(' ').find_map(|field| field.strip_prefix(name))?;
        u64::from_str_radix(field, 16).ok()
    };
    line.starts_with("inotify ").then_some((value("sdev:")?, value("ino:")?))
}

fn device(stat: u64) -> u64 {
    number(rustix::fs::major(stat).into(), rustix::fs::minor(stat).into())
}

/// As the kernel keeps it. Source: include/linux/kdev_t.h, `MKDEV`.
fn number(major: u64, minor: u64) -> u64 {
    major << 20 | minor
}

#[cfg(test)]
mod tests {
    use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

    use super::*;

    #[test]
    fn who_watches_a_directory_hears_what_is_in_it() {
        // Not the temporary directory, which may be an overlay: those show other devices than the kernel's marks have.
        let root = Path::new("/dev/shm").join(format!("cubby-watched-{}", std::process::id()));
        fs::create_dir_all(root.join("seen/deep")).unwrap();
        fs::write(root.join("alone"), "").unwrap();
        fs::write(root.join("beside"), "").unwrap();
        let watch = inotify::init(CreateFlags::CLOEXEC).unwrap();
        inotify::add_watch(&watch, root.join("seen"), WatchFlags::MODIFY).unwrap();
        inotify::add_watch(&watch, root.join("alone"), WatchFlags::MODIFY).unwrap();
        let devices = HashSet::from([device(fs::metadata(&root).unwrap().dev())]);
        let mut watched = Watched { devices, marks: HashSet::new(), listed: None };
        let mut hears = |name: &str| watched.hears(&root.join(name));
        assert!(hears("seen") && hears("seen/deep") && hears("seen/gone") && hears("alone"));
        assert!(!hears("seen/deep/er") && !hears("beside"));
        let mut elsewhere = Watched { devices: HashSet::new(), marks: HashSet::new(), listed: None };
        assert!(!elsewhere.hears(&root.join("seen")));
        drop(watch);
        watched.listed = None;
        assert!(!watched.hears(&root.join("seen")));
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn devices_are_those_of_the_folders() {
        let mountinfo = "22 1 0:2 / / rw - rootfs rootfs rw\n31 22 0:30 / /run/host/Users/jo rw - virtiofs share0 rw\n\
            33 22 8:1 / /run/hosts rw - ext4 x rw\n35 22 8:3 / /run/host/c rw - 9p share1 rw\n";
        assert_eq!(devices(mountinfo, "/run/host"), HashSet::from([30, 8 << 20 | 3]));
        assert_eq!(mark("inotify wd:2 ino:2a sdev:800003 mask:2 ignored_mask:0"), Some((8 << 20 | 3, 42)));
        assert_eq!(mark("pos:\t0"), None);
    }
}
