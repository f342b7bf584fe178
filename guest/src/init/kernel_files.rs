//! The kernel's own filesystems, and a root that containers can pivot away from.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;

use rustix::mount::MountPropagationFlags;
use rustix::mount::{MountFlags, mount as sys_mount, mount_bind, mount_change, mount_move};

/// Directories that the initramfs carries, or that are made on it.
const DIRECTORIES: &[&str] =
    &["/proc", "/sys", "/dev", "/run", "/tmp", "/etc", "/root", "/mnt", "/var/lib/cubby", "/var/tmp"];

/// `(source, target, filesystem, flags, data)`, in order.
const MOUNTS: &[(&str, &str, &str, MountFlags, &str)] = &[
    ("proc", "/proc", "proc", NO_EXEC, ""),
    ("sysfs", "/sys", "sysfs", NO_EXEC, ""),
    ("devtmpfs", "/dev", "devtmpfs", MountFlags::NOSUID, "mode=0755"),
    ("devpts", "/dev/pts", "devpts", MountFlags::NOSUID.union(MountFlags::NOEXEC), "ptmxmode=0666,mode=0620,gid=5"),
    ("tmpfs", "/dev/shm", "tmpfs", MountFlags::NOSUID.union(MountFlags::NODEV), "mode=1777"),
    ("mqueue", "/dev/mqueue", "mqueue", NO_EXEC, ""),
    ("tmpfs", "/run", "tmpfs", MountFlags::NOSUID.union(MountFlags::NODEV), "mode=0755"),
    ("tmpfs", "/tmp", "tmpfs", MountFlags::NOSUID.union(MountFlags::NODEV), "mode=1777"),
    ("cgroup2", "/sys/fs/cgroup", "cgroup2", NO_EXEC, "nsdelegate,memory_recursiveprot"),
    ("securityfs", "/sys/kernel/security", "securityfs", NO_EXEC, ""),
    ("binfmt_misc", "/proc/sys/fs/binfmt_misc", "binfmt_misc", NO_EXEC, ""),
    ("bpf", "/sys/fs/bpf", "bpf", NO_EXEC, "mode=0700"),
];

const NO_EXEC: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// Puts a mount of ours in the place of the kernel's first one.
///
/// Why: `pivot_root`, which every container start uses, is refused while the root is the kernel's initial one, which has no
/// parent. A bind mount of the same files, moved on top of it, has one; nothing is copied.
pub fn own_root() -> io::Result<()> {
    fs::create_dir_all("/mnt")?;
    mount_bind("/", "/mnt")?;
    std::env::set_current_dir("/mnt")?;
    mount_move("/mnt", "/")?;
    rustix::process::chroot(".")?;
    std::env::set_current_dir("/")
}

/// Mounts all of [`MOUNTS`] and what programs expect beside them.
pub fn mount() -> io::Result<()> {
    for directory in DIRECTORIES {
        fs::create_dir_all(directory).map_err(named(directory))?;
    }
    for &(source, target, kind, flags, data) in MOUNTS {
        // Below sysfs and proc the directory is the kernel's: where it is missing, so is the feature.
        if target.starts_with("/dev/") {
            fs::create_dir_all(target).map_err(named(target))?;
        }
        let data = (!data.is_empty()).then(|| std::ffi::CString::new(data)).transpose()?;
        match sys_mount(source, target, kind, flags, data.as_deref()) {
            Ok(()) => {}
            Err(err) if is_optional(target) => super::console::say(&format!("init: {target} not mounted: {err}")),
            Err(err) => return Err(named(target)(err.into())),
        }
    }
    // Containers see nothing of later mounts here, and nothing of theirs is seen here.
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    for (target, link) in [
        ("/proc/self/fd", "/dev/fd"),
        ("/proc/self/fd/0", "/dev/stdin"),
        ("/proc/self/fd/1", "/dev/stdout"),
        ("/proc/self/fd/2", "/dev/stderr"),
    ] {
        match symlink(target, link) {
            Err(err) if err.kind() != io::ErrorKind::AlreadyExists => return Err(named(link)(err)),
            _ => {}
        }
    }
    fs::create_dir_all(super::RUN_DIR)
}

fn is_optional(target: &str) -> bool {
    ["/sys/kernel/security", "/proc/sys/fs/binfmt_misc", "/sys/fs/bpf", "/dev/mqueue"].contains(&target)
}

fn named(path: &str) -> impl FnOnce(io::Error) -> io::Error + '_ {
    move |err| io::Error::new(err.kind(), format!("{path}: {err}"))
}
