//! A mount on which root's files are another user's, and the other way round.
//!
//! The kernel takes such a map from a user namespace. Nothing runs in it: a child process is born, waits in it until its
//! descriptor has been taken, and ends without ever running a program.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::Command;
use std::thread;

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::sys::{self, MountAttr};

/// Source: include/uapi/linux/mount.h.
const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;
/// One more than the highest id; the last number means none.
const IDS: u32 = u32::MAX;

/// Owner and group that change places with root's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OwnerMap {
    pub uid: u32,
    pub gid: u32,
}

impl OwnerMap {
    /// None where nothing would change.
    pub fn new(uid: u32, gid: u32) -> Option<Self> {
        ((uid, gid) != (0, 0) && uid < IDS && gid < IDS).then_some(Self { uid, gid })
    }

    /// Applies the map to a mount that is attached nowhere yet. Blocking.
    ///
    /// # Errors
    /// `InvalidInput` for a filesystem that knows no such maps.
    pub fn apply(self, mount: impl AsFd) -> io::Result<()> {
        let namespace = self.namespace()?;
        let attr = MountAttr {
            set: MOUNT_ATTR_IDMAP,
            userns_fd: u64::from(namespace.as_raw_fd().unsigned_abs()),
            ..MountAttr::default()
        };
        sys::mount_setattr(mount, true, attr)
    }

    /// A user namespace with the map, and nobody in it.
    fn namespace(self) -> io::Result<OwnedFd> {
        let (told, tell) = pipe_with(PipeFlags::CLOEXEC)?;
        let (heard, hear) = pipe_with(PipeFlags::CLOEXEC)?;
        let mut child = Command::new("/proc/self/exe");
        sys::in_new_user_namespace(&mut child, tell, heard);
        thread::scope(|scope| {
            // Why a thread: spawning returns when the child has run its program or has failed, and this one waits for us.
            let spawning = scope.spawn(move || child.spawn());
            let mut pid = [0; 4];
            let namespace = match rustix::io::read(&told, &mut pid) {
                Ok(4) => self.write(i32::from_ne_bytes(pid)),
                Ok(_) => Err(io::Error::other("the namespace's process ended early")),
                Err(error) => Err(error.into()),
            };
            // Why ignored: a child that is gone has nothing to hear.
            let _ = rustix::io::write(&hear, &[0]);
            let ended = spawning.join().unwrap_or_else(|_| Err(io::Error::other("the spawning thread panicked")));
            match ended {
                Err(error) if error.raw_os_error() == Some(Errno::CANCELED.raw_os_error()) => namespace,
                Err(error) => Err(error),
                Ok(mut child) => {
                    child.kill()?;
                    child.wait()?;
                    Err(io::Error::other("the namespace's process ran on"))
                }
            }
        })
    }

    fn write(self, pid: i32) -> io::Result<OwnedFd> {
        fs::write(format!("/proc/{pid}/uid_map"), swap(self.uid))?;
        fs::write(format!("/proc/{pid}/gid_map"), swap(self.gid))?;
        Ok(File::open(format!("/proc/{pid}/ns/user"))?.into())
    }
}

/// Lines of a map in which 0 and `id` change places. Source: user_namespaces(7).
fn swap(id: u32) -> String {
    let ranges = match id {
        0 => vec![(0, 0, IDS)],
        id => vec![(0, id, 1), (1, 1, id - 1), (id, 0, 1), (id + 1, id + 1, IDS - id - 1)],
    };
    let lines = ranges.into_iter().filter(|(_, _, count)| *count > 0);
    lines.map(|(inside, outside, count)| format!("{inside} {outside} {count}\n")).collect()
}

#[cfg(test)]
mod tests {
    use std::os::fd::BorrowedFd;

    use rustix::fs::{AtFlags, Mode, OFlags, fchown, openat, statat};
    use rustix::mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create, fsmount, fsopen, open_tree,
    };
    use rustix::process::{Gid, Uid};

    use super::*;

    #[test]
    fn root_and_the_user_change_places_and_nobody_else_does() {
        assert_eq!(swap(1000), "0 1000 1\n1 1 999\n1000 0 1\n1001 1001 4294966294\n");
        assert_eq!(swap(1), "0 1 1\n1 0 1\n2 2 4294967293\n");
        assert_eq!(swap(0), "0 0 4294967295\n");
        assert_eq!(OwnerMap::new(0, 0), None);
    }

    fn owner(dir: BorrowedFd<'_>, name: &str) -> (u32, u32) {
        let stat = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).unwrap();
        (stat.st_uid, stat.st_gid)
    }

    #[test]
    fn files_have_the_other_owner_on_the_mount_and_their_own_below() {
        let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).unwrap();
        fsconfig_create(&context).unwrap();
        let plain = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()).unwrap();
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
        let mapped = open_tree(&plain, "", flags).unwrap();
        OwnerMap::new(1000, 50).unwrap().apply(&mapped).unwrap();
        let create = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o644);
        for (name, uid, gid) in [("root", 0, 0), ("user", 1000, 50), ("other", 7, 8)] {
            let file = openat(&plain, name, create, mode).unwrap();
            fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))).unwrap();
        }
        assert_eq!(owner(mapped.as_fd(), "root"), (1000, 50));
        assert_eq!(owner(mapped.as_fd(), "user"), (0, 0));
        assert_eq!(owner(mapped.as_fd(), "other"), (7, 8));
        drop(openat(&mapped, "made", create, mode).unwrap());
        assert_eq!(owner(plain.as_fd(), "made"), (1000, 50), "what root makes there is not root's below");
    }
}
