//! Device nodes and who may use them.

use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use oci_spec::runtime::{LinuxDevice, LinuxDeviceCgroup, LinuxDeviceType};

use crate::containers::model::{Device, HostConfig};

/// Nodes to make, and rules of the device cgroup in order.
pub struct Devices {
    pub nodes: Vec<LinuxDevice>,
    pub rules: Vec<LinuxDeviceCgroup>,
}

/// Character devices of every container: zero, null, urandom, random, tty, console. Source: moby oci/defaults.go.
const ALLOWED: &[(i64, i64)] = &[(1, 5), (1, 3), (1, 9), (1, 8), (1, 7), (5, 0), (5, 1), (5, 2)];
/// Deeper directories of devices are not looked into.
const MAX_DEPTH: usize = 8;

/// # Errors
/// A text, for devices that are not there and rules that make no sense.
pub fn of(host: &HostConfig) -> Result<Devices, String> {
    if let Some(request) = host.resources.device_requests.iter().flatten().next() {
        let sets = request.capabilities.iter().flatten().map(|set| format!("[{}]", set.join(" ")));
        let sets = sets.collect::<Vec<_>>().join(" ");
        return Err(format!("could not select device driver {:?} with capabilities: [{sets}]", request.driver));
    }
    if host.privileged {
        let mut nodes = Vec::new();
        walk(Path::new("/dev"), Path::new("/dev"), 0, &mut nodes);
        return Ok(Devices { nodes, rules: vec![rule(true, LinuxDeviceType::A, None, None, "rwm")] });
    }
    let mut nodes = Vec::new();
    let mut rules = vec![rule(false, LinuxDeviceType::A, None, None, "rwm")];
    for kind in [LinuxDeviceType::C, LinuxDeviceType::B] {
        rules.push(rule(true, kind, None, None, "m"));
    }
    rules.extend(ALLOWED.iter().map(|&(major, minor)| rule(true, LinuxDeviceType::C, Some(major), Some(minor), "rwm")));
    // The container's own terminals.
    rules.push(rule(true, LinuxDeviceType::C, Some(136), None, "rwm"));
    for asked in host.resources.devices.iter().flatten() {
        let found = mapped(asked)?;
        let access = if asked.cgroup_permissions.is_empty() { "rwm" } else { &asked.cgroup_permissions };
        if let Some(bad) = access.chars().find(|letter| !"rwm".contains(*letter)) {
            return Err(format!("invalid device cgroup permission {bad:?} for {}", asked.path_on_host));
        }
        for node in found {
            rules.push(rule(true, node.typ(), Some(node.major()), Some(node.minor()), access));
            nodes.push(node);
        }
    }
    for text in host.resources.device_cgroup_rules.iter().flatten() {
        rules.push(parse_rule(text).ok_or_else(|| format!("invalid device cgroup rule format: '{text}'"))?);
    }
    Ok(Devices { nodes, rules })
}

fn rule(allow: bool, kind: LinuxDeviceType, major: Option<i64>, minor: Option<i64>, access: &str) -> LinuxDeviceCgroup {
    let mut rule = LinuxDeviceCgroup::default();
    rule.set_allow(allow).set_typ(Some(kind)).set_major(major).set_minor(minor).set_access(Some(access.to_owned()));
    rule
}

/// `c 1:3 rwm`, `a *:* r`.
fn parse_rule(text: &str) -> Option<LinuxDeviceCgroup> {
    let mut words = text.split_whitespace();
    let kind = match words.next()? {
        "a" => LinuxDeviceType::A,
        "b" => LinuxDeviceType::B,
        "c" => LinuxDeviceType::C,
        _ => return None,
    };
    let (major, minor) = words.next()?.split_once(':')?;
    let number = |text: &str| match text {
        "*" => Some(None),
        digits => digits.parse::<u32>().ok().map(|number| Some(i64::from(number))),
    };
    let access = words.next()?;
    let good = access.len() <= 3 && access.chars().all(|letter| "rwm".contains(letter)) && words.next().is_none();
    good.then(|| Some(rule(true, kind, number(major)?, number(minor)?, access))).flatten()
}

