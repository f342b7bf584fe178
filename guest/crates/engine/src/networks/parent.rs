//! The links in the kernel that networks stand on: their own bridge, or the parent that `macvlan` and `ipvlan` share.
//! Everything here blocks.

use cubby_network::{Child, ChildKind, Mac, Sandbox};

use super::{
    Networks,
    kernel::Kernel,
    mark::Mark,
    record::{Driver, NetworkRecord},
    table::Live,
    vlan::{self, Vlan},
};
use crate::error::{Error, Result};

impl Kernel {
    /// Notes whether the network's parent has to be made, so that whoever finds the record after a crash knows.
    ///
    /// # Errors
    /// Invalid for a parent that neither exists nor can be made.
    pub fn prepare_link(&self, record: &mut NetworkRecord) -> Result<()> {
        if Vlan::of(record).is_none() {
            return Ok(());
        }
        let failed = |source| Error::system(format!("look for {}", record.bridge), source);
        let found = self.route().link(&record.bridge).map_err(failed)?;
        if found.is_none() && record.bridge != vlan::dummy_name(record.driver, &record.id) {
            let (link, _) = vlan::tagged(&record.bridge)?;
            if self.route().link(link).map_err(failed)?.is_none() {
                return Err(Error::invalid(format!("-o parent interface was not found on the host: {link}")));
            }
        }
        record.made_parent = found.is_none_or(|link| self.is_own(&link.alias));
        Ok(())
    }

    /// Index of the link that the network stands on, which is made when it is missing and ours to make; 0 when the driver
    /// has none.
    pub fn ensure_link(&self, record: &NetworkRecord) -> Result<u32> {
        match Vlan::of(record) {
            Some(_) => self.ensure_parent(record),
            None => self.ensure_bridge(record),
        }
    }

    fn ensure_parent(&self, record: &NetworkRecord) -> Result<u32> {
        let failed = |source| Error::system(format!("create parent interface {}", record.bridge), source);
        let mut route = self.route();
        if let Some(link) = route.link(&record.bridge).map_err(failed)? {
            return Ok(link.index);
        }
        if !record.made_parent {
            let (parent, driver) = (&record.bridge, record.driver.name());
            return Err(Error::invalid(format!("the {driver} parent interface {parent} was not found on the host")));
        }
        let made = if record.bridge == vlan::dummy_name(record.driver, &record.id) {
            route.create_dummy(&record.bridge)
        } else {
            let (name, id) = vlan::tagged(&record.bridge)?;
            let link = route.link(name).map_err(failed)?;
            let link =
                link.ok_or_else(|| Error::invalid(format!("-o parent interface was not found on the host: {name}")))?;
            route.create_vlan(&record.bridge, link.index, id)
        };
        made.map_err(|source| lacking(source, &record.bridge))?;
        let link = route.link(&record.bridge).map_err(failed)?;
        let index = link.ok_or_else(|| failed(std::io::ErrorKind::NotFound.into()))?.index;
        let mark = Mark::new(self.engine_id(), &record.id);
        route.set_alias(index, &mark.to_string()).map_err(failed)?;
        Ok(index)
    }

    /// A container's link of a network without a bridge.
    pub fn plug_child(
        &self,
        record: &NetworkRecord,
        vlan: Vlan,
        parent: u32,
        sandbox: &Sandbox,
        inside: &str,
        mac: Option<Mac>,
    ) -> Result<()> {
        let kind = match vlan {
            Vlan::Macvlan(mode) => ChildKind::Macvlan { mode, mac: mac.unwrap_or_else(Mac::random).0 },
            Vlan::Ipvlan(mode, flag) => ChildKind::Ipvlan { mode, flag },
        };
        // Why a name of its own first: kernels before 6.14 look for the name where the request comes from, and `eth0` is there.
        let born = format!("cb{:08x}", fastrand::u32(..));
        let child = Child { parent, inside: &born, netns: sandbox.netns(), kind };
        // Source of the words: moby 28, macvlan_setup.go. A link can be a parent for one of the two drivers at a time.
        self.route().create_child(&child).map_err(|source| match source.raw_os_error() {
            Some(code) if code == rustix::io::Errno::OPNOTSUPP.raw_os_error() => {
                Error::not_implemented(format!("this kernel has no {} interfaces", record.driver.name()))
            }
            _ => Error::system(format!("create the {} port on {}", record.driver.name(), record.bridge), source),
        })?;
        sandbox.rename(&born, inside).map_err(|source| Error::system(format!("name {inside}"), source))
    }

    /// Another network's mark on a parent that outlives the one that made it.
    fn hand_over(&self, link: u32, network: &str) -> Result<()> {
        let mark = Mark::new(self.engine_id(), network);
        let handed = self.route().set_alias(link, &mark.to_string());
        handed.map_err(|source| Error::system("mark a parent interface", source))
    }
}

/// Why other words: the kernel only says that it does not support the operation.
fn lacking(source: std::io::Error, name: &str) -> Error {
    if source.raw_os_error() != Some(rustix::io::Errno::OPNOTSUPP.raw_os_error()) {
        return Error::system(format!("create parent interface {name}"), source);
    }
    let what = if name.contains('.') { "VLAN interfaces" } else { "dummy interfaces: name a parent, -o parent=eth0" };
    Error::not_implemented(format!("this kernel has no {what}"))
}

impl Networks {
    /// Removes the link of a network that is no longer in the table, unless it is somebody else's or another network is on it.
    pub(super) fn give_up_link(&self, live: &Live) -> Result<()> {
        if live.bridge == 0 || !live.record.owns_link() {
            return Ok(());
        }
        let heir = {
            let table = self.table();
            let mut others = table.networks.values().filter(|other| other.record.driver != Driver::Bridge);
            others.find(|other| other.bridge == live.bridge).map(|other| other.record.id.clone())
        };
        match heir {
            Some(heir) => self.kernel.hand_over(live.bridge, &heir),
            None => self.kernel.remove_link(live.bridge),
        }
    }
}
