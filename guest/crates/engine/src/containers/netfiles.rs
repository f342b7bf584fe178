//! `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf` of a container: files of ours, bound into it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::spec::FileMounts;

/// Where the files of a container are.
pub fn paths(directory: &Path) -> FileMounts {
    FileMounts {
        resolv_conf: Some(directory.join("resolv.conf")),
        hostname: Some(directory.join("hostname")),
        hosts: Some(directory.join("hosts")),
    }
}

/// Writes the files. In place, so that a running container that shares them sees the change.
pub fn write(directory: &Path, hostname: &str, hosts: &str, resolv_conf: &str) -> io::Result<FileMounts> {
    let put = |name: &str, text: &str| -> io::Result<PathBuf> {
        let path = directory.join(name);
        fs::write(&path, text)?;
        Ok(path)
    };
    Ok(FileMounts {
        resolv_conf: Some(put("resolv.conf", resolv_conf)?),
        hostname: Some(put("hostname", &format!("{hostname}\n"))?),
        hosts: Some(put("hosts", hosts)?),
    })
}
