//! What a profile says, and which of its rules apply to a process. The format is Docker's.
//!
//! Source: docs.docker.com/engine/security/seccomp; OCI runtime spec, config-linux.md, "Seccomp".

use serde::{Deserialize, Deserializer};

use super::SeccompError;
use super::syscalls::Abi;

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    pub(super) default_action: Action,
    #[serde(default)]
    pub(super) default_errno_ret: Option<u32>,
    /// Empty with an empty `arch_map`: the native one.
    #[serde(default, deserialize_with = "or_empty")]
    architectures: Vec<String>,
    #[serde(default, deserialize_with = "or_empty")]
    arch_map: Vec<ArchMap>,
    #[serde(default, deserialize_with = "or_empty")]
    pub(super) syscalls: Vec<Rule>,
    #[serde(default)]
    listener_path: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchMap {
    architecture: String,
    #[serde(default, deserialize_with = "or_empty")]
    sub_architectures: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum Action {
    #[serde(rename = "SCMP_ACT_KILL", alias = "SCMP_ACT_KILL_THREAD")]
    KillThread,
    #[serde(rename = "SCMP_ACT_KILL_PROCESS")]
    KillProcess,
    #[serde(rename = "SCMP_ACT_TRAP")]
    Trap,
    #[serde(rename = "SCMP_ACT_ERRNO")]
    Errno,
    #[serde(rename = "SCMP_ACT_NOTIFY")]
    Notify,
    #[serde(rename = "SCMP_ACT_TRACE")]
    Trace,
    #[serde(rename = "SCMP_ACT_LOG")]
    Log,
    #[serde(rename = "SCMP_ACT_ALLOW")]
    Allow,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rule {
    #[serde(default, deserialize_with = "or_empty")]
    names: Vec<String>,
    /// The old form.
    #[serde(default)]
    name: Option<String>,
    pub action: Action,
    #[serde(default)]
    pub errno_ret: Option<u32>,
    #[serde(default, deserialize_with = "or_empty")]
    pub args: Vec<Condition>,
    #[serde(default)]
    includes: Filter,
    #[serde(default)]
    excludes: Filter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Condition {
    pub index: u32,
    pub value: u64,
    #[serde(default)]
    pub value_two: u64,
    pub op: Op,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum Op {
    #[serde(rename = "SCMP_CMP_NE")]
    NotEqual,
    #[serde(rename = "SCMP_CMP_LT")]
    Less,
    #[serde(rename = "SCMP_CMP_LE")]
    LessOrEqual,
    #[serde(rename = "SCMP_CMP_EQ")]
    Equal,
    #[serde(rename = "SCMP_CMP_GE")]
    GreaterOrEqual,
    #[serde(rename = "SCMP_CMP_GT")]
    Greater,
    /// `argument & value == value_two`.
    #[serde(rename = "SCMP_CMP_MASKED_EQ")]
    MaskedEqual,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    #[serde(default, deserialize_with = "or_empty")]
    caps: Vec<String>,
    #[serde(default, deserialize_with = "or_empty")]
    arches: Vec<String>,
    #[serde(default)]
    min_kernel: Option<String>,
}

/// `null` where a list is expected, as Go writes empty ones.
fn or_empty<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// What a profile is compiled for.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    pub native: Abi,
    /// Kernel, as (major, minor).
    pub kernel: (u32, u32),
}

impl Machine {
    pub fn this() -> Self {
        let native = if cfg!(target_arch = "aarch64") { Abi::Aarch64 } else { Abi::X86_64 };
        let uname = rustix::system::uname();
        Self { native, kernel: version(&uname.release().to_string_lossy()).unwrap_or((5, 10)) }
    }

    /// What Docker's filters call this machine.
    fn go_arch(&self) -> &'static str {
        match self.native {
            Abi::X86_64 => "amd64",
            Abi::I386 => "386",
            Abi::Aarch64 => "arm64",
        }
    }
}

/// "6.12.3-guest" or "4.8".
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

impl Rule {
    pub(super) fn allow(names: &str) -> Self {
        Self {
            names: names.split_whitespace().map(str::to_owned).collect(),
            name: None,
            action: Action::Allow,
            errno_ret: None,
            args: Vec::new(),
            includes: Filter::default(),
            excludes: Filter::default(),
        }
    }

    pub(super) fn refuse(self, errno: u32) -> Self {
        Self { action: Action::Errno, errno_ret: Some(errno), ..self }
    }

    pub(super) fn when(mut self, op: Op, index: u32, value: u64) -> Self {
        self.args.push(Condition { index, value, value_two: 0, op });
        self
    }

    pub(super) fn with(mut self, capability: &str) -> Self {
        self.includes.caps.push(capability.to_owned());
        self
    }

    pub(super) fn without(mut self, capability: &str) -> Self {
        self.excludes.caps.push(capability.to_owned());
        self
    }

    pub(super) fn on(mut self, arch: &str) -> Self {
        self.includes.arches.push(arch.to_owned());
        self
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().chain(&self.name).map(String::as_str)
    }

    pub fn applies(&self, capabilities: &[String], machine: &Machine) -> Result<bool, SeccompError> {
        let has = |cap: &String| capabilities.contains(cap);
        let here = |arch: &String| arch == machine.go_arch();
        let (yes, no) = (&self.includes, &self.excludes);
        let new_enough = match &yes.min_kernel {
            None => true,
            Some(text) => {
                let wanted = version(text)
                    .ok_or_else(|| SeccompError::Unsupported(format!("minKernel {text:?} is not a version")))?;
                machine.kernel >= wanted
            }
        };
        Ok(yes.caps.iter().all(has)
            && (yes.arches.is_empty() || yes.arches.iter().any(here))
            && new_enough
            && !no.caps.iter().any(has)
            && !no.arches.iter().any(here))
    }
}

impl Profile {
    pub fn from_json(text: &str) -> Result<Self, SeccompError> {
        let profile: Self = serde_json::from_str(text)?;
        let refuse = |text: &str| Err(SeccompError::Unsupported(text.to_owned()));
        if !profile.architectures.is_empty() && !profile.arch_map.is_empty() {
            return refuse("both 'architectures' and 'archMap' are specified in the seccomp profile, use either one");
        }
        if profile.listener_path.as_ref().is_some_and(|path| !path.is_empty()) {
            return refuse("listenerPath is not supported");
        }
        let mut actions = profile.syscalls.iter().map(|rule| rule.action).chain([profile.default_action]);
        if actions.any(|action| action == Action::Notify) {
            return refuse("SCMP_ACT_NOTIFY is not supported");
        }
        for rule in &profile.syscalls {
            if rule.name.is_some() && !rule.names.is_empty() {
                return refuse("use either 'name' or 'names'");
            }
            if rule.args.iter().any(|arg| arg.index > 5) {
                return refuse("a system call has six arguments, 0 to 5");
            }
        }
        Ok(profile)
    }

    pub(super) fn new(default_errno: u32, syscalls: Vec<Rule>) -> Self {
        let map = |architecture: &str, sub: &str| ArchMap {
            architecture: architecture.to_owned(),
            sub_architectures: vec![sub.to_owned()],
        };
        Self {
            default_action: Action::Errno,
            default_errno_ret: Some(default_errno),
            architectures: Vec::new(),
            arch_map: vec![map("SCMP_ARCH_X86_64", "SCMP_ARCH_X86"), map("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM")],
            syscalls,
            listener_path: None,
        }
    }

    /// The native one, and the other one whose programs this machine can run if the profile names it.
    pub(super) fn abis(&self, machine: &Machine) -> Vec<Abi> {
        let (native, sub) = match machine.native {
            Abi::X86_64 => ("SCMP_ARCH_X86_64", Some(("SCMP_ARCH_X86", Abi::I386))),
            Abi::Aarch64 => ("SCMP_ARCH_AARCH64", None),
            Abi::I386 => ("SCMP_ARCH_X86", None),
        };
        let mut abis = vec![machine.native];
        if let Some((name, abi)) = sub {
            let mapped = self.arch_map.iter().find(|map| map.architecture == native);
            let named = self.architectures.iter().chain(mapped.iter().flat_map(|map| &map.sub_architectures));
            if named.into_iter().any(|arch| arch == name) {
                abis.push(abi);
            }
        }
        abis
    }
}