/// One `--device`: a node, or every node of a directory.
fn mapped(asked: &Device) -> Result<Vec<LinuxDevice>, String> {
    let source = fs::canonicalize(&asked.path_on_host).map_err(|error| {
        format!(
            "error gathering device information while adding custom device {:?}: {}",
            asked.path_on_host,
            words(&error)
        )
    })?;
    let target = if asked.path_in_container.is_empty() { &asked.path_on_host } else { &asked.path_in_container };
    let mut nodes = Vec::new();
    if source.is_dir() {
        walk(&source, Path::new(target), 0, &mut nodes);
    } else {
        nodes.extend(node(&source, target.into()));
    }
    if nodes.is_empty() {
        return Err(format!(
            "error gathering device information while adding custom device {:?}: not a device node",
            asked.path_on_host
        ));
    }
    Ok(nodes)
}

fn words(error: &std::io::Error) -> &'static str {
    if error.kind() == std::io::ErrorKind::NotFound { "no such file or directory" } else { "cannot be read" }
}

fn walk(directory: &Path, target: &Path, depth: usize, nodes: &mut Vec<LinuxDevice>) {
    // Why skipped: the container has its own terminals, shared memory and message queues.
    const OWN: &[&str] = &["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev", "console", "ptmx"];
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if depth == 0 && OWN.iter().any(|own| name == *own) {
            continue;
        }
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() && depth < MAX_DEPTH {
            walk(&entry.path(), &target.join(&name), depth + 1, nodes);
        } else if kind.is_char_device() || kind.is_block_device() {
            nodes.extend(node(&entry.path(), target.join(&name)));
        }
    }
}

fn node(source: &Path, target: PathBuf) -> Option<LinuxDevice> {
    let found = fs::symlink_metadata(source).ok()?;
    let kind = match found.file_type() {
        kind if kind.is_char_device() => LinuxDeviceType::C,
        kind if kind.is_block_device() => LinuxDeviceType::B,
        _ => return None,
    };
    let mut device = LinuxDevice::default();
    device
        .set_path(target)
        .set_typ(kind)
        .set_major(rustix::fs::major(found.rdev()).into())
        .set_minor(rustix::fs::minor(found.rdev()).into())
        .set_file_mode(Some(found.mode() & 0o7777))
        .set_uid(Some(found.uid()))
        .set_gid(Some(found.gid()));
    Some(device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containers::model::Resources;

    fn host(device: Option<&str>, rule: Option<&str>) -> HostConfig {
        let devices = device.map(|path| {
            vec![Device { path_on_host: path.into(), path_in_container: "/dev/mine".into(), ..Device::default() }]
        });
        let resources =
            Resources { devices, device_cgroup_rules: rule.map(|rule| vec![rule.into()]), ..Resources::default() };
        HostConfig { resources, ..HostConfig::default() }
    }

    #[test]
    fn a_device_is_mapped_and_allowed() {
        let devices = of(&host(Some("/dev/null"), Some("c 10:* rm"))).unwrap();
        assert_eq!((devices.nodes[0].major(), devices.nodes[0].minor()), (1, 3));
        assert_eq!(devices.nodes[0].path(), Path::new("/dev/mine"));
        assert_eq!(devices.rules.last().unwrap().major(), Some(10));
        assert!(!devices.rules[0].allow());
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(of(&host(Some("/no/such/device"), None)).is_err_and(|text| text.contains("no such file")));
        assert!(of(&host(Some("/etc/hostname"), None)).is_err());
        for rule in ["", "x 1:1 r", "c 1 r", "c 1:1", "c 1:1 rwx", "c 1:1 r w"] {
            assert!(of(&host(None, Some(rule))).is_err(), "{rule}");
        }
    }
}
