//! What networks are in the kernel: bridges, cables, rules. Everything here blocks.
//!
//! Bridges carry our [`Mark`] as their alias: several engines can share a kernel, and what a crash left is recognised
//! whatever it is called.

use std::{
    collections::BTreeSet,
    fs,
    net::IpAddr,
    os::fd::BorrowedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cubby_network::{Cable, Mac, Netlink, Sandbox, Subnet, firewall};

use super::{
    forwards::Forwards,
    mark::Mark,
    record::{Driver, NetworkRecord},
};
use crate::error::{Error, Result};

/// Sandboxes made in advance, so that a container's start does not wait for one.
const SPARES: usize = 2;
/// Ended sandboxes that are let go together, and how long the first of them waits for others.
///
/// Why: the kernel removes a namespace while holding the lock that every new cable needs, for some milliseconds, and a
/// dozen at once in about the same time. One by one they would slow each other container's start.
const ENDED: usize = 16;
pub const ENDED_WAIT: Duration = Duration::from_millis(200);

pub struct Kernel {
    route: Mutex<Netlink>,
    spares: Mutex<Vec<Sandbox>>,
    /// Held by whoever makes spare sandboxes: one at a time, or there would be too many.
    filling: Mutex<()>,
    /// Sandboxes of containers that have ended, to go together.
    ended: Mutex<Vec<Arc<Sandbox>>>,
    engine_id: String,
    /// Name of our nftables table.
    table: String,
    forwards: Mutex<Forwards>,
    /// The host's process owns the listeners, and connections come over vsock.
    in_guest: bool,
}

impl Kernel {
    /// In the guest the table has the plain name; natively several engines may run side by side.
    pub fn open(engine_id: &str, in_guest: bool) -> Result<Self> {
        let route = Netlink::route().map_err(|source| Error::system("open netlink socket", source))?;
        let table = if in_guest { "cubby".to_owned() } else { table_name(engine_id) };
        Ok(Self {
            route: Mutex::new(route),
            spares: Mutex::default(),
            filling: Mutex::new(()),
            ended: Mutex::default(),
            engine_id: engine_id.to_owned(),
            table,
            forwards: Mutex::default(),
            in_guest,
        })
    }

    fn forwards(&self) -> MutexGuard<'_, Forwards> {
        self.forwards.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn has_ports(&self, container_id: &str) -> bool {
        self.forwards().has(container_id)
    }

    pub fn open_ports(&self, container_id: &str, ports: Vec<firewall::Forward>) -> Result<()> {
        if self.in_guest { Ok(()) } else { self.forwards().open(&self.table, container_id, ports) }
    }

    pub fn close_ports(&self, container_id: &str) -> Result<()> {
        self.forwards().close(&self.table, container_id)
    }

    pub fn engine_id(&self) -> &str {
        &self.engine_id
    }

    pub(super) fn route(&self) -> MutexGuard<'_, Netlink> {
        self.route.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spares(&self) -> MutexGuard<'_, Vec<Sandbox>> {
        self.spares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_own(&self, alias: &str) -> bool {
        Mark::parse(alias).is_some_and(|mark| mark.engine == self.engine_id)
    }

    /// Containers reach other networks only if the kernel forwards.
    pub fn enable_forwarding(&self) -> Result<()> {
        let path = "/proc/sys/net/ipv4/ip_forward";
        let on = fs::read_to_string(path).is_ok_and(|text| text.trim() == "1");
        if on {
            return Ok(());
        }
        fs::write(path, "1").map_err(|source| Error::system("switch IPv4 forwarding on", source))
    }

    /// Containers with IPv6 reach other networks only if the kernel forwards that too.
    ///
    /// Why the loop: a forwarding machine no longer believes routers' announcements, by which it may have its own addresses
    /// and routes, unless it is told to all the same.
    fn enable_ipv6_forwarding(&self) -> std::io::Result<()> {
        const SETTINGS: &str = "/proc/sys/net/ipv6/conf";
        let forwarding = format!("{SETTINGS}/all/forwarding");
        if fs::read_to_string(&forwarding)?.trim() == "1" {
            return Ok(());
        }
        for link in fs::read_dir(SETTINGS)?.flatten() {
            let announced = link.path().join("accept_ra");
            if link.file_name() != "all" && fs::read_to_string(&announced).is_ok_and(|text| text.trim() == "1") {
                fs::write(announced, "2")?;
            }
        }
        fs::write(forwarding, "1")
    }

    /// Removes our links that no record asks for, and what engines left that died and never came back: their bridges
    /// without a single port, and their rules with the last of these.
    pub fn sweep(&self, known: impl Fn(&str) -> bool) -> Result<()> {
        let mut route = self.route();
        let links = route.links().map_err(|source| Error::system("list links", source))?;
        let marked: Vec<_> = links.iter().filter_map(|link| Some((link, Mark::parse(&link.alias)?))).collect();
        let (mut kept, mut gone) = (BTreeSet::new(), BTreeSet::new());
        for (link, mark) in marked {
            let in_use = links.iter().any(|port| port.master == link.index);
            let own = mark.engine == self.engine_id;
            // Why bridges alone of others: who is on a parent interface cannot be seen from here.
            let of_the_dead = || link.kind == "bridge" && !in_use && !mark.is_alive();
            let refuse = if own { !known(&mark.network) } else { of_the_dead() };
            if !refuse {
                kept.insert(mark.engine);
                continue;
            }
            tracing::info!(link = %link.name, engine = %mark.engine, "bridge of a network that is gone removed");
            route.delete_link(link.index).map_err(|source| Error::system(format!("remove {}", link.name), source))?;
            gone.insert(mark.engine);
        }
        for engine in gone.difference(&kept).filter(|engine| **engine != self.engine_id) {
            firewall::remove(&table_name(engine)).map_err(|source| Error::system("remove firewall rules", source))?;
        }
        Ok(())
    }

    /// Index of the network's bridge, which is made when it is missing.
    ///
    /// # Errors
    /// Conflict when its name belongs to somebody else's link.
    pub(super) fn ensure_bridge(&self, record: &NetworkRecord) -> Result<u32> {
        if record.driver != Driver::Bridge || record.subnets().next().is_none() {
            return Ok(0);
        }
        if record.ipv6.is_some() {
            self.enable_ipv6_forwarding().map_err(|source| Error::system("switch IPv6 forwarding on", source))?;
        }
        let failed = |source| Error::system(format!("create bridge {}", record.bridge), source);
        let mark = Mark::new(&self.engine_id, &record.id);
        let mut route = self.route();
        if let Some(link) = route.link(&record.bridge).map_err(failed)? {
            // Why: an unmarked link of a name made from the network's own id was ours when a crash came.
            let is_ours = Mark::parse(&link.alias)
                .is_some_and(|found| (&found.engine, &found.network) == (&mark.engine, &mark.network));
            if !is_ours && record.bridge != bridge_name(&record.id) {
                return Err(Error::conflict(format!("bridge {} already exists and is not ours", record.bridge)));
            }
            return finish_bridge(&mut route, link.index, record, &mark).map_err(failed);
        }
        let mac = match record.addresses.as_ref().and_then(|addresses| addresses.gateway) {
            Some(IpAddr::V4(gateway)) => Mac::of(gateway),
            _ => Mac::random(),
        };
        route.create_bridge(&record.bridge, mac.0, record.mtu()).map_err(failed)?;
        let link = route.link(&record.bridge).map_err(failed)?;
        let index = link.ok_or_else(|| failed(std::io::ErrorKind::NotFound.into()))?.index;
        let finished = finish_bridge(&mut route, index, record, &mark);
        if finished.is_err()
            && let Err(error) = route.delete_link(index)
        {
            tracing::warn!(link = %record.bridge, err = %error, "half-made bridge could not be removed");
        }
        finished.map_err(failed)
    }

    pub fn remove_link(&self, index: u32) -> Result<()> {
        match self.route().delete_link(index) {
            Err(error) if error.raw_os_error() != Some(rustix::io::Errno::NODEV.raw_os_error()) => {
                Err(Error::system("remove bridge", error))
            }
            _ => Ok(()),
        }
    }

    /// Where the host's routes lead, but for those through our own bridges.
    pub fn foreign_routes(&self) -> Result<Vec<Subnet>> {
        let failed = |source| Error::system("list routes", source);
        let mut route = self.route();
        let links = route.links().map_err(failed)?;
        let own: Vec<u32> = links.iter().filter(|link| self.is_own(&link.alias)).map(|link| link.index).collect();
        let routes = route.routes().map_err(failed)?;
        Ok(routes.into_iter().filter(|(_, link)| !own.contains(link)).map(|(subnet, _)| subnet).collect())
    }

    /// Whether a link that is not ours has the name.
    pub fn is_foreign(&self, name: &str) -> Result<bool> {
        let link = self.route().link(name).map_err(|source| Error::system(format!("look for {name}"), source))?;
        Ok(link.is_some_and(|link| !self.is_own(&link.alias)))
    }

    /// An empty sandbox, ready-made if there is one.
    pub fn sandbox(&self) -> Result<Sandbox> {
        let spare = self.spares().pop();
        spare.map_or_else(Sandbox::create, Ok).map_err(|source| Error::system("create sandbox", source))
    }

    /// Makes up for sandboxes that were taken.
    pub fn refill(&self) {
        let Ok(_turn) = self.filling.try_lock() else { return };
        while self.spares().len() < SPARES {
            match Sandbox::create() {
                Ok(sandbox) => self.spares().push(sandbox),
                Err(error) => {
                    tracing::warn!(err = %error, "spare sandbox could not be made");
                    return;
                }
            }
        }
    }

    /// Takes an ended container's sandbox. True when it is the first of several to come: the caller calls
    /// [`Kernel::let_go`] after [`ENDED_WAIT`].
    pub fn end(&self, sandbox: Arc<Sandbox>) -> bool {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.push(sandbox);
        let (first, full) = (ended.len() == 1, ended.len() >= ENDED);
        let gone = if full { std::mem::take(&mut *ended) } else { Vec::new() };
        drop(ended);
        // Why after the lock: closing descriptors is quick, but not as quick as others may want to be.
        drop(gone);
        first
    }

    /// Lets ended sandboxes go: the kernel removes them and the cables in them, in its own time.
    pub fn let_go(&self) {
        let gone = std::mem::take(&mut *self.ended.lock().unwrap_or_else(PoisonError::into_inner));
        drop(gone);
    }

    pub fn drop_spares(&self) {
        let spares = std::mem::take(&mut *self.spares());
        drop(spares);
    }

    /// Waits until a cable's outer end passes packets, after its inner end came up; and the bridge, whose first it may be.
    pub fn settle(&self, outside: &str, bridge: &str) -> Result<()> {
        let mut route = self.route();
        let settled = route.settle(outside).and_then(|()| route.settle(bridge));
        settled.map_err(|source| Error::system(format!("wait for {outside}"), source))
    }

    /// A cable between the network's bridge and a sandbox; returns the name of the outer end.
    pub fn plug(
        &self,
        record: &NetworkRecord,
        bridge: u32,
        netns: BorrowedFd,
        inside: &str,
        mac: Mac,
    ) -> Result<String> {
        let failed = |source| Error::system(format!("connect to bridge {}", record.bridge), source);
        let mut route = self.route();
        loop {
            let outside = format!("veth{:07x}", fastrand::u32(..) >> 4);
            let cable = Cable { outside: &outside, bridge, inside, netns, mac: mac.0, mtu: record.mtu() };
            match route.create_cable(&cable) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                    // Why: a name that exists is chosen anew; an inner name that exists is the caller's mistake.
                    if route.link(&outside).map_err(failed)?.is_none() {
                        return Err(failed(error));
                    }
                }
                Err(error) => return Err(failed(error)),
                Ok(()) if record.containers_connect() => return Ok(outside),
                Ok(()) => {
                    let port = route.link(&outside).map_err(failed)?;
                    port.map_or(Ok(()), |port| route.isolate_port(port.index)).map_err(failed)?;
                    return Ok(outside);
                }
            }
        }
    }

    /// Writes our table anew from what networks there are, in one transaction.
    pub fn apply_rules<'a>(&self, records: impl Iterator<Item = &'a NetworkRecord>) -> Result<()> {
        let bridges = records.filter(|record| record.driver == Driver::Bridge).map(|record| firewall::Bridge {
            name: record.bridge.clone(),
            subnets: record.subnets().map(|addresses| addresses.subnet).collect(),
            internal: record.internal,
            masquerade: record.masquerades(),
        });
        let bridges: Vec<_> = bridges.collect();
        self.forwards().apply(&self.table, &bridges, !self.in_guest)
    }

    pub fn remove_rules(&self) -> Result<()> {
        firewall::remove(&self.table).map_err(|source| Error::system("remove firewall rules", source))
    }
}

/// An engine's table where several engines may run side by side.
fn table_name(engine_id: &str) -> String {
    let short: String = engine_id.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
    format!("cubby-{short}")
}

/// The name of a user network's bridge; like every link name at most 15 bytes.
pub fn bridge_name(network_id: &str) -> String {
    format!("cb-{}", network_id.get(..12).unwrap_or(network_id))
}

fn finish_bridge(route: &mut Netlink, index: u32, record: &NetworkRecord, mark: &Mark) -> std::io::Result<u32> {
    route.set_alias(index, &mark.to_string())?;
    if record.ipv6.is_some() {
        fs::write(format!("/proc/sys/net/ipv6/conf/{}/disable_ipv6", record.bridge), "0")?;
    }
    for addresses in record.subnets() {
        if let Some(gateway) = addresses.gateway {
            route.add_address(index, gateway, addresses.subnet.prefix())?;
        }
    }
    route.set_up(index)?;
    Ok(index)
}
