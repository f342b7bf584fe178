//! Whether a bind mount's source can share what is mounted below it. Source: moby daemon/oci_linux.go `ensureShared`.

use std::path::Path;

use super::spec::ReadyMount;

/// # Errors
/// A text, in dockerd's words, when a mount wants to share and its source does not.
pub fn check(mounts: &[ReadyMount]) -> Result<(), String> {
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
            1 if shares < 1 => return Err(format!("{} but it is not a shared or slave mount", at())),
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

fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

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
