//! The host's disk, and the machine's on it.

use std::fs;
use std::io::Read;
#[cfg(not(windows))]
use std::io::{Seek, SeekFrom};
use std::path::Path;

use cubby_machine::system;

use super::{Finding, fail, ok, warn};
use crate::dirs::Dirs;

pub(super) fn space(dirs: &Dirs) -> Finding {
    const WHAT: &str = "disk space";
    // The directory may not exist yet; its nearest ancestor does.
    let place = dirs.state.ancestors().find(|dir| dir.is_dir()).unwrap_or(Path::new("/"));
    let Some((free_bytes, _)) = free_and_total(place) else {
        return warn(WHAT, format!("{} cannot be asked", place.display()), "check that disk");
    };
    let free_mib = free_bytes >> 20;
    let found = format!("{free_mib} MiB free in {}", place.display());
    match free_mib {
        0..256 => fail(WHAT, found, "make room: the machine does not start with less than 256 MiB"),
        256..2048 => warn(WHAT, found, "make room: images need it"),
        _ => ok(WHAT, found),
    }
}

/// Bytes that are free for us, and all, where `place` is.
pub(crate) fn free_and_total(place: &Path) -> Option<(u64, u64)> {
    system::free_and_total_bytes(place)
}

/// It holds a filesystem of a machine's data that never noticed an error.
pub(crate) fn is_sound(disk: &Path) -> bool {
    Filesystem::read(disk) == Filesystem::Sound
}

pub(super) fn data_disk(dirs: &Dirs) -> Finding {
    const WHAT: &str = "data disk";
    let path = dirs.data_disk();
    match fs::symlink_metadata(&path) {
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => ok(WHAT, "not made yet; the first start makes it"),
        Err(err) => fail(WHAT, format!("{}: {err}", path.display()), "make it readable for you"),
        Ok(meta) if !meta.is_file() => fail(WHAT, format!("{} is not a file", path.display()), "move it away"),
        Ok(meta) => match Filesystem::read(&path) {
            Filesystem::Sound => ok(
                WHAT,
                format!(
                    "{}, {} MiB of {} GiB in use",
                    path.display(),
                    system::allocated_bytes(&meta) >> 20,
                    meta.len() >> 30
                ),
            ),
            Filesystem::Errors(count) => fail(
                WHAT,
                format!("{}: its filesystem noticed {count} errors", path.display()),
                "cubby down, then e2fsck -f on that file; keep a copy of it first",
            ),
            Filesystem::None => fail(
                WHAT,
                format!("{} holds no ext4 filesystem", path.display()),
                "put a backup in its place, or move it away for an empty one (containers, images and volumes are on it)",
            ),
            Filesystem::Unreadable => {
                fail(WHAT, format!("{} cannot be read", path.display()), "make it readable for you")
            }
        },
    }
}

/// What the superblock says.
#[derive(Debug, PartialEq, Eq)]
enum Filesystem {
    Sound,
    #[cfg_attr(windows, expect(dead_code))]
    Errors(u32),
    None,
    Unreadable,
}

impl Filesystem {
    /// Source: Documentation/filesystems/ext4/super.rst: the superblock lies at 1024; `s_magic` at 0x38, `s_state` at 0x3a (bit 1:
    /// errors were noticed), `s_error_count` at 0x194.
    #[cfg(windows)]
    fn read(path: &Path) -> Self {
        let mut identifier = [0; 8];
        let Ok(mut file) = fs::File::open(path) else { return Self::Unreadable };
        // Source: [MS-VHDX] 2.2.1. The filesystem lies somewhere within; the guest looks at it when it mounts it.
        if file.read_exact(&mut identifier).is_ok() && &identifier == b"vhdxfile" { Self::Sound } else { Self::None }
    }

    #[cfg(not(windows))]
    fn read(path: &Path) -> Self {
        let mut superblock = [0; 1024];
        let Ok(mut file) = fs::File::open(path) else { return Self::Unreadable };
        if file.seek(SeekFrom::Start(1024)).and_then(|_| file.read_exact(&mut superblock)).is_err()
            || superblock[0x38..0x3a] != [0x53, 0xef]
        {
            return Self::None;
        }
        let count = u32::from_le_bytes([superblock[0x194], superblock[0x195], superblock[0x196], superblock[0x197]]);
        if superblock[0x3a] & 2 != 0 || count > 0 { Self::Errors(count.max(1)) } else { Self::Sound }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    fn dirs(home: &Path) -> Dirs {
        Dirs { profile: "t".into(), state: home.join("state"), runtime: home.join("run") }
    }

    #[cfg(not(windows))]
    #[test]
    fn a_data_disk_is_known_by_its_superblock() {
        let home = tempfile::tempdir().unwrap();
        let dirs = dirs(home.path());
        assert_eq!(data_disk(&dirs).verdict, Verdict::Ok, "not made yet");
        fs::create_dir(&dirs.state).unwrap();
        let mut disk = vec![0; 4096];
        fs::write(dirs.data_disk(), &disk).unwrap();
        assert_eq!(data_disk(&dirs).verdict, Verdict::Fail);
        disk[1024 + 0x38] = 0x53;
        disk[1024 + 0x39] = 0xef;
        fs::write(dirs.data_disk(), &disk).unwrap();
        assert_eq!(data_disk(&dirs).verdict, Verdict::Ok);
        disk[1024 + 0x194] = 3;
        fs::write(dirs.data_disk(), &disk).unwrap();
        let damaged = data_disk(&dirs);
        assert_eq!(damaged.verdict, Verdict::Fail);
        assert!(damaged.found.contains("3 errors") && damaged.remedy.unwrap().contains("e2fsck"));
    }

    #[cfg(windows)]
    #[test]
    fn a_data_disk_is_known_by_its_identifier() {
        let home = tempfile::tempdir().unwrap();
        let dirs = dirs(home.path());
        assert_eq!(data_disk(&dirs).verdict, Verdict::Ok, "not made yet");
        fs::create_dir(&dirs.state).unwrap();
        fs::write(dirs.data_disk(), [0; 4096]).unwrap();
        assert_eq!(data_disk(&dirs).verdict, Verdict::Fail);
        fs::write(dirs.data_disk(), b"vhdxfile and so on").unwrap();
        assert_eq!(data_disk(&dirs).verdict, Verdict::Ok);
    }
}
