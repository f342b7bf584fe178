//! Listeners for streams that the host opens.

use std::io;

use tokio_vsock::{VMADDR_CID_ANY, VsockAddr, VsockListener};

/// Streams that wait to be accepted. Why not the crate's own 128: the kernel resets what comes on top, where TCP would let it
/// try again, and a burst of clients at a published port arrives faster than a busy engine accepts. The kernel cuts it down
/// to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Listens on a vsock port for every peer. An error when the port is taken or there is no vsock.
pub fn listen(port: u32) -> io::Result<VsockListener> {
    let listener = VsockListener::bind(VsockAddr::new(VMADDR_CID_ANY, port))?;
    // A second call on a listening socket changes its backlog: `vsock_listen` in the kernel's net/vmw_vsock/af_vsock.c.
    rustix::net::listen(&listener, BACKLOG)?;
    Ok(listener)
}
