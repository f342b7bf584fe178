//! `--security-opt`.

use std::sync::Arc;

use cubby_runtime::seccomp::{self, Program};

use super::capabilities;
use crate::{
    containers::model::{HostConfig, parse_bool},
    error::{Error, Result},
};

/// Read security options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Security {
    pub no_new_privileges: bool,
    /// `systempaths=unconfined`: nothing masked, nothing read-only.
    pub show_all: bool,
    /// Whether the container may make control groups below its own; privileged ones may unless told otherwise.
    pub writable_cgroups: Option<bool>,
    pub seccomp: Seccomp,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Seccomp {
    #[default]
    Default,
    Unconfined,
    /// A profile in Docker's JSON.
    Profile(String),
}

impl Security {
    /// # Errors
    /// Invalid, for options nobody knows. Source: moby daemon_unix.go `parseSecurityOpt`.
    pub fn parse(host: &HostConfig) -> Result<Self> {
        let mut security = Self::default();
        for option in host.security_opts() {
            match option.as_str() {
                "no-new-privileges" => {
                    security.no_new_privileges = true;
                    continue;
                }
                "writable-cgroups" => {
                    security.writable_cgroups = Some(true);
                    continue;
                }
                "disable" => continue,
                "systempaths=unconfined" => {
                    security.show_all = true;
                    continue;
                }
                _ => {}
            }
            let Some((name, value)) = option.split_once(['=', ':']) else {
                return Err(Error::invalid(format!("invalid --security-opt 1: {option:?}")));
            };
            let flag =
                || parse_bool(value).ok_or_else(|| Error::invalid(format!("invalid --security-opt 2: {option:?}")));
            match name {
                "seccomp" => security.seccomp = seccomp_of(value),
                "no-new-privileges" => security.no_new_privileges = flag()?,
                "writable-cgroups" => security.writable_cgroups = Some(flag()?),
                // Not on this kernel; dockerd without AppArmor and SELinux takes them too.
                "apparmor" | "label" => {}
                _ => return Err(Error::invalid(format!("invalid --security-opt 2: {option:?}"))),
            }
        }
        // Why only the default: who gives a profile means it. Source: moby daemon/seccomp_linux.go.
        if host.privileged && security.seccomp == Seccomp::Default {
            security.seccomp = Seccomp::Unconfined;
        }
        Ok(security)
    }

    /// The filter for the container's processes.
    ///
    /// # Errors
    /// A text, for a profile that makes no sense.
    pub fn filter(&self, host: &HostConfig) -> Result<Option<Arc<Program>>, String> {
        let names = || capabilities::with_prefix(&capabilities::of(host));
        let program = match &self.seccomp {
            Seccomp::Unconfined => return Ok(None),
            Seccomp::Default => seccomp::default_profile(&names()),
            Seccomp::Profile(profile) => seccomp::compile_json(profile, &names()).map_err(|error| error.to_string())?,
        };
        Ok((!program.is_empty()).then_some(program))
    }
}

fn seccomp_of(value: &str) -> Seccomp {
    match value {
        "unconfined" => Seccomp::Unconfined,
        "builtin" | "" => Seccomp::Default,
        profile => Seccomp::Profile(profile.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[&str]) -> Result<Security> {
        let options = options.iter().map(|&option| option.to_owned()).collect();
        Security::parse(&HostConfig { security_opt: Some(options), ..HostConfig::default() })
    }

    #[test]
    fn options_are_read() {
        let security = parse(&["no-new-privileges", "seccomp=unconfined", "label=disable"]).unwrap();
        assert!(security.no_new_privileges && security.seccomp == Seccomp::Unconfined);
        assert!(!parse(&["no-new-privileges=false"]).unwrap().no_new_privileges);
        assert_eq!(parse(&["seccomp={}"]).unwrap().seccomp, Seccomp::Profile("{}".into()));
        assert_eq!(parse(&["writable-cgroups"]).unwrap().writable_cgroups, Some(true));
        assert_eq!(parse(&["writable-cgroups=F"]).unwrap().writable_cgroups, Some(false));
        for bad in ["writable-cgroups=potato", "no-new-privileges=maybe"] {
            assert_eq!(parse(&[bad]).unwrap_err().message(), format!("invalid --security-opt 2: {bad:?}"));
        }
        assert!(parse(&["bogus"]).is_err());
        assert!(parse(&["bogus=1"]).is_err());
    }
}
