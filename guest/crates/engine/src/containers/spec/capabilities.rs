//! Which capabilities a container's processes have.

use std::collections::BTreeSet;

use cubby_runtime::CAPABILITIES;
use oci_spec::runtime::Capability;

use crate::{
    containers::model::HostConfig,
    error::{Error, Result},
};

/// Source: moby oci/caps `DefaultCapabilities`.
const DEFAULT: &[&str] = &[
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

/// `CapAdd`/`CapDrop` entries without prefix, in capitals.
fn normal(text: &str) -> Option<String> {
    let upper = text.to_uppercase();
    let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
    (bare == "ALL" || CAPABILITIES.contains(&bare)).then(|| bare.to_owned())
}

/// # Errors
/// Invalid, for a name that is no capability.
pub fn check(host: &HostConfig) -> Result<()> {
    for (list, what) in [(&host.cap_add, "CapAdd"), (&host.cap_drop, "CapDrop")] {
        for name in list.iter().flat_map(|list| &list.0) {
            if normal(name).is_none() {
                return Err(Error::invalid(format!("invalid {what}: unknown capability: {:?}", prefixed(name))));
            }
        }
    }
    Ok(())
}

fn prefixed(name: &str) -> String {
    let upper = name.to_uppercase();
    if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") }
}

/// The container's capabilities without prefix, sorted. Source: moby oci/caps `TweakCapabilities`.
pub fn of(host: &HostConfig) -> Vec<String> {
    let list = |list: &Option<crate::containers::model::Sequence>| -> BTreeSet<String> {
        list.iter().flat_map(|list| &list.0).filter_map(|name| normal(name)).collect()
    };
    let (add, drop) = (list(&host.cap_add), list(&host.cap_drop));
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<BTreeSet<_>>();
    let known = || {
        last_known()
            .map_or_else(|| owned(&CAPABILITIES), |last| owned(&CAPABILITIES[..CAPABILITIES.len().min(last + 1)]))
    };
    let mut wanted = if host.privileged {
        return known().into_iter().collect();
    } else if add.contains("ALL") {
        known()
    } else if drop.contains("ALL") {
        BTreeSet::new()
    } else {
        owned(DEFAULT)
    };
    wanted.retain(|name| !drop.contains(name));
    wanted.extend(add.into_iter().filter(|name| name != "ALL"));
    wanted.into_iter().collect()
}

/// The highest capability this kernel knows.
fn last_known() -> Option<usize> {
    std::fs::read_to_string("/proc/sys/kernel/cap_last_cap").ok()?.trim().parse().ok()
}

/// For the OCI spec.
pub fn parsed(names: &[String]) -> std::collections::HashSet<Capability> {
    names.iter().filter_map(|name| name.parse().ok()).collect()
}

/// As seccomp profiles name them.
pub fn with_prefix(names: &[String]) -> Vec<String> {
    names.iter().map(|name| format!("CAP_{name}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containers::model::Sequence;

    fn host(add: &[&str], drop: &[&str]) -> HostConfig {
        let list = |names: &[&str]| Some(Sequence(names.iter().map(|&name| name.to_owned()).collect()));
        HostConfig { cap_add: list(add), cap_drop: list(drop), ..HostConfig::default() }
    }

    #[test]
    fn every_name_is_one_the_spec_knows() {
        let all: Vec<String> = CAPABILITIES.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(parsed(&all).len(), CAPABILITIES.len());
    }

    #[test]
    fn adding_and_dropping() {
        assert_eq!(of(&host(&[], &[])).len(), DEFAULT.len());
        assert_eq!(of(&host(&[], &["all"])), Vec::<String>::new());
        assert_eq!(of(&host(&["cap_net_admin"], &["ALL"])), ["NET_ADMIN"]);
        assert!(!of(&host(&["ALL"], &["SYS_ADMIN"])).contains(&"SYS_ADMIN".to_owned()));
        assert!(!of(&host(&[], &["NET_RAW"])).contains(&"NET_RAW".to_owned()));
    }

    #[test]
    fn unknown_names_are_refused() {
        assert_eq!(
            check(&host(&["bogus"], &[])).unwrap_err().message(),
            "invalid CapAdd: unknown capability: \"CAP_BOGUS\""
        );
    }
}
