//! Against the real kernel, as root, in a network namespace of the test's own: nothing here touches the machine's network.

mod lifecycle;
mod names;
mod traffic;
mod vlan;

use std::{
    collections::HashMap,
    fs::File,
    future::Future,
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bollard_stubs::models::{EndpointIpamConfig, EndpointSettings, Ipam, IpamConfig, NetworkCreateRequest};
use cubby_network::{Netlink, Sandbox};

use super::*;
use crate::{engine::Config, events::EventBus, filters::Filters, state::State};

/// Runs a test whose every thread is in a fresh namespace.
fn in_own_namespace<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    let thread = std::thread::spawn(move || {
        let router = Sandbox::create().unwrap();
        let netns = Arc::new(router.duplicate().unwrap());
        let enter = move || {
            let kind = rustix::thread::LinkNameSpaceType::Network;
            rustix::thread::move_into_link_name_space(netns.as_fd(), Some(kind)).unwrap();
        };
        enter();
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).enable_all().on_thread_start(enter).build().unwrap();
        runtime.block_on(test());
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// An engine's networks over a directory that outlives them.
struct Bench {
    dir: tempfile::TempDir,
    users: Arc<Users>,
    networks: Arc<Networks>,
}

const ENGINE: &str = "0123abcd-test";

impl Bench {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let users = Arc::new(Users::default());
        let networks = open(dir.path().join("state.db"), &users, ENGINE).await;
        Self { dir, users, networks }
    }

    /// As after `kill -9`: nothing is closed, everything in memory is gone.
    async fn crash(&mut self) {
        self.networks = open(self.dir.path().join("state.db"), &self.users, ENGINE).await;
    }

    async fn run(&self, name: &str, mode: &str) -> Joined {
        self.join(name, mode, HashMap::new()).await.unwrap()
    }

    async fn join(&self, name: &str, mode: &str, endpoints: HashMap<String, EndpointSettings>) -> Result<Joined> {
        let join = request(name, mode, endpoints);
        let (id, mode) = (join.container_id.clone(), join.mode.clone());
        let joined = self.networks.join(join).await?;
        let endpoints = joined.endpoints.clone();
        let user = NetworkUser { container_id: id.clone(), name: name.to_owned(), mode, running: true, endpoints };
        self.users.0.lock().unwrap().insert(id, user);
        Ok(joined)
    }

    async fn create(&self, name: &str, subnet: Option<&str>, internal: bool) -> String {
        let config = subnet.map(|subnet| IpamConfig { subnet: Some(subnet.to_owned()), ..IpamConfig::default() });
        let request = NetworkCreateRequest {
            name: name.to_owned(),
            internal: Some(internal),
            ipam: config.map(|config| Ipam { config: Some(vec![config]), ..Ipam::default() }),
            ..NetworkCreateRequest::default()
        };
        self.networks.create(request).await.unwrap().id
    }
}

async fn open(database: PathBuf, users: &Arc<Users>, engine: &str) -> Arc<Networks> {
    let state = Arc::new(State::open(&database).unwrap());
    let root = database.parent().unwrap().to_owned();
    let config = Config { data_root: root.clone(), run_dir: root, exe: PathBuf::new(), in_guest: false };
    let networks = Networks::open(&config, engine, state, Arc::new(EventBus::default())).await.unwrap();
    let weak: Weak<Users> = Arc::downgrade(users);
    networks.set_users(weak);
    networks
}

/// `name` doubled to the length of an id.
fn id_of(name: &str) -> String {
    name.bytes().map(|byte| format!("{byte:02x}")).collect::<String>().repeat(64)[..64].to_owned()
}

fn request(name: &str, mode: &str, endpoints: HashMap<String, EndpointSettings>) -> Join {
    Join {
        container_id: id_of(name),
        name: name.to_owned(),
        hostname: format!("{name}-host"),
        domainname: String::new(),
        mode: NetworkMode::parse(mode),
        endpoints,
        dns: Dns::default(),
        extra_hosts: vec!["gate:host-gateway".to_owned()],
        links: Vec::new(),
        host_gateway: None,
    }
}

fn with_address(address: &str) -> EndpointSettings {
    let config = EndpointIpamConfig { ipv4_address: Some(address.to_owned()), ..EndpointIpamConfig::default() };
    EndpointSettings { ipam_config: Some(config), ..EndpointSettings::default() }
}

#[derive(Default)]
struct Users(Mutex<HashMap<String, NetworkUser>>);

impl NetworkUsers for Users {
    fn network_user(&self, name_or_id: &str) -> Result<NetworkUser> {
        let users = self.0.lock().unwrap();
        let found = users.values().find(|user| user.name == name_or_id || user.container_id == name_or_id);
        found.cloned().ok_or_else(|| Error::not_found(format!("No such container: {name_or_id}")))
    }

    fn record_endpoint(&self, container_id: &str, network: &str, endpoint: Option<EndpointSettings>) -> Result<()> {
        let mut users = self.0.lock().unwrap();
        let user = users.get_mut(container_id).unwrap();
        match endpoint {
            Some(endpoint) => user.endpoints.insert(network.to_owned(), endpoint),
            None => user.endpoints.remove(network),
        };
        Ok(())
    }
}

impl Joined {
    fn within<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        let netns = self.netns.as_ref().unwrap().try_clone().unwrap();
        Sandbox::adopt(netns).unwrap().within(work).map_err(|error| io::Error::new(error.kind(), error))
    }

    fn ip(&self) -> Ipv4Addr {
        match self.address.unwrap() {
            IpAddr::V4(address) => address,
            IpAddr::V6(address) => panic!("{address} is IPv6"),
        }
    }

    /// Whether a server of ours in `self` is reached from `other` at `address`.
    fn reached_from(&self, other: &Joined, address: Ipv4Addr) -> bool {
        let listener = self.within(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, 80))).unwrap();
        let at = SocketAddr::from((address, 80));
        let connected = other.within(|| TcpStream::connect_timeout(&at, Duration::from_millis(400)));
        let Ok(mut client) = connected else { return false };
        listener.accept().unwrap().0.write_all(b"hello").unwrap();
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        text == "hello"
    }
}

