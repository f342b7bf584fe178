//! vsock port numbers. Below 1024 is left alone: the kernel reserves those for privileged binders.

/// Guest listens: the Docker Engine API.
pub const DOCKER_API: u32 = 2375;
/// Guest listens: the control protocol.
pub const CONTROL: u32 = 2376;
/// Guest listens: connections to published ports, dialled on the host's behalf.
pub const FORWARD: u32 = 2377;
/// Guest listens: changes of shared files on the host.
pub const FILES: u32 = 2378;
/// Host listens: boot stages, pushed by pid 1.
pub const BOOT: u32 = 1024;
/// Host listens: requests to open and close host listeners for published ports.
pub const PUBLISH: u32 = 1025;

/// The host's context id. Source: `VMADDR_CID_HOST`, include/uapi/linux/vm_sockets.h.
pub const HOST_CID: u32 = 2;
