//! Another computer on this one's network, and sockets in the networks of others.

use std::{io, net::UdpSocket, os::fd::AsFd, process::Command, time::Duration};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Another computer on this one's network: a namespace with a cable to it.
pub struct Neighbour(String);

impl Neighbour {
    pub fn new() -> Self {
        let name = format!("cbt{:x}", std::process::id());
        let ip = |arguments: &str| {
            let done = Command::new("ip").args(arguments.split(' ')).status().expect("iproute2 is installed");
            assert!(done.success(), "ip {arguments}");
        };
        ip(&format!("netns add {name}"));
        let neighbour = Self(name.clone());
        ip(&format!("link add {name} type veth peer name eth0 netns {name}"));
        ip(&format!("address add 198.51.100.1/24 dev {name}"));
        ip(&format!("link set {name} up"));
        ip(&format!("-n {name} address add 198.51.100.2/24 dev eth0"));
        if neighbour.has_ipv6() {
            ip(&format!("-6 address add fd00:c0:ffee::1/64 dev {name} nodad"));
            ip(&format!("-n {name} -6 address add fd00:c0:ffee::2/64 dev eth0 nodad"));
        }
        ip(&format!("-n {name} link set eth0 up"));
        neighbour
    }

    /// Its network namespace.
    pub fn netns(&self) -> String {
        format!("/run/netns/{}", self.0)
    }

    /// Whether this computer has IPv6 at all.
    pub fn has_ipv6(&self) -> bool {
        std::path::Path::new("/proc/net/if_inet6").exists() && std::net::TcpListener::bind("[::1]:0").is_ok()
    }

    /// Sends a line over UDP and returns what comes back.
    pub fn ask(&self, at: &str, line: &str) -> Option<String> {
        let asked = within(&self.netns(), || {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            socket.set_read_timeout(Some(Duration::from_secs(2)))?;
            socket.send_to(line.as_bytes(), at)?;
            let mut answer = [0; 64];
            let len = socket.recv(&mut answer)?;
            Ok(String::from_utf8_lossy(&answer[..len]).into_owned())
        });
        asked.ok()
    }

    pub fn fetch(&self, url: &str) -> Option<String> {
        let arguments = ["netns", "exec", &self.0, "curl", "--silent", "--fail", "--max-time", "5", url];
        let output = Command::new("ip").args(arguments).output().expect("iproute2 is installed");
        let seen = String::from_utf8_lossy(&output.stdout).into_owned();
        // httpd listens for both families at once, and shows IPv4 addresses as IPv6 has them.
        let seen = seen.trim_start_matches("[::ffff:").trim_end_matches(']').to_owned();
        output.status.success().then_some(seen)
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        // Its end of the cable goes with it, and the other end with that one.
        let _ = Command::new("ip").args(["netns", "delete", &self.0]).status();
    }
}

/// Runs `work` on a thread in that network namespace. A socket stays in the one it was made in.
pub fn within<T: Send>(netns: &str, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    let netns = std::fs::File::open(netns)?;
    std::thread::scope(|scope| {
        let there = scope.spawn(move || {
            move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))?;
            work()
        });
        there.join().expect("no panic")
    })
}

/// Sends back every datagram that comes to a port in that network namespace, until this process ends.
pub fn echo_datagrams(netns: &str, port: u16) {
    let socket = within(netns, || UdpSocket::bind(("0.0.0.0", port))).expect("the port is free there");
    std::thread::spawn(move || {
        let mut datagram = [0; 64];
        while let Ok((len, from)) = socket.recv_from(&mut datagram) {
            let _ = socket.send_to(&datagram[..len], from);
        }
    });
}
