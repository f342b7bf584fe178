//! Whether a bind mount's source can share what is mounted below it. Source: moby daemon/oci_linux.go `ensureShared`.

use std::path::Path;

use super::{
    model::{BindOptions, MountRecord},
    spec::ReadyMount,
};

/// True when one of them is in the other, told as dockerd tells it: by the text.
fn beside(source: &Path, data_root: &Path) -> bool {
    let (source, root) = (source.as_os_str().as_encoded_bytes(), data_root.as_os_str().as_encoded_bytes());
    source.starts_with(root) || root.starts_with(source)
}

/// A bind of what holds the engine's own data, or is in it, must not keep what is mounted there alive: it follows the
/// host's unmounts. Source: moby `validateBindDaemonRoot`.
///
/// # Errors
/// A text, in dockerd's words, when it is asked not to.
pub fn follow_our_data(mount: &mut MountRecord, data_root: &Path) -> Result<(), String> {
    if mount.point.kind != "bind" || !beside(Path::new(&mount.point.source), data_root) {
        return Ok(());
    }
    let asked = mount.spec.bind_options.as_ref().map_or("", |options| options.propagation.as_str());
    match asked {
        "" => {
            mount.spec.bind_options.get_or_insert_with(BindOptions::default).propagation = "rslave".to_owned();
            mount.point.propagation = "rslave".to_owned();
            Ok(())
        }
        "rslave" | "rshared" => Ok(()),
        other => Err(format!(
            "invalid mount config: must use either propagation mode \"rslave\" or \"rshared\" when mount source is within \
             the daemon root, daemon root: {:?}, bind mount source: {:?}, propagation: {other:?}",
            data_root.display().to_string(),
            mount.point.source,
        )),
    }
}

/// # Errors
/// A text, in dockerd's words, when a mount wants to share and its source does not.
pub fn check(mounts: &[ReadyMount], data_root: &Path) -> Result<(), String> {
    let wants = |mount: &ReadyMount| matches!(mount, ReadyMount::Bind { propagation, .. } if asks(propagation) > 0);
    if !mounts.iter().any(wants) {
        return Ok(());
    }
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    for mount in mounts {
        let ReadyMount::Bind { source, propagation, .. } = mount else { continue };
        let place = source.canonicalize().unwrap_or_else(|_| source.clone());
        let (point, shares) = mount_of(&table, &place);
        let at = || format!("path {} is mounted on {point}", source.display());
        match asks(propagation) {
            2 if shares < 2 => return Err(format!("{} but it is not a shared mount", at())),
            // Why spared: for those nobody asked, see above.
            1 if shares < 1 && !beside(source, data_root) => {
                return Err(format!("{} but it is not a shared or slave mount", at()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// 2: both ways, 1: from the host, 0: not at all.
fn asks(propagation: &str) -> u8 {
    match propagation {
        "shared" | "rshared" => 2,
        "slave" | "rslave" => 1,
        _ => 0,
    }
}

/// The mount point that a path is on, and what it shares, as [`asks`] counts. Source: proc_pid_mountinfo(5).
fn mount_of(table: &str, path: &Path) -> (String, u8) {
    let mut best = (String::from("/"), 0);
    for line in table.lines() {
        let mut fields = line.split(' ').skip(4);
        let Some(point) = fields.next().map(unescape) else { continue };
        // The last of equals is on top.
        if !path.starts_with(&point) || point.len() < best.0.len() {
            continue;
        }
        let optional = fields.skip(1).take_while(|field| *field != "-");
        let shares = optional.map(|field| match field.split(':').next() {
            Some("shared") => 2,
            Some("master") => 1,
            _ => 0,
        });
        best = (point, shares.max().unwrap_or(0));
    }
    best
}

/// A path as mountinfo writes it.
pub(crate) fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(source: &str, propagation: &str) -> MountRecord {
        let mut mount = MountRecord::default();
        (mount.point.kind, mount.point.source) = ("bind".to_owned(), source.to_owned());
        if !propagation.is_empty() {
            mount.spec.bind_options.get_or_insert_default().propagation = propagation.to_owned();
        }
        mount
    }

    #[test]
    fn what_holds_our_data_follows_the_host() {
        let root = Path::new("/var/lib/cubby");
        for source in ["/", "/var/lib/cubby", "/var/lib/cubby/volumes"] {
            let mut mount = bind(source, "");
            follow_our_data(&mut mount, root).unwrap();
            assert_eq!(mount.point.propagation, "rslave", "{source}");
        }
        let mut mount = bind("/srv", "private");
        follow_our_data(&mut mount, root).unwrap();
        let fault = follow_our_data(&mut bind("/", "private"), root).unwrap_err();
        assert!(fault.starts_with("invalid mount config: must use either propagation mode"), "{fault}");
        follow_our_data(&mut bind("/", "rshared"), root).unwrap();
    }

    const TABLE: &str = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
        23 22 0:5 / /mnt/own rw,relatime - tmpfs none rw\n\
        24 22 0:6 / /mnt/with\\040space rw,relatime master:1 - tmpfs none rw\n";

    #[test]
    fn the_innermost_mount_decides() {
        assert_eq!(mount_of(TABLE, Path::new("/srv")), ("/".into(), 2));
        assert_eq!(mount_of(TABLE, Path::new("/mnt/own/x")), ("/mnt/own".into(), 0));
        assert_eq!(mount_of(TABLE, Path::new("/mnt/ownership")), ("/".into(), 2));
        assert_eq!(mount_of(TABLE, Path::new("/mnt/with space")), ("/mnt/with space".into(), 1));
    }
}
