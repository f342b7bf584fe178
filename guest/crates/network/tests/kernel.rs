//! Against the real kernel, as root: two sandboxes on a bridge reach each other, and nothing is left afterwards.

// Helpers of tests may unwrap as tests do.
#![allow(clippy::unwrap_used)]

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use cubby_network::{Cable, Interface, Mac, Netlink, Sandbox};

/// A bridge that goes when the test ends, however it ends.
struct Bridge {
    name: String,
    index: u32,
}

impl Bridge {
    fn new(name: &str, gateway: Ipv4Addr) -> Self {
        let mut netlink = Netlink::route().unwrap();
        netlink.create_bridge(name, Mac::of(gateway).0, 1500).unwrap();
        let index = netlink.link(name).unwrap().unwrap().index;
        let bridge = Self { name: name.to_owned(), index };
        netlink.add_address(index, gateway.into(), 24).unwrap();
        bridge
    }

    fn plug(&self, outside: &str, address: Ipv4Addr, gateway: Ipv4Addr) -> Sandbox {
        let sandbox = Sandbox::create().unwrap();
        let cable = Cable {
            outside,
            bridge: self.index,
            inside: "eth0",
            netns: sandbox.netns(),
            mac: Mac::of(address).0,
            mtu: 1500,
        };
        Netlink::route().unwrap().create_cable(&cable).unwrap();
        let interface =
            Interface { name: "eth0", addresses: &[(IpAddr::V4(address), 24)], gateways: &[gateway.into()] };
        sandbox.configure(&interface).unwrap();
        sandbox
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        Netlink::route().unwrap().delete_link(self.index).unwrap();
    }
}

fn wait_until(what: &str, test: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !test() {
        assert!(Instant::now() < deadline, "{what} did not happen in 10 s");
        std::thread::yield_now();
    }
}

fn exists(link: &str) -> bool {
    Netlink::route().unwrap().link(link).unwrap().is_some()
}

#[test]
fn sandboxes_on_a_bridge_reach_each_other_and_leave_nothing() {
    let gateway = Ipv4Addr::new(10, 213, 7, 1);
    let bridge = Bridge::new("cbt-plug", gateway);
    let a = bridge.plug("cbt-a", Ipv4Addr::new(10, 213, 7, 2), gateway);
    let b = bridge.plug("cbt-b", Ipv4Addr::new(10, 213, 7, 3), gateway);

    let listener = a.within(|| TcpListener::bind("10.213.7.2:80")).unwrap();
    let server = std::thread::spawn(move || listener.accept().unwrap().0.write_all(b"hello").unwrap());
    let mut text = String::new();
    b.within(|| TcpStream::connect_timeout(&"10.213.7.2:80".parse().unwrap(), Duration::from_secs(5)))
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "hello");
    server.join().unwrap();

    assert_eq!(a.interfaces().unwrap(), ["lo", "eth0"]);
    drop((a, b));
    wait_until("the cables going with their sandboxes", || !exists("cbt-a") && !exists("cbt-b"));
    let name = bridge.name.clone();
    drop(bridge);
    assert!(!exists(&name));
}

#[test]
fn an_isolated_port_reaches_the_bridge_but_not_its_like() {
    let gateway = Ipv4Addr::new(10, 213, 8, 1);
    let bridge = Bridge::new("cbt-iso", gateway);
    let a = bridge.plug("cbt-ia", Ipv4Addr::new(10, 213, 8, 2), gateway);
    let b = bridge.plug("cbt-ib", Ipv4Addr::new(10, 213, 8, 3), gateway);
    let mut netlink = Netlink::route().unwrap();
    for name in ["cbt-ia", "cbt-ib"] {
        let port = netlink.link(name).unwrap().unwrap();
        assert_eq!(port.master, bridge.index);
        netlink.isolate_port(port.index).unwrap();
    }
    let _listener = a.within(|| TcpListener::bind("10.213.8.2:80")).unwrap();
    let _own = TcpListener::bind("10.213.8.1:8080").unwrap();
    let connect = |to: &str| {
        let to = to.parse().unwrap();
        b.within(move || TcpStream::connect_timeout(&to, Duration::from_millis(300)))
    };
    connect("10.213.8.1:8080").unwrap();
    connect("10.213.8.2:80").unwrap_err();
}

#[test]
fn aliases_and_routes_are_seen() {
    let gateway = Ipv4Addr::new(10, 213, 9, 1);
    let bridge = Bridge::new("cbt-alias", gateway);
    let mut netlink = Netlink::route().unwrap();
    netlink.set_alias(bridge.index, "cubby:test").unwrap();
    let link = netlink.links().unwrap().into_iter().find(|link| link.index == bridge.index).unwrap();
    assert_eq!((link.name.as_str(), link.alias.as_str()), ("cbt-alias", "cubby:test"));
    let subnet = "10.213.9.0/24".parse().unwrap();
    assert!(netlink.routes().unwrap().contains(&(subnet, bridge.index)));
    assert_eq!(netlink.link("no-such-link").unwrap(), None);
    assert!(netlink.create_bridge("cbt-alias", [2, 0, 0, 0, 0, 1], 1500).is_err(), "a taken name is refused");
}
