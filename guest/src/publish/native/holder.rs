//! Which process holds a port: what the user wants to know first when theirs is taken.

use std::{collections::BTreeSet, fs, path::Path};

use cubby_wire::forward::Protocol;

/// State of a listening TCP socket, and of a UDP socket without a peer. Source: include/net/tcp_states.h.
const LISTENS: &str = "0A";
const UNCONNECTED: &str = "07";

/// `name (pid 1)` of a process with a socket bound to `port`; none when /proc does not tell.
pub fn of(protocol: Protocol, port: u16) -> Option<String> {
    let (tables, state) = match protocol {
        Protocol::Tcp => (["/proc/self/net/tcp", "/proc/self/net/tcp6"], LISTENS),
        Protocol::Udp => (["/proc/self/net/udp", "/proc/self/net/udp6"], UNCONNECTED),
    };
    let texts = tables.iter().filter_map(|table| fs::read_to_string(table).ok());
    let sockets: BTreeSet<String> = texts.flat_map(|text| bound(&text, port, state)).collect();
    if sockets.is_empty() {
        return None;
    }
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut numbered = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let pid = numbered.find(|pid| holds(&Path::new("/proc").join(pid.to_string()).join("fd"), &sockets))?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(format!("{} (pid {pid})", name.trim_end()))
}

/// Links `socket:[inode]` of the sockets in a table of procfs that are bound to `port`. Source: proc_net_tcp.rst.
fn bound(table: &str, port: u16, state: &str) -> Vec<String> {
    let local = format!(":{port:04X}");
    let lines = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let ours = fields.get(1)?.ends_with(&local) && *fields.get(3)? == state;
        ours.then(|| Some(format!("socket:[{}]", fields.get(9)?)))?
    });
    lines.collect()
}

fn holds(descriptors: &Path, sockets: &BTreeSet<String>) -> bool {
    let Ok(entries) = fs::read_dir(descriptors) else { return false };
    let mut links = entries.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    links.any(|link| link.to_str().is_some_and(|link| sockets.contains(link)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let holder = of(Protocol::Tcp, listener.local_addr().unwrap().port()).unwrap();
        assert!(holder.ends_with(&format!("(pid {})", std::process::id())), "{holder}");
    }

    #[test]
    fn only_listeners_of_the_port_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0 0 11 1\n\
            1: 0100007F:1F90 0100007F:9999 01 00000000:00000000 00:00000000 00000000  0 0 12 1\n\
            2: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0 0 13 1\n\
            short\n";
        assert_eq!(bound(table, 8080, LISTENS), ["socket:[11]"]);
        assert!(bound("garbage", 8080, LISTENS).is_empty());
    }
}
