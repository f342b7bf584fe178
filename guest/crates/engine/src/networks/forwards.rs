//! Which ports the kernel forwards by itself, and whether it may: see [`super::ports`].

use std::{collections::HashMap, fs};

use cubby_network::firewall::{self, Bridge, Carries, Forward};

use crate::error::{Error, Result};

/// What the table in the kernel has, beside the bridges' rules.
#[derive(Default)]
pub struct Forwards {
    /// By container id.
    ports: HashMap<String, Vec<Forward>>,
    /// The table has the maps of ports.
    active: bool,
    /// Somebody was told of the chains that drop what we forward.
    told: bool,
}

impl Forwards {
    pub fn has(&self, container_id: &str) -> bool {
        self.ports.contains_key(container_id)
    }

    /// Writes the whole table: with ports if nobody else drops what is forwarded and the kernel can.
    pub fn apply(&mut self, table: &str, bridges: &[Bridge], wanted: bool) -> Result<()> {
        let failed = |source| Error::system("write firewall rules", source);
        self.active = false;
        if wanted && self.may_forward()? {
            let ports: Vec<Forward> = self.ports.values().flatten().cloned().collect();
            match firewall::apply(table, bridges, Some(&ports)) {
                Ok(()) => {
                    self.active = true;
                    return Ok(());
                }
                Err(error) => tracing::info!(err = %error, "this kernel forwards no ports by itself: a relay does"),
            }
        }
        firewall::apply(table, bridges, None).map_err(failed)
    }

    /// Enters a container's ports.
    pub fn open(&mut self, table: &str, container_id: &str, ports: Vec<Forward>) -> Result<()> {
        if !self.active && ports.iter().any(|port| port.carries == Carries::Sctp) {
            return Err(Error::not_implemented(
                "publishing sctp ports is not possible here: only the kernel forwards them, and another firewall drops what \
                 it forwards, or it cannot; the engine's log says which",
            ));
        }
        let opened = if self.active { firewall::open_ports(table, &ports) } else { Ok(()) };
        opened.map_err(|source| Error::system("forward published ports", source))?;
        self.ports.insert(container_id.to_owned(), ports);
        Ok(())
    }

    pub fn close(&mut self, table: &str, container_id: &str) -> Result<()> {
        let Some(ports) = self.ports.remove(container_id).filter(|_| self.active) else { return Ok(()) };
        firewall::close_ports(table, &ports).map_err(|source| Error::system("close forwarded ports", source))
    }

    /// Why: another's chain that drops what it does not know would swallow connections that the relay serves well.
    fn may_forward(&mut self) -> Result<bool> {
        let drops = firewall::foreign_drops(|table| table.starts_with("cubby"));
        let drops = drops.map_err(|source| Error::system("read the firewall of others", source))?;
        let legacy = fs::read_to_string("/proc/net/ip_tables_names").is_ok_and(|names| names.contains("filter"));
        if let Some(chain) = drops.first()
            && !self.told
        {
            self.told = true;
            tracing::warn!(
                table = %chain.table, chain = %chain.chain,
                "another firewall drops forwarded packets: containers may not reach the outside until it lets their bridges \
                 pass; published ports go through a relay"
            );
        }
        Ok(drops.is_empty() && !legacy)
    }
}
