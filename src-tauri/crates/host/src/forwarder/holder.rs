//! Who holds a port, as far as /proc shows it to us.

use std::collections::HashSet;
use std::fmt;
use std::fs;

use cubby_wire::forward::Protocol;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pub name: String,
    pub pid: u32,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} {}", self.pid, self.name)
    }
}

/// The process with a listening socket on `port`; `None` when it is another user's, or gone.
pub(super) fn of(protocol: Protocol, port: u16) -> Option<Holder> {
    let tables = match protocol {
        Protocol::Tcp => ["/proc/net/tcp", "/proc/net/tcp6"],
        Protocol::Udp => ["/proc/net/udp", "/proc/net/udp6"],
        Protocol::Sctp => return None,
    };
    let inodes: HashSet<String> = tables
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| inodes(&table, protocol, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    if inodes.is_empty() {
        return None;
    }
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else { continue };
        let holds = descriptors.flatten().any(|fd| {
            fs::read_link(fd.path()).is_ok_and(|target| target.to_str().is_some_and(|target| inodes.contains(target)))
        });
        if holds {
            let name = fs::read_to_string(process.path().join("comm")).ok()?;
            return Some(Holder { name: name.trim_end().to_owned(), pid });
        }
    }
    None
}

/// Inodes of the sockets on `port` in a table of /proc/net. Source: proc_pid_net(5).
fn inodes(table: &str, protocol: Protocol, port: u16) -> Vec<u64> {
    // 0A is LISTEN; a UDP socket without a peer is 07.
    let state = if protocol == Protocol::Tcp { "0A" } else { "07" };
    let local = format!(":{port:04X}");
    table
        .lines()
        .skip(1)
        .map(|line| line.split_ascii_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields.len() > 9 && fields[1].ends_with(&local) && fields[3] == state)
        .filter_map(|fields| fields[9].parse().ok())
        .collect()
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[test]
    fn finds_this_very_process() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let holder = of(Protocol::Tcp, listener.local_addr().unwrap().port()).unwrap();
        assert_eq!(holder.pid, std::process::id());
    }

    #[test]
    fn reads_only_listening_sockets_of_that_port() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0 0 11 1\n\
            1: 0100007F:1F90 0100007F:9999 01 00000000:00000000 00:00000000 00000000  0 0 12 1\n\
            2: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0 0 13 1\n";
        assert_eq!(inodes(table, Protocol::Tcp, 8080), [11]);
        assert_eq!(inodes("garbage\nmore garbage", Protocol::Tcp, 8080), [0_u64; 0]);
    }
}
