//! A container's record as an OCI runtime spec.
//!
//! Pure of side effects but for looking at devices: what a start needs beyond the spec (root filesystem, network
//! namespace, sources of mounts) is prepared by its caller and named in [`Context`].

pub mod capabilities;
pub mod defaults;
mod devices;
mod mounts;
mod process;
mod resources;
mod security;

use oci_spec::runtime::{Linux, LinuxNamespace, LinuxNamespaceType, LinuxResources, Root, Spec};

pub use mounts::{FileMounts, ReadyMount};
pub use process::{ProcessWish, environment, override_environment, process};
pub use security::Security;

use super::{model::Record, users::User};

/// What the spec is made of beside the record.
pub struct Context<'a> {
    pub record: &'a Record,
    pub user: &'a User,
    pub security: &'a Security,
    /// The user's mounts with their sources in place.
    pub mounts: Vec<ReadyMount>,
    pub files: FileMounts,
}

/// # Errors
/// A text for what cannot be made of this machine (devices that are not there, rules that make no sense).
pub fn build(context: Context<'_>) -> Result<Spec, String> {
    let record = context.record;
    let host = &record.host_config;
    let mut root = Root::default();
    root.set_path("/".into()).set_readonly(Some(host.readonly_rootfs));
    let mut linux = Linux::default();
    let sysctls: std::collections::HashMap<String, String> =
        host.sysctls.iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect();
    let devices = devices::of(host)?;
    linux
        .set_uid_mappings(None)
        .set_gid_mappings(None)
        .set_namespaces(Some(namespaces(record)))
        .set_sysctl(Some(default_sysctls(record, sysctls)))
        .set_devices(Some(devices.nodes))
        .set_resources(Some(resources::of(host, devices.rules)?))
        .set_masked_paths(Some(paths(host.privileged, host.masked_paths.as_ref(), &context.security.show_all)))
        .set_readonly_paths(Some(paths(host.privileged, host.readonly_paths.as_ref(), &context.security.show_all)))
        .set_rootfs_propagation(mounts::root_propagation(&context.mounts));
    let wish = ProcessWish::of(record);
    let mut spec = Spec::default();
    spec.set_process(Some(process(record, &wish, context.user, context.security)))
        .set_root(Some(root))
        .set_hostname((host.uts_mode != "host").then(|| record.config.hostname.clone()))
        .set_domainname((host.uts_mode != "host").then(|| record.config.domainname.clone()))
        .set_mounts(Some(mounts::all(record, context.mounts, &context.files, context.security)))
        .set_linux(Some(linux));
    Ok(spec)
}

/// Resources alone, for `update`.
pub fn resources(record: &Record) -> Result<LinuxResources, String> {
    resources::of(&record.host_config, devices::of(&record.host_config)?.rules)
}

fn paths(privileged: bool, asked: Option<&Vec<String>>, show_all: &bool) -> Vec<String> {
    if privileged || *show_all { Vec::new() } else { asked.cloned().unwrap_or_default() }
}

/// The namespaces to create. Shared ones are joined by descriptor, the machine's own are simply not listed.
fn namespaces(record: &Record) -> Vec<LinuxNamespace> {
    let host = &record.host_config;
    let own = |mode: &str| mode != "host" && !mode.starts_with("container:");
    let wanted = [
        (LinuxNamespaceType::Mount, true),
        (LinuxNamespaceType::Network, own(&host.network_mode)),
        (LinuxNamespaceType::Uts, host.uts_mode != "host"),
        (LinuxNamespaceType::Pid, own(&host.pid_mode)),
        (LinuxNamespaceType::Ipc, own(&host.ipc_mode)),
        (LinuxNamespaceType::Cgroup, host.cgroupns_mode == "private"),
    ];
    let listed = wanted.into_iter().filter(|(_, wanted)| *wanted).map(|(kind, _)| {
        let mut namespace = LinuxNamespace::default();
        namespace.set_typ(kind);
        namespace
    });
    listed.collect()
}

/// Ping without privileges and low ports for everybody, as dockerd allows in a network namespace of the container's own.
fn default_sysctls(
    record: &Record,
    mut sysctls: std::collections::HashMap<String, String>,
) -> std::collections::HashMap<String, String> {
    let mode = &record.host_config.network_mode;
    if mode != "host" && !mode.starts_with("container:") {
        sysctls.entry("net.ipv4.ping_group_range".to_owned()).or_insert_with(|| "0 2147483647".to_owned());
        sysctls.entry("net.ipv4.ip_unprivileged_port_start".to_owned()).or_insert_with(|| "0".to_owned());
    }
    sysctls
}

#[cfg(test)]
pub mod tests;
