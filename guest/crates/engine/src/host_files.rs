//! The host's files in the guest: where a bind mount's source is.
//!
//! Pid 1 mounts the shared folders at [`ROOT`], each at its own path of the host's, and nothing else of the host is there.
//! A source is opened within that root, links included, so that one with an absolute target means what it means on
//! the host; then the mount is cut out by descriptor, and no path is followed twice.
//!
//! | source | what the container gets |
//! |---|---|
//! | Docker's own socket | this engine's |
//! | `/proc`, `/sys`, `/dev` and below | the guest's |
//! | in a shared folder | the host's, owned by the container's own user |
//! | anything else | refused, with the way to share it |

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
};

use cubby_runtime::OwnerMap;
use cubby_wire::files::SHARES_ATTRIBUTE;
use rustix::{
    fs::{Mode, OFlags, ResolveFlags, openat2},
    mount::{OpenTreeFlags, open_tree},
};

use crate::{
    containers::{propagation::unescape, sources::make_directories},
    error::{Error, Result},
};

/// Where pid 1 mounts the host's shared folders.
pub const ROOT: &str = "/run/host";
/// Where the engine in the guest serves containers that ask for Docker's socket.
pub const OWN_SOCKET: &str = "/run/cubby/docker.sock";
const DOCKER_SOCKETS: [&str; 2] = ["/var/run/docker.sock", "/run/docker.sock"];
/// What containers that look after the machine want of it.
const GUESTS_OWN: [&str; 3] = ["/proc", "/sys", "/dev"];
/// Longest list of shared folders.
const MAX_LIST_BYTES: usize = 64 * 1024;

/// Where a source is.
#[derive(Debug)]
pub enum Source {
    /// A path of the guest's own.
    Guest(PathBuf),
    /// Found in a shared folder; `O_PATH`.
    Host(OwnedFd),
}

/// Finds a bind mount's source. `None`: there is nothing, but there may be. Blocking.
///
/// # Errors
/// Invalid: the path is not shared. System: the share cannot be read.
pub fn find(path: &str) -> Result<Option<Source>> {
    if DOCKER_SOCKETS.contains(&path) {
        return Ok(Some(Source::Guest(OWN_SOCKET.into())));
    }
    if GUESTS_OWN.iter().any(|own| is_within(path, own)) {
        return Ok(Some(path).filter(|path| PathBuf::from(path).exists()).map(|path| Source::Guest(path.into())));
    }
    let shared = shared_folders();
    if !shared.iter().any(|folder| is_within(path, folder)) {
        return Err(denied(path, &shared));
    }
    let root = root().map_err(|source| Error::system("open the shared folders", source))?;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    match openat2(&root, relative(path), flags, Mode::empty(), WITHIN) {
        Ok(found) => Ok(Some(Source::Host(found))),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(None),
        Err(rustix::io::Errno::LOOP) => Err(Error::invalid(format!("{path}: too many levels of symbolic links"))),
        Err(err) => Err(Error::system(format!("open {path} of the host"), io::Error::from(err))),
    }
}

/// Makes a directory on the host, for a source that is not there, and finds it. Blocking.
///
/// # Errors
/// As dockerd: the directory cannot be made.
pub fn make(path: &str) -> Result<Source> {
    let failed = |source| Error::system(format!("error while creating mount source path '{path}'"), source);
    root().and_then(|root| make_directories(&root, path)).map_err(failed)?;
    find(path)?.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))
}

/// A copy of the mount at a place found, attached nowhere. Blocking.
///
/// # Errors
/// What the kernel says.
pub fn cut_out(found: &OwnedFd, recursive: bool) -> io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    Ok(open_tree(found.as_fd(), "", flags)?)
}

/// The same mount, on which the host user's files are the container's user's: the share shows them as root's. Blocking.
///
/// What cannot be mapped is left as it is: not every backend's shares can, and root reads and writes there all the same.
pub fn owned_by(mount: OwnedFd, owner: Option<OwnerMap>) -> OwnedFd {
    if let Some(owner) = owner
        && let Err(err) = owner.apply(&mount)
    {
        tracing::warn!(?owner, %err, "the host's files stay root's in this container");
    }
    mount
}

/// Links stay in the root, and lead nowhere by magic.
const WITHIN: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

fn root() -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(ROOT, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

fn relative(path: &str) -> &str {
    match path.trim_start_matches('/') {
        "" => ".",
        path => path,
    }
}

/// The folders, as the host tells them; none where nothing is shared. Where the hypervisor serves them, pid 1 has mounted each.
fn shared_folders() -> Vec<String> {
    let mut list = Vec::with_capacity(MAX_LIST_BYTES);
    match rustix::fs::getxattr(ROOT, SHARES_ATTRIBUTE, rustix::buffer::spare_capacity(&mut list)) {
        Ok(_) => String::from_utf8_lossy(&list).lines().map(str::to_owned).collect(),
        Err(_) => mounted(&std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default()),
    }
}

/// What is mounted below [`ROOT`]. Source: proc_pid_mountinfo(5), field 5.
fn mounted(mountinfo: &str) -> Vec<String> {
    let points = mountinfo.lines().filter_map(|line| line.split(' ').nth(4)).map(unescape);
    points
        .filter_map(|point| point.strip_prefix(ROOT).filter(|path| path.starts_with('/')).map(str::to_owned))
        .collect()
}

fn is_within(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn denied(path: &str, shared: &[String]) -> Error {
    let now = match shared {
        [] => "No folder is shared.".to_owned(),
        shared => format!("Shared are: {}.", shared.join(", ")),
    };
    Error::invalid(format!(
        "Mounts denied: the path {path} is not shared from the host. {now} To share another, list it in \"shared_folders\" of Cubby's settings.json and start the machine again"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_guests_own_needs_no_share() {
        let own = |path: &str| matches!(find(path), Ok(Some(Source::Guest(found))) if found.to_str() != Some(path));
        assert!(own("/var/run/docker.sock") && own("/run/docker.sock"));
        assert!(matches!(find("/proc/self"), Ok(Some(Source::Guest(_)))));
        assert!(matches!(find("/proc/no-such"), Ok(None)));
        assert!(find("/processes").is_err() && find("/").is_err());
    }

    #[test]
    fn folders_of_other_servers_are_what_is_mounted() {
        let mountinfo = "22 1 0:2 / / rw - rootfs rootfs rw\n\
            31 22 0:30 / /run/host/Users/jo\\040x rw,nosuid,nodev shared:2 - virtiofs share0 rw\n\
            32 22 0:31 / /run/host/c/src rw,nosuid,nodev - 9p share1 rw\n\
            33 22 0:32 / /run/hosts rw - tmpfs tmpfs rw\n34 22 0:33 / /run/host rw - tmpfs tmpfs rw\n";
        assert_eq!(mounted(mountinfo), ["/Users/jo x", "/c/src"]);
    }

    #[test]
    fn the_refusal_names_the_path_and_the_folders() {
        let text = denied("/etc/x", &["/home/jo".into()]).message().to_owned();
        assert!(
            text.starts_with("Mounts denied: the path /etc/x is not shared from the host. Shared are: /home/jo."),
            "{text}"
        );
        assert!(
            is_within("/home/jo", "/home/jo")
                && is_within("/home/jo/x", "/home/jo")
                && !is_within("/home/joe", "/home/jo")
        );
    }
}
