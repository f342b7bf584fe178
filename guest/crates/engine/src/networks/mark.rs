//! How links in the kernel say whose they are: `cubby/<engine>/<network>/<process>`, kept by the kernel as their alias.
//!
//! Several engines may share a kernel. Each recognises its own links by the engine's id, which is that of its data root,
//! and those of engines that died for good by the process that made them.

use std::fs;

const OURS: &str = "cubby";

/// A parsed alias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub engine: String,
    pub network: String,
    process: String,
}

impl Mark {
    /// The mark that this process puts on a network's link.
    pub fn new(engine: &str, network: &str) -> Self {
        let pid = std::process::id();
        let process = format!("{pid}.{}", started(pid).unwrap_or_default());
        Self { engine: engine.to_owned(), network: network.to_owned(), process }
    }

    /// None for a link that no engine of ours made.
    pub fn parse(alias: &str) -> Option<Self> {
        let parts: Vec<&str> = alias.split('/').collect();
        let &[OURS, engine, network, process] = parts.as_slice() else { return None };
        Some(Self { engine: engine.to_owned(), network: network.to_owned(), process: process.to_owned() })
    }

    /// Whether the process that made the link still runs: this one and no later one of the same number.
    pub fn is_alive(&self) -> bool {
        let Some((pid, start)) = self.process.split_once('.') else { return false };
        let found = pid.parse().ok().and_then(started);
        found.is_some_and(|found| found.to_string() == start)
    }
}

impl std::fmt::Display for Mark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{OURS}/{}/{}/{}", self.engine, self.network, self.process)
    }
}

/// When a process started, in ticks since boot. Source: proc_pid_stat(5), field 22; the name in field 2 may contain anything.
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_back_and_tell_the_living_from_the_dead() {
        let mark = Mark::new("engine", "network");
        assert_eq!(Mark::parse(&mark.to_string()), Some(mark.clone()));
        assert!(mark.is_alive());
        let reused = Mark { process: format!("{}.1", std::process::id()), ..mark.clone() };
        assert!(!reused.is_alive());
        for foreign in ["", "cubby", "cubby/a/b", "other/a/b/1.2"] {
            assert_eq!(Mark::parse(foreign), None, "{foreign}");
        }
    }
}
