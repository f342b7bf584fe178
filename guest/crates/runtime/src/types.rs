//! What the engine asks for and what it gets back.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::SystemTime;

use oci_spec::runtime::Spec;
use serde::{Deserialize, Serialize};

use crate::cgroup::CgroupPath;
use crate::seccomp::Program;

/// A process to start.
#[derive(Debug)]
pub struct Spawn {
    /// Names the process in every later message: unique among everything the keeper keeps (a container id, an exec id).
    pub key: String,
    /// The caller's own notes; the keeper stores them unread and gives them back in [`Kept`].
    pub meta: Vec<u8>,
    /// For [`Target::Exec`] only `process` is read.
    pub spec: Arc<Spec>,
    pub target: Target,
    pub stdio: Stdio,
    /// Where the process lives; created by the caller beforehand. `None`: the keeper's own cgroup.
    pub cgroup: Option<CgroupPath>,
    /// `spec.linux.seccomp` is not read: compiling is the caller's, so that the bytes can be cached.
    pub seccomp: Option<Arc<Program>>,
}

/// Where a process starts.
#[derive(Debug)]
pub enum Target {
    /// A new container's first process.
    Container {
        /// A detached mount (`fsmount`, `open_tree(OPEN_TREE_CLONE)`). It is attached in the container's mount namespace, so every
        /// start needs a fresh one.
        rootfs: OwnedFd,
        /// Namespaces to join rather than create. They win over the spec's; the spec's `path`s are honoured too.
        /// A namespace kind that is neither here nor in the spec is shared with the keeper.
        join: Vec<Namespace>,
        /// Detached mounts that the spec's mounts of type `detached` name by their place in this list (`source: "0"`);
        /// fresh ones for every start, as the rootfs. Their option `subpath=…` mounts a part of them.
        mounts: Vec<OwnedFd>,
        /// Run a tiny reaping, signal-forwarding pid 1 in front of the program (`--init`).
        init: bool,
    },
    /// One more process in a running container.
    Exec {
        /// Key of the container's first process.
        container: String,
    },
}

/// A namespace to join.
#[derive(Debug)]
pub struct Namespace {
    pub kind: NamespaceKind,
    pub fd: OwnedFd,
}

impl Namespace {
    /// A namespace of a running process (`--network container:x` and the like). Cannot hit another process, whatever
    /// becomes of the pid.
    pub fn of(pidfd: impl AsFd, kind: NamespaceKind) -> io::Result<Self> {
        let pidfd = pidfd.as_fd();
        let fd = match crate::sys::pidfd_namespace(pidfd, kind) {
            // Kernels before 6.11.
            Err(err) if matches!(err.raw_os_error(), Some(libc::ENOTTY | libc::EINVAL)) => by_pid(pidfd, kind)?,
            done => done?,
        };
        Ok(Self { kind, fd })
    }
}

/// By the pid that a pidfd stands for; that it still stands for it afterwards proves that the pid was not reused meanwhile.
fn by_pid(pidfd: BorrowedFd<'_>, kind: NamespaceKind) -> io::Result<OwnedFd> {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd()))?;
    let pid = info.lines().find_map(|line| line.strip_prefix("Pid:")).ok_or(io::ErrorKind::InvalidInput)?.trim();
    let name = match kind {
        NamespaceKind::Network => "net",
        NamespaceKind::Pid => "pid",
        NamespaceKind::Ipc => "ipc",
        NamespaceKind::Uts => "uts",
        NamespaceKind::Cgroup => "cgroup",
        NamespaceKind::User => "user",
    };
    let file = std::fs::File::open(format!("/proc/{pid}/ns/{name}"))?;
    crate::sys::pidfd_signal(pidfd, 0)?;
    Ok(file.into())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum NamespaceKind {
    Network,
    Pid,
    Ipc,
    Uts,
    Cgroup,
    User,
}

/// What the process's descriptors 0, 1 and 2 are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stdio {
    /// A pseudo terminal of the container's own devpts, of this size, instead of pipes.
    pub tty: Option<WinSize>,
    /// Keep standard input open. Without it the process reads `/dev/null` (with a tty: nothing is ever typed).
    pub stdin: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WinSize {
    pub rows: u16,
    pub cols: u16,
}

/// A started process: it has called `execve` successfully.
#[derive(Debug)]
pub struct Spawned {
    /// In the keeper's pid namespace.
    pub pid: i32,
    pub pidfd: OwnedFd,
    /// Our ends of the process's stdio, non-blocking. With a tty only `pty` is there.
    pub stdin: Option<OwnedFd>,
    pub stdout: Option<OwnedFd>,
    pub stderr: Option<OwnedFd>,
    pub pty: Option<OwnedFd>,
}

/// A process that the keeper has kept while no engine was connected (or is still running).
#[derive(Debug)]
pub struct Kept {
    pub key: String,
    pub meta: Vec<u8>,
    /// The process and its stdio, as at [`Spawned`]. Bytes already read by an earlier engine are gone; nothing else is.
    pub process: Spawned,
    /// Set when it has ended meanwhile.
    pub exited: Option<Exited>,
}

/// A process has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exited {
    pub key: String,
    pub status: ExitStatus,
    pub at: SystemTime,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitStatus {
    Code(u8),
    Signal { signal: u8, core: bool },
}

impl ExitStatus {
    /// From what `waitpid` stored. A stopped or continued child is not an ended one: `None`.
    pub fn from_wait(raw: i32) -> Option<Self> {
        if libc::WIFEXITED(raw) {
            Some(Self::Code((libc::WEXITSTATUS(raw) & 0xff) as u8))
        } else if libc::WIFSIGNALED(raw) {
            Some(Self::Signal { signal: libc::WTERMSIG(raw) as u8, core: libc::WCOREDUMP(raw) })
        } else {
            None
        }
    }

    /// Docker's exit code: the code, or 128 + signal.
    pub fn docker_code(self) -> i32 {
        match self {
            Self::Code(code) => i32::from(code),
            Self::Signal { signal, .. } => 128 + i32::from(signal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_a_namespace_lead_to_the_same() {
        let own = rustix::process::pidfd_open(rustix::process::getpid(), rustix::process::PidfdFlags::empty()).unwrap();
        let inode = |fd: &OwnedFd| rustix::fs::fstat(fd).unwrap().st_ino;
        let kind = NamespaceKind::Uts;
        let direct = Namespace::of(&own, kind).unwrap();
        assert_eq!(inode(&direct.fd), inode(&by_pid(own.as_fd(), kind).unwrap()));
    }

    #[test]
    fn exit_codes_are_dockers() {
        assert_eq!(ExitStatus::from_wait(3 << 8), Some(ExitStatus::Code(3)));
        let killed = ExitStatus::from_wait(9).unwrap();
        assert_eq!(killed.docker_code(), 137);
        assert_eq!(ExitStatus::from_wait(0x137f), None, "stopped");
    }
}
