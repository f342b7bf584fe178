//! Namespaces that exist already: of containers that outlived an engine, and of those that others join.

use std::sync::Arc;

use cubby_network::Sandbox;

use super::{Join, Joined, Networks, Rejoin, checks, resolve, table::Member};
use crate::error::{Error, Result};

impl Networks {
    /// Takes over a container that kept running without an engine: allocations and names, not a packet of its traffic.
    ///
    /// # Errors
    /// When one of its networks is gone or its addresses are taken; the container runs on, without names.
    pub async fn rejoin(self: &Arc<Self>, rejoin: Rejoin) -> Result<()> {
        let networks = self.clone();
        let taken_over = tokio::task::spawn_blocking(move || networks.take_over(rejoin)).await;
        taken_over.unwrap_or_else(|error| Err(Error::system("rejoin networks", error)))
    }

    fn take_over(self: &Arc<Self>, rejoin: Rejoin) -> Result<()> {
        let failed = |source| Error::system("adopt network namespace", source);
        let sandbox = rejoin.netns.map(Sandbox::adopt).transpose().map_err(failed)?.map(Arc::new);
        let mut on_user_network = false;
        {
            let mut table = self.table();
            for (name, settings) in &rejoin.endpoints {
                let id = table.find(name)?.to_owned();
                let live =
                    table.networks.get_mut(&id).ok_or_else(|| Error::not_found(format!("network {id} not found")))?;
                on_user_network |= !live.record.is_predefined();
                live.restore(&rejoin.container_id, &rejoin.name, settings)?;
            }
        }
        let member = Member {
            name: rejoin.name,
            hostname: rejoin.hostname,
            sandbox,
            links: checks::parse_links(&rejoin.links),
            dns: None,
            upstream: resolve::upstream(&rejoin.dns),
        };
        self.table().members.insert(rejoin.container_id.clone(), member);
        if on_user_network { self.serve_names(&rejoin.container_id) } else { Ok(()) }
    }

    /// `container:<id>`: the other's namespace; addresses and files are the other's too.
    pub(super) fn share(&self, join: &Join, other: &str) -> Result<Joined> {
        let table = self.table();
        let not_running =
            || Error::conflict(format!("cannot join network namespace of a non running container: {other}"));
        let by_name = || table.members.iter().find(|(id, member)| member.name == other || id.starts_with(other));
        let member =
            table.members.get(other).or_else(|| by_name().map(|(_, member)| member)).ok_or_else(not_running)?;
        let netns = member.sandbox.as_ref().map(|sandbox| sandbox.duplicate()).transpose();
        let netns = netns.map_err(|source| Error::system(format!("share network of {other}"), source))?;
        let sandbox = member.sandbox.clone();
        drop(table);
        let member = Member { name: join.name.clone(), hostname: join.hostname.clone(), sandbox, ..Member::default() };
        self.table().members.insert(join.container_id.clone(), member);
        Ok(Joined { netns, sandbox_id: String::new(), ..Joined::default() })
    }
}
