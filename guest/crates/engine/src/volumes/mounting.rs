//! Volumes in use: counted, and mounted when they have a filesystem of their own.

use std::{
    collections::HashMap,
    ffi::CString,
    io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError},
};

use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind_recursive, mount_change, mount_remount,
};

use super::{Volumes, no_such};
use crate::error::{Error, Result};

impl Volumes {
    /// The directory to bind into `container_id`, mounted if the volume has a filesystem of its own. Counted: each call
    /// needs one [`Volumes::unmount`]. Publishes the event `mount`.
    ///
    /// # Errors
    /// Not found; system with the kernel's reason when its filesystem cannot be mounted.
    pub async fn mount(self: &Arc<Self>, name: &str, container_id: &str) -> Result<PathBuf> {
        let options = self.count_in(name, container_id)?;
        let data = self.data(name);
        if !options.is_empty() {
            let (volume, at) = (name.to_owned(), data.clone());
            let mounted = self.blocking(move |volumes| volumes.mount_filesystem(&volume, &at, &options)).await;
            if let Err(error) = mounted {
                self.count_out(name, container_id);
                return Err(error);
            }
        }
        self.publish("mount", name, Some(container_id));
        Ok(data)
    }

    /// A running container that an earlier engine left has the volume mounted still: counts it, without an event.
    pub fn remount(&self, name: &str, container_id: &str) {
        if self.count_in(name, container_id).is_err() {
            tracing::warn!(volume = name, container_id, "a running container uses a volume that is gone");
        }
    }

    /// Undoes [`Volumes::mount`]. Unknown volumes are fine.
    pub async fn unmount(self: &Arc<Self>, name: &str, container_id: &str) {
        let Some((last, has_filesystem)) = self.count_out(name, container_id) else { return };
        if last && has_filesystem {
            let volume = name.to_owned();
            let unmounted = self.blocking(move |volumes| volumes.unmount_filesystem(&volume)).await;
            if let Err(error) = unmounted {
                tracing::warn!(volume = name, err = %error, "volume stays mounted");
            }
        }
        self.publish("unmount", name, Some(container_id));
    }

    fn count_in(&self, name: &str, container_id: &str) -> Result<HashMap<String, String>> {
        let mut table = self.table();
        let live = table.get_mut(name).filter(|live| !live.doomed).ok_or_else(|| no_such(name))?;
        live.mounted_by.push(container_id.to_owned());
        Ok(live.record.options.clone())
    }

    /// Whether that was the last one, and whether the volume has a filesystem of its own.
    fn count_out(&self, name: &str, container_id: &str) -> Option<(bool, bool)> {
        let mut table = self.table();
        let live = table.get_mut(name)?;
        let at = live.mounted_by.iter().position(|id| id == container_id)?;
        live.mounted_by.swap_remove(at);
        Some((live.mounted_by.is_empty(), !live.record.options.is_empty()))
    }

    fn mount_filesystem(&self, name: &str, at: &Path, options: &HashMap<String, String>) -> Result<()> {
        let _turn = self.mounting.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |source| Error::system(format!("failed to mount local volume {name}"), source);
        if is_mountpoint(at).map_err(failed)? {
            return Ok(());
        }
        let text = |key: &str| options.get(key).map_or("", String::as_str);
        Filesystem::parse(text("type"), text("device"), text("o")).and_then(|filesystem| filesystem.mount(at)).map_err(
            |source| {
                let (kind, device, data) = (text("type"), text("device"), text("o"));
                let what = format!(
                    "failed to mount local volume: mount {device}:{}, type: {kind}, data: {data}",
                    at.display()
                );
                Error::system(what, source)
            },
        )
    }

    fn unmount_filesystem(&self, name: &str) -> Result<()> {
        let _turn = self.mounting.lock().unwrap_or_else(PoisonError::into_inner);
        // Why: a container may have come between the count and this turn.
        if self.table().get(name).is_some_and(|live| !live.mounted_by.is_empty()) {
            return Ok(());
        }
        unmount(&self.data(name)).map_err(|source| Error::system(format!("unmount volume {name}"), source))
    }
}

/// Unmounts everything that lies on a directory. One that is no mount point, or absent, is fine.
pub fn unmount(at: &Path) -> io::Result<()> {
    while is_mountpoint(at)? {
        rustix::mount::unmount(at, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)?;
    }
    Ok(())
}

