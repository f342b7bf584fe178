//! The data disk: checked, mounted, grown to the size that the host gave it.
//!
//! There is no mkfs in the guest: the host creates the disk from the guest image's template, which is a small ext4 with
//! [`LABEL`]. Anything else on the device is somebody's data, and is refused untouched.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use cubby_wire::DATA_FORMAT;
use rustix::mount::{MountFlags, mount as sys_mount};

use super::cmdline::Cmdline;
use crate::ext4;

/// Volume name of every data filesystem. `cargo xtask image` writes the same into the template.
pub const LABEL: &[u8] = b"cubby-data";
const DEFAULT_DEVICE: &str = "/dev/vda";
const FORMAT_FILE: &str = "format";
const NO_DISK: &str = "tmpfs";
/// Why: a hot-plugged or slowly probed disk may appear after pid 1 starts.
const APPEARS_WITHIN: Duration = Duration::from_secs(5);

// ext4's superblock. Source: Documentation/filesystems/ext4/super.rst.
const SUPERBLOCK_AT: u64 = 1024;
const MAGIC_AT: usize = 0x38;
const MAGIC: [u8; 2] = [0x53, 0xef];
const LABEL_AT: usize = 0x78;
const LABEL_BYTES: usize = 16;

/// Why there is no data filesystem. The texts are for a person.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    #[error("the data disk {0} is missing")]
    Missing(String),
    #[error("the data disk {device} cannot be read: {source}")]
    Unreadable { device: String, source: io::Error },
    #[error("the disk {0} is empty: the host has to create it from the guest image's template")]
    Blank(String),
    #[error("the disk {0} holds something that is not Cubby's data; it was left untouched")]
    Foreign(String),
    #[error(
        "the data was last used by a newer Cubby (data format {found}, this one reads up to {DATA_FORMAT}) and was left untouched; install the newer version again"
    )]
    Newer { found: u32 },
    #[error("the data disk's format cannot be told: {0}")]
    Format(io::Error),
    #[error("the data disk {device} is damaged and was left untouched: {source}")]
    Damaged { device: String, source: io::Error },
}

/// Mounts the data filesystem on `target`. A journal left by a power cut is replayed by the mount itself.
pub fn mount(cmdline: &Cmdline, target: &Path) -> Result<(), DiskError> {
    let device = cmdline.data.as_deref().unwrap_or(DEFAULT_DEVICE);
    if device == NO_DISK {
        return sys_mount("tmpfs", target, "tmpfs", MountFlags::NODEV, c"mode=0700")
            .map_err(|err| DiskError::Damaged { device: device.into(), source: err.into() });
    }
    let mut disk = open(device)?;
    let unreadable = |source| DiskError::Unreadable { device: device.into(), source };
    let mut superblock = [0; 1024];
    disk.seek(SeekFrom::Start(SUPERBLOCK_AT)).map_err(unreadable)?;
    disk.read_exact(&mut superblock).map_err(unreadable)?;
    match recognise(&superblock) {
        Content::Ours => {}
        Content::Blank => return Err(DiskError::Blank(device.into())),
        Content::Foreign => return Err(DiskError::Foreign(device.into())),
    }
    let size_bytes = disk.seek(SeekFrom::End(0)).map_err(unreadable)?;
    drop(disk);
    // resuid: the last blocks are for whoever may exceed limits (the engine), and not for every container's root.
    // noinit_itable: the background zeroing of inode tables would fill the host's sparse file for nothing.
    sys_mount(
        device,
        target,
        "ext4",
        MountFlags::NOATIME,
        c"discard,errors=remount-ro,noinit_itable,resuid=4294967294",
    )
    .map_err(|err| DiskError::Damaged { device: device.into(), source: err.into() })?;
    check_format(target)?;
    if let Err(err) = grow(target, size_bytes) {
        // The old size still works.
        super::console::say(&format!("init: the data disk could not be grown: {err}"));
    }
    Ok(())
}

