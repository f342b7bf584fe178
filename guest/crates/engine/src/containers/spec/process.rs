//! The `process` of a spec: a container's first one, or an exec's.

use oci_spec::runtime::{
    BoxBuilder, LinuxCapabilities, PosixRlimit, PosixRlimitBuilder, PosixRlimitType, Process, User as SpecUser,
};

use super::{Security, capabilities, defaults};
use crate::containers::{model::Record, users::User};

/// What to run.
#[derive(Clone, Debug, Default)]
pub struct ProcessWish {
    pub args: Vec<String>,
    pub env: Vec<String>,
    pub cwd: String,
    pub tty: bool,
    /// All capabilities, no confinement (`exec --privileged`).
    pub privileged: bool,
    /// Rows and columns of the terminal.
    pub size: Option<(u16, u16)>,
}

impl ProcessWish {
    /// The container's own command.
    pub fn of(record: &Record) -> Self {
        let mut args = vec![record.path.clone()];
        args.extend(record.args.iter().cloned());
        let [rows, cols] = record.host_config.console_size.map(|n| u16::try_from(n).unwrap_or_default());
        Self {
            args,
            env: environment(record, record.config.tty, record.config.env()),
            cwd: directory(&record.config.working_dir),
            tty: record.config.tty,
            privileged: false,
            size: (rows > 0 && cols > 0).then_some((rows, cols)),
        }
    }
}

pub fn directory(asked: &str) -> String {
    if asked.is_empty() { "/".to_owned() } else { asked.to_owned() }
}

/// What every process gets, overridden by `asked`; an entry without `=` removes the name.
/// Source: moby container/env.go.
pub fn environment(record: &Record, tty: bool, asked: &[String]) -> Vec<String> {
    let mut env = vec![defaults::PATH.to_owned(), format!("HOSTNAME={}", record.config.hostname)];
    if tty {
        env.push("TERM=xterm".to_owned());
    }
    env.extend(record.linked_env.iter().cloned());
    override_environment(&mut env, asked);
    env
}

/// Replaces or adds what `asked` names, in place.
pub fn override_environment(env: &mut Vec<String>, asked: &[String]) {
    for pair in asked {
        let (name, has_value) = pair.split_once('=').map_or((pair.as_str(), false), |(name, _)| (name, true));
        let place = env.iter().position(|known| known.split('=').next() == Some(name));
        match (place, has_value) {
            (Some(place), true) => env[place] = pair.clone(),
            (None, true) => env.push(pair.clone()),
            (Some(place), false) => _ = env.remove(place),
            (None, false) => {}
        }
    }
}

pub fn process(record: &Record, wish: &ProcessWish, user: &User, security: &Security) -> Process {
    let host = &record.host_config;
    let mut spec_user = SpecUser::default();
    spec_user.set_uid(user.uid).set_gid(user.gid).set_additional_gids(Some(user.groups.clone()));
    let mut env = wish.env.clone();
    if !env.iter().any(|pair| pair.starts_with("HOME=")) {
        env.push(format!("HOME={}", user.home));
    }
    let mut process = Process::default();
    process
        .set_terminal(Some(wish.tty))
        .set_user(spec_user)
        .set_args(Some(wish.args.clone()))
        .set_env(Some(env))
        .set_cwd(wish.cwd.clone().into())
        .set_capabilities(Some(capability_sets(record, wish.privileged, user.uid)))
        .set_rlimits(Some(rlimits(record)))
        .set_no_new_privileges(Some(security.no_new_privileges && !wish.privileged))
        .set_oom_score_adj((host.oom_score_adj != 0).then_some(host.oom_score_adj));
    if let Some((rows, cols)) = wish.size {
        process.set_console_size(BoxBuilder::default().height(rows).width(cols).build().ok());
    }
    process
}

/// Root has its capabilities; others could gain them through files only. Source: moby oci `SetCapabilities`, runc.
fn capability_sets(record: &Record, privileged: bool, uid: u32) -> LinuxCapabilities {
    let mut host = record.host_config.clone();
    host.privileged |= privileged;
    let all = capabilities::parsed(&capabilities::of(&host));
    let held = if uid == 0 { all.clone() } else { Default::default() };
    let mut sets = LinuxCapabilities::default();
    sets.set_bounding(Some(all))
        .set_permitted(Some(held.clone()))
        .set_effective(Some(held))
        .set_inheritable(Some(Default::default()))
        .set_ambient(Some(Default::default()));
    sets
}

/// Names were checked at create; an unknown one is left out here.
fn rlimits(record: &Record) -> Vec<PosixRlimit> {
    let asked = record.host_config.resources.ulimits.iter().flatten();
    asked
        .filter_map(|limit| {
            let kind = format!("RLIMIT_{}", limit.name.to_uppercase()).parse().ok()?;
            let bytes = |value: i64| u64::try_from(value).unwrap_or(u64::MAX);
            let kind: PosixRlimitType = kind;
            PosixRlimitBuilder::default().typ(kind).hard(bytes(limit.hard)).soft(bytes(limit.soft)).build().ok()
        })
        .collect()
}