/// A directory is one when it is on another mount than its parent. Source: statx(2), `STATX_MNT_ID`.
fn is_mountpoint(at: &Path) -> io::Result<bool> {
    use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
    let mount_id = |path: &Path| match statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::MNT_ID) {
        Ok(found) => Ok(Some(found.stx_mnt_id)),
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(error) => Err(io::Error::from(error)),
    };
    let (own, parent) = (mount_id(at)?, at.parent().map(mount_id).transpose()?.flatten());
    Ok(own.is_some() && own != parent)
}

/// What `type`, `device` and `o` of a volume say.
#[derive(Debug, PartialEq, Eq)]
struct Filesystem {
    kind: String,
    device: String,
    flags: MountFlags,
    bind: bool,
    propagation: Option<MountPropagationFlags>,
    data: String,
}

impl Filesystem {
    fn parse(kind: &str, device: &str, options: &str) -> io::Result<Self> {
        let mut filesystem = Self {
            kind: kind.to_owned(),
            device: device.to_owned(),
            flags: MountFlags::empty(),
            bind: kind == "bind",
            propagation: None,
            data: String::new(),
        };
        for option in options.split(',').filter(|option| !option.is_empty()) {
            if !filesystem.take(option) {
                let separator = if filesystem.data.is_empty() { "" } else { "," };
                filesystem.data.push_str(separator);
                filesystem.data.push_str(option);
            }
        }
        if filesystem.bind && !Path::new(device).is_absolute() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the device of a bind volume is an absolute path"));
        }
        Ok(filesystem)
    }

    /// A mount flag; everything else is the filesystem's own business. Source: mount(8), and moby sys/mount flags.
    fn take(&mut self, option: &str) -> bool {
        let (set, clear) = match option {
            "defaults" => (MountFlags::empty(), MountFlags::empty()),
            "rw" => (MountFlags::empty(), MountFlags::RDONLY),
            "ro" => (MountFlags::RDONLY, MountFlags::empty()),
            "nosuid" => (MountFlags::NOSUID, MountFlags::empty()),
            "suid" => (MountFlags::empty(), MountFlags::NOSUID),
            "nodev" => (MountFlags::NODEV, MountFlags::empty()),
            "dev" => (MountFlags::empty(), MountFlags::NODEV),
            "noexec" => (MountFlags::NOEXEC, MountFlags::empty()),
            "exec" => (MountFlags::empty(), MountFlags::NOEXEC),
            "noatime" => (MountFlags::NOATIME, MountFlags::empty()),
            "nodiratime" => (MountFlags::NODIRATIME, MountFlags::empty()),
            "relatime" => (MountFlags::RELATIME, MountFlags::empty()),
            "strictatime" => (MountFlags::STRICTATIME, MountFlags::empty()),
            "sync" => (MountFlags::SYNCHRONOUS, MountFlags::empty()),
            "bind" | "rbind" => {
                self.bind = true;
                return true;
            }
            "private" | "rprivate" => return self.propagate(MountPropagationFlags::PRIVATE),
            "shared" | "rshared" => return self.propagate(MountPropagationFlags::SHARED),
            "slave" | "rslave" => return self.propagate(MountPropagationFlags::DOWNSTREAM),
            _ => return false,
        };
        self.flags = (self.flags | set) - clear;
        true
    }

    fn propagate(&mut self, how: MountPropagationFlags) -> bool {
        self.propagation = Some(how | MountPropagationFlags::REC);
        true
    }

    fn mount(&self, at: &Path) -> io::Result<()> {
        if self.bind {
            mount_bind_recursive(&self.device, at)?;
            if !self.flags.is_empty() {
                let changed = mount_remount(at, MountFlags::BIND | self.flags, c"");
                if let Err(error) = changed {
                    unmount(at)?;
                    return Err(error.into());
                }
            }
        } else {
            let data = CString::new(self.data.as_str()).map_err(io::Error::other)?;
            mount(&self.device, at, &self.kind, self.flags, data.as_c_str())?;
        }
        if let Some(propagation) = self.propagation {
            mount_change(at, propagation)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_told_from_the_filesystems_own_options() {
        let parsed = Filesystem::parse("tmpfs", "tmpfs", "size=1m,ro,nosuid,uid=1000,rw").unwrap();
        assert_eq!((parsed.flags, parsed.data.as_str(), parsed.bind), (MountFlags::NOSUID, "size=1m,uid=1000", false));
        let bound = Filesystem::parse("none", "/srv", "bind,ro").unwrap();
        assert!(bound.bind && bound.flags == MountFlags::RDONLY && bound.data.is_empty());
        assert!(Filesystem::parse("none", "srv", "bind").is_err());
    }
}
