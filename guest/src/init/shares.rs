//! The host's shared folders, mounted where only the engine sees them.

use std::path::Path;

use cubby_engine::host_files::ROOT;
use cubby_wire::files::SHARES_TAG;
use rustix::mount::{MountFlags, mount};

use super::console;

/// A machine without shared folders has no device for them and works all the same.
pub fn mount_all() {
    let devices = Path::new("/sys/bus/virtio/drivers/virtiofs");
    let has_device = std::fs::read_dir(devices).is_ok_and(|mut entries| {
        entries.any(|entry| entry.is_ok_and(|e| e.file_name().as_encoded_bytes().starts_with(b"virtio")))
    });
    if !has_device {
        return;
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    let mounted = std::fs::create_dir_all(ROOT).and_then(|()| Ok(mount(SHARES_TAG, ROOT, "virtiofs", flags, None)?));
    if let Err(err) = mounted {
        console::say(&format!("init: the shared folders could not be mounted: {err}"));
    }
}
