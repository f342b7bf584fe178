//! Sandboxes: network namespaces held by a descriptor.
//!
//! Nothing pins a namespace to a path. It lives while a process in it or our descriptor does; when both are gone the kernel
//! removes it and every cable in it. So a crash of the engine leaves running containers' namespaces (their processes hold
//! them; `/proc/<pid>/ns/net` finds them again) and nothing else.
//!
//! Namespaces belong to threads: only short-lived threads of this module ever leave the engine's own namespace.

use std::{
    fs::{self, File},
    io,
    net::IpAddr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
};

use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

use crate::{
    error::{Context, Result},
    netlink::Netlink,
};

const OWN_NAMESPACE: &str = "/proc/thread-self/ns/net";

/// Settings of a fresh namespace. Source: what dockerd sets for containers (moby daemon/oci_linux.go): programs may bind
/// low ports and ping without capabilities. No IPv6 addresses on links of networks that have none.
const SETTINGS: [(&str, &str); 3] = [
    ("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0"),
    ("/proc/sys/net/ipv4/ping_group_range", "0 2147483647"),
    ("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1"),
];

/// See the module's documentation.
#[derive(Debug)]
pub struct Sandbox {
    netns: OwnedFd,
    /// Opened inside, so usable from any thread.
    netlink: Mutex<Netlink>,
}

/// An interface to configure inside a sandbox.
#[derive(Clone, Debug)]
pub struct Interface<'a> {
    pub name: &'a str,
    pub addresses: &'a [(IpAddr, u8)],
    /// As [`Netlink::add_default_route`] takes them.
    pub gateways: &'a [IpAddr],
}

impl Sandbox {
    /// A fresh namespace with loopback up. Blocks for about a millisecond.
    pub fn create() -> Result<Self> {
        let made = on_own_thread(|| {
            // SAFETY: CLONE_NEWNET neither touches memory nor descriptors; it changes which network this thread sees, and
            // this thread runs nothing but this closure.
            unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?;
            for (path, value) in SETTINGS {
                // Why: a kernel without IPv6 has no such file, and then nothing to switch off.
                match fs::write(path, value) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            let mut netlink = Netlink::route()?;
            netlink.set_up(1)?;
            Ok(Self { netns: OwnedFd::from(File::open(OWN_NAMESPACE)?), netlink: Mutex::new(netlink) })
        });
        made.context(|| "create network namespace".to_owned())
    }

    /// A namespace that exists: `/proc/<pid>/ns/net`.
    pub fn adopt(netns: OwnedFd) -> Result<Self> {
        let netlink = within(netns.as_fd(), Netlink::route)?;
        Ok(Self { netns, netlink: Mutex::new(netlink) })
    }

    pub fn netns(&self) -> BorrowedFd<'_> {
        self.netns.as_fd()
    }

    /// Another descriptor of the same namespace.
    pub fn duplicate(&self) -> Result<OwnedFd> {
        self.netns.try_clone().context(|| "duplicate network namespace descriptor".to_owned())
    }

    fn netlink(&self) -> MutexGuard<'_, Netlink> {
        self.netlink.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings an interface that is in the sandbox up and gives it its addresses and default routes.
    pub fn configure(&self, interface: &Interface) -> Result<()> {
        let mut netlink = self.netlink();
        let index = index_of(&mut netlink, interface.name)?;
        netlink.set_up(index).context(|| format!("bring {} up", interface.name))?;
        for (address, prefix) in interface.addresses {
            netlink
                .add_address(index, *address, *prefix)
                .context(|| format!("set address {address}/{prefix} on {}", interface.name))?;
        }
        for gateway in interface.gateways {
            netlink
                .add_default_route(index, *gateway)
                .context(|| format!("set default route via {gateway} on {}", interface.name))?;
        }
        netlink.settle(interface.name).context(|| format!("wait for {}", interface.name))?;
        Ok(())
    }

    /// Another name for an interface that is down. One that cannot have it is removed.
    pub fn rename(&self, from: &str, to: &str) -> Result<()> {
        let mut netlink = self.netlink();
        let index = index_of(&mut netlink, from)?;
        let renamed = netlink.rename(index, to);
        if renamed.is_err() {
            netlink.delete_link(index).context(|| format!("remove {from}"))?;
        }
        renamed.context(|| format!("call {from} {to}"))
    }

    /// Removes the interface with that address; its other end goes too. Blocks for an RCU grace period. An absent one is fine.
    pub fn remove(&self, address: IpAddr) -> Result<()> {
        let mut netlink = self.netlink();
        let index = with_address(&mut netlink, address)?;
        index.map_or(Ok(()), |index| netlink.delete_link(index)).context(|| format!("remove interface of {address}"))
    }

    /// Makes `gateway`, through the interface with that address, the default route of its family. An absent interface is fine.
    pub fn route(&self, address: IpAddr, gateway: IpAddr) -> Result<()> {
        let mut netlink = self.netlink();
        let index = with_address(&mut netlink, address)?;
        index
            .map_or(Ok(()), |index| netlink.add_default_route(index, gateway))
            .context(|| format!("set default route via {gateway}"))
    }

    /// Names of all interfaces in the sandbox.
    pub fn interfaces(&self) -> Result<Vec<String>> {
        let links = self.netlink().links().context(|| "list interfaces of a sandbox".to_owned())?;
        Ok(links.into_iter().map(|link| link.name).collect())
    }

    /// Switches IPv6 on for an interface that is in the sandbox. What others on the network announce as routes is not believed.
    pub fn enable_ipv6(&self, interface: &str) -> Result<()> {
        let settings = format!("/proc/sys/net/ipv6/conf/{interface}");
        within(self.netns(), move || {
            for (name, value) in [("accept_ra", "0"), ("disable_ipv6", "0")] {
                fs::write(format!("{settings}/{name}"), value)?;
            }
            Ok(())
        })
    }

    /// Runs `work` on a thread that is in the sandbox: for sockets that shall live there.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> Result<T> {
        within(self.netns(), work)
    }
}

fn with_address(netlink: &mut Netlink, address: IpAddr) -> Result<Option<u32>> {
    netlink.link_with_address(address).context(|| "list addresses of a sandbox".to_owned())
}

fn index_of(netlink: &mut Netlink, name: &str) -> Result<u32> {
    let link = netlink.link(name).and_then(|link| link.ok_or_else(|| io::ErrorKind::NotFound.into()));
    Ok(link.context(|| format!("look for {name}"))?.index)
}

fn within<T: Send>(netns: BorrowedFd, work: impl FnOnce() -> io::Result<T> + Send) -> Result<T> {
    on_own_thread(|| {
        move_into_link_name_space(netns, Some(LinkNameSpaceType::Network))?;
        work()
    })
    .context(|| "work in network namespace".to_owned())
}

/// Runs `work` on a thread that ends with it, so that nothing else ever runs in the namespace it moved to.
fn on_own_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("sandbox".into()).stack_size(256 << 10).spawn_scoped(scope, work)?;
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the namespace thread panicked")))
    })
}
