//! Which sockets listen in a network namespace, from the tables of procfs. Source: Documentation/networking/proc_net_tcp.rst.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
};

/// State of a listening TCP socket, and of a UDP socket without a peer. Source: include/net/tcp_states.h.
const LISTENS: &str = "0A";
const UNCONNECTED: &str = "07";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Tcp,
    Udp,
}

/// A socket that takes what comes to an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    pub at: SocketAddr,
    /// Names the socket in `/proc/<pid>/fd`: `socket:[inode]`.
    pub inode: u64,
}

/// The listeners that a process sees; `process` is its directory in procfs. A kernel without IPv6 has fewer tables.
pub fn listeners(process: &Path, transport: Transport) -> io::Result<Vec<Listener>> {
    let (tables, state) = match transport {
        Transport::Tcp => (["tcp", "tcp6"], LISTENS),
        Transport::Udp => (["udp", "udp6"], UNCONNECTED),
    };
    let mut found = Vec::new();
    for table in tables {
        match fs::read_to_string(process.join("net").join(table)) {
            Ok(text) => found.extend(parse(&text, state)),
            Err(error) if error.kind() == io::ErrorKind::NotFound && table.ends_with('6') => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

fn parse(table: &str, state: &str) -> Vec<Listener> {
    let lines = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let inode = fields.get(9)?.parse().ok()?;
        (*fields.get(3)? == state).then_some(Listener { at: address(fields.get(1)?)?, inode })
    });
    lines.collect()
}

/// `0100007F:1F90`: words of four bytes in host order, hexadecimal; the port as it is read.
fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| Some(u32::from_str_radix(address.get(at * 8..at * 8 + 8)?, 16).ok()?.to_ne_bytes());
    let ip = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let bytes = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
            IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// `name (pid 1)` of the process that has a socket; none when procfs does not tell.
pub fn holder(inode: u64) -> Option<String> {
    let socket = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut numbered = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let pid = numbered.find(|pid| {
        let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
        let mut links = entries.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
        links.any(|link| link.to_str() == Some(&socket))
    })?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(format!("{} (pid {pid})", name.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let found = listeners(Path::new("/proc/self"), Transport::Tcp).unwrap();
        let own = found.iter().find(|found| found.at == at).unwrap();
        assert!(holder(own.inode).unwrap().ends_with(&format!("(pid {})", std::process::id())));
        drop(listener);
        let found = listeners(Path::new("/proc/self"), Transport::Tcp).unwrap();
        assert!(!found.iter().any(|found| found.at == at));
    }

    #[test]
    fn only_listeners_count_and_nonsense_is_passed_over() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0 0 11 1\n\
            1: 0100007F:1F90 0100007F:9999 01 00000000:00000000 00:00000000 00000000  0 0 12 1\n\
            2: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 0:0 00:0 0  0 0 13 1\n\
            3: 0100:0050 00000000:0000 0A 0:0 00:0 0  0 0 14 1\n\
            short\n";
        let found: Vec<String> =
            parse(table, LISTENS).iter().map(|found| format!("{} {}", found.at, found.inode)).collect();
        assert_eq!(found, ["127.0.0.1:8080 11", "[::]:80 13"]);
        assert!(parse("garbage", LISTENS).is_empty());
    }
}
