//! Namespaces that `clone3` could not give: those of others, and our own cgroup namespace.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::thread::{LinkNameSpaceType, ThreadNameSpaceType};

use super::Step;
use crate::NamespaceKind;
use crate::protocol::Failure;
use crate::sys;

/// Joins the namespaces of others (the pid namespace was joined by the keeper: it decides where children are born).
pub(super) fn join(kinds: &[NamespaceKind], fds: &[OwnedFd]) -> Step {
    for (kind, fd) in kinds.iter().zip(fds) {
        let kind_of_link = match kind {
            NamespaceKind::Pid => continue,
            NamespaceKind::Network => LinkNameSpaceType::Network,
            NamespaceKind::Ipc => LinkNameSpaceType::InterProcessCommunication,
            NamespaceKind::Uts => LinkNameSpaceType::HostNameAndNISDomainName,
            NamespaceKind::Cgroup => LinkNameSpaceType::ControlGroup,
            NamespaceKind::User => LinkNameSpaceType::User,
        };
        rustix::thread::move_into_link_name_space(fd.as_fd(), Some(kind_of_link))
            .map_err(|err| Failure::setup(format!("join {kind:?} namespace"), err))?;
    }
    Ok(())
}

/// A new cgroup namespace must be created from inside the cgroup that is to be its root (`clone3` would take the
/// keeper's), and a new network namespace wants its loopback up.
pub(super) fn create_late(create: u64) -> Step {
    if create & NamespaceKind::Cgroup.flag() != 0 {
        sys::unshare_cgroup().map_err(|err| Failure::setup("unshare cgroup namespace", err))?;
    }
    if create & NamespaceKind::Network.flag() != 0 {
        let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None);
        socket
            .map_err(std::io::Error::from)
            .and_then(|socket| sys::loopback_up(socket.as_fd()))
            .map_err(|err| Failure::setup("bring up lo", err))?;
    }
    Ok(())
}

/// Everything of a running container, in one call. Root and cwd become the container's root.
pub(super) fn enter(pidfd: BorrowedFd<'_>) -> Step {
    let all = ThreadNameSpaceType::MOUNT
        | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
        | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION
        | ThreadNameSpaceType::NETWORK
        | ThreadNameSpaceType::CONTROL_GROUP;
    rustix::thread::move_into_thread_name_spaces(pidfd, all)
        .map_err(|err| Failure::setup("join the container's namespaces", err))
}