fn open(device: &str) -> Result<File, DiskError> {
    let give_up = Instant::now() + APPEARS_WITHIN;
    loop {
        match File::open(device) {
            Ok(disk) => return Ok(disk),
            Err(err) if err.kind() == io::ErrorKind::NotFound && Instant::now() < give_up => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Err(DiskError::Missing(device.into())),
            Err(source) => return Err(DiskError::Unreadable { device: device.into(), source }),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Content {
    Ours,
    Blank,
    Foreign,
}

fn recognise(superblock: &[u8; 1024]) -> Content {
    let label = &superblock[LABEL_AT..LABEL_AT + LABEL_BYTES];
    let end = label.iter().position(|byte| *byte == 0).unwrap_or(LABEL_BYTES);
    if superblock[MAGIC_AT..MAGIC_AT + 2] == MAGIC && &label[..end] == LABEL {
        Content::Ours
    } else if superblock.iter().all(|byte| *byte == 0) {
        Content::Blank
    } else {
        Content::Foreign
    }
}

/// Refuses data that a newer engine has changed, and notes this engine's format on older data.
fn check_format(root: &Path) -> Result<(), DiskError> {
    let path = root.join(FORMAT_FILE);
    let found = match std::fs::read_to_string(&path) {
        // What a power cut leaves of a note that was just begun; data of a newer engine never has an empty one.
        Ok(text) if text.trim().is_empty() => 0,
        Ok(text) => text.trim().parse().map_err(|_| DiskError::Format(io::ErrorKind::InvalidData.into()))?,
        // From before formats were counted, or new.
        Err(err) if err.kind() == io::ErrorKind::NotFound => 0,
        Err(err) => return Err(DiskError::Format(err)),
    };
    if found > DATA_FORMAT {
        return Err(DiskError::Newer { found });
    }
    if found < DATA_FORMAT
        && let Err(err) = note_format(root)
    {
        // A full disk must still be mounted, so that something can be deleted.
        super::console::say(&format!("init: the data's format could not be noted: {err}"));
    }
    Ok(())
}

/// Whole or absent, whatever moment the power goes: written beside, synced, then renamed.
fn note_format(root: &Path) -> io::Result<()> {
    let begun = root.join(".format.new");
    let mut file = File::create(&begun)?;
    file.write_all(format!("{DATA_FORMAT}\n").as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&begun, root.join(FORMAT_FILE))?;
    File::open(root)?.sync_all()
}

/// Grows the ext4 mounted on `mount_point` to `size_bytes` of its device, online. Smaller or equal: nothing to do.
fn grow(mount_point: &Path, size_bytes: u64) -> io::Result<()> {
    let figures = rustix::fs::statvfs(mount_point)?;
    let blocks = size_bytes / figures.f_bsize;
    let root = File::open(mount_point)?;
    ext4::resize(&root, blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn superblock(label: &[u8]) -> [u8; 1024] {
        let mut bytes = [0; 1024];
        bytes[MAGIC_AT..MAGIC_AT + 2].copy_from_slice(&MAGIC);
        bytes[LABEL_AT..LABEL_AT + label.len()].copy_from_slice(label);
        bytes
    }

    #[test]
    fn data_of_a_newer_engine_is_refused_untouched() {
        let root = std::env::temp_dir().join(format!("cubby-format-{}", std::process::id()));
        std::fs::create_dir(&root).unwrap();
        check_format(&root).unwrap();
        let noted = std::fs::read_to_string(root.join(FORMAT_FILE)).unwrap();
        assert_eq!(noted, format!("{DATA_FORMAT}\n"));
        check_format(&root).unwrap();
        std::fs::write(root.join(FORMAT_FILE), "99\n").unwrap();
        let refused = check_format(&root).unwrap_err();
        assert!(matches!(refused, DiskError::Newer { found: 99 }));
        assert_eq!(std::fs::read_to_string(root.join(FORMAT_FILE)).unwrap(), "99\n");
        std::fs::write(root.join(FORMAT_FILE), "what").unwrap();
        assert!(matches!(check_format(&root), Err(DiskError::Format(_))));
        std::fs::write(root.join(FORMAT_FILE), "").unwrap();
        check_format(&root).unwrap();
        assert_eq!(std::fs::read_to_string(root.join(FORMAT_FILE)).unwrap(), format!("{DATA_FORMAT}\n"));
        std::fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn only_our_label_on_ext4_is_ours() {
        assert_eq!(recognise(&superblock(LABEL)), Content::Ours);
        assert_eq!(recognise(&superblock(b"cubby-data2")), Content::Foreign);
        assert_eq!(recognise(&superblock(b"")), Content::Foreign);
        assert_eq!(recognise(&[0; 1024]), Content::Blank);
        let mut other = superblock(LABEL);
        other[MAGIC_AT] = 0;
        assert_eq!(recognise(&other), Content::Foreign);
    }
}