fn link_names() -> Vec<String> {
    let mut names: Vec<_> = Netlink::route().unwrap().links().unwrap().into_iter().map(|link| link.name).collect();
    names.sort();
    names
}

fn wait_until(what: &str, test: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !test() {
        assert!(Instant::now() < deadline, "{what} did not happen in 10 s; links: {:?}", link_names());
        std::thread::yield_now();
    }
}

fn netns_of(joined: &Joined) -> OwnedFd {
    joined.netns.as_ref().unwrap().try_clone().unwrap()
}

/// `nft` where the machine has it: an independent reader of what we wrote.
fn nft(arguments: &[&str]) -> Option<String> {
    let output = match std::process::Command::new("nft").args(arguments).output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        output => output.unwrap(),
    };
    assert!(output.status.success(), "nft {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

/// A namespace beyond the router, with the address 198.51.100.2; the router is 198.51.100.1.
fn outside_world() -> Sandbox {
    let sandbox = Sandbox::create().unwrap();
    let mut netlink = Netlink::route().unwrap();
    let mac = cubby_network::Mac([2, 0, 0, 0, 0, 9]);
    let cable = cubby_network::Cable {
        outside: "uplink",
        bridge: 0,
        inside: "eth0",
        netns: sandbox.netns(),
        mac: mac.0,
        mtu: 1500,
    };
    netlink.create_cable(&cable).unwrap();
    let index = netlink.link("uplink").unwrap().unwrap().index;
    netlink.add_address(index, Ipv4Addr::new(198, 51, 100, 1).into(), 24).unwrap();
    let addresses = [(IpAddr::from([198, 51, 100, 2]), 24)];
    sandbox.configure(&cubby_network::Interface { name: "eth0", addresses: &addresses, gateways: &[] }).unwrap();
    sandbox
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn proc_file(path: &str) -> String {
    let mut text = String::new();
    File::open(path).unwrap().read_to_string(&mut text).unwrap();
    text
}
