//! Which process holds a port: what the user wants to know first when theirs is taken.

use std::path::Path;

use cubby_network::sockets::{self, Transport};
use cubby_wire::forward::Protocol;

/// `name (pid 1)` of a process with a socket bound to `port`; none when /proc does not tell.
pub fn of(protocol: Protocol, port: u16) -> Option<String> {
    let transport = match protocol {
        Protocol::Tcp => Transport::Tcp,
        Protocol::Udp => Transport::Udp,
        Protocol::Sctp => return None,
    };
    let listeners = sockets::listeners(Path::new("/proc/self"), transport).ok()?;
    let mut bound = listeners.iter().filter(|listener| listener.at.port() == port);
    bound.find_map(|listener| sockets::holder(listener.inode))
}
