//! `settings.json` in the state directory: what the user chose about the machine. Takes effect at its next start.
//!
//! Keys that this version does not know stay in the file.

use std::fs;
use std::io;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::dirs::Dirs;
use crate::hardware::Size;
use crate::schema::Limits;

const FILE: &str = "settings.json";
/// Less than this boots, but runs nothing useful.
const LEAST_MEMORY_MIB: u32 = 512;
const LEAST_DISK_GIB: u32 = 4;

fn path(dirs: &Dirs) -> PathBuf {
    dirs.state.join(FILE)
}

/// Empty when there is none; an unreadable one is an error, so that nothing is overwritten.
fn read(dirs: &Dirs) -> io::Result<Map<String, Value>> {
    match fs::read(path(dirs)) {
        Ok(text) => Ok(serde_json::from_slice(&text)?),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(Map::new()),
        Err(err) => Err(err),
    }
}

fn change(dirs: &Dirs, change: impl FnOnce(&mut Map<String, Value>)) -> io::Result<()> {
    let mut settings = read(dirs)?;
    change(&mut settings);
    dirs.make().map_err(io::Error::other)?;
    let unfinished = path(dirs).with_extension(format!("{}.part", std::process::id()));
    fs::write(&unfinished, serde_json::to_vec_pretty(&settings)?)?;
    fs::rename(unfinished, path(dirs))
}

/// What was chosen; absent: the usual.
pub fn limits(dirs: &Dirs) -> Limits {
    let settings = read(dirs).unwrap_or_default();
    let number = |key: &str| settings.get(key).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
    Limits { cpus: number("cpus"), memory_mib: number("memory_mib"), disk_gib: number("disk_gib") }
}

pub fn set_limits(dirs: &Dirs, limits: &Limits) -> io::Result<()> {
    change(dirs, |settings| {
        for (key, value) in [("cpus", limits.cpus), ("memory_mib", limits.memory_mib), ("disk_gib", limits.disk_gib)] {
            match value {
                Some(value) => settings.insert(key.to_owned(), json!(value)),
                None => settings.remove(key),
            };
        }
    })
}

/// Absent: the home directory.
pub fn set_shared_folders(dirs: &Dirs, folders: Option<&[String]>) -> io::Result<()> {
    change(dirs, |settings| {
        match folders {
            Some(folders) => settings.insert("shared_folders".to_owned(), json!(folders)),
            None => settings.remove("shared_folders"),
        };
    })
}

/// `usual`, as far as nothing else was chosen; never so little that the machine cannot start.
pub fn size(dirs: &Dirs, usual: Size) -> Size {
    let chosen = limits(dirs);
    let by_variable = |name: &str| std::env::var_os(name).is_some();
    let choose = |variable: &str, chosen: Option<u32>| chosen.filter(|_| !by_variable(variable));
    Size {
        cpus: choose("CUBBY_CPUS", chosen.cpus).unwrap_or(usual.cpus).max(1),
        memory_mib: choose("CUBBY_MEMORY_MIB", chosen.memory_mib)
            .map_or(usual.memory_mib, |mib| mib.max(LEAST_MEMORY_MIB)),
        disk_bytes: choose("CUBBY_DISK_GIB", chosen.disk_gib)
            .map_or(usual.disk_bytes, |gib| u64::from(gib.max(LEAST_DISK_GIB)) << 30),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_kept_beside_what_is_not_ours() {
        let home = tempfile::tempdir().unwrap();
        let dirs = Dirs { profile: "t".into(), state: home.path().join("s"), runtime: home.path().join("r") };
        let usual = Size { cpus: 2, memory_mib: 2048, disk_bytes: 64 << 30 };
        assert_eq!(size(&dirs, usual).cpus, 2);
        dirs.make().unwrap();
        fs::write(path(&dirs), r#"{"shared_folders": ["/a"], "future": 1}"#).unwrap();
        set_limits(&dirs, &Limits { cpus: Some(4), memory_mib: Some(64), disk_gib: None }).unwrap();
        let size = size(&dirs, usual);
        assert_eq!((size.cpus, size.memory_mib, size.disk_bytes), (4, LEAST_MEMORY_MIB, 64 << 30));
        let text = fs::read_to_string(path(&dirs)).unwrap();
        assert!(text.contains("future") && text.contains("/a"), "{text}");
        set_limits(&dirs, &Limits::default()).unwrap();
        assert_eq!(limits(&dirs), Limits::default());
    }

    #[test]
    fn a_file_that_is_not_understood_is_not_overwritten() {
        let home = tempfile::tempdir().unwrap();
        let dirs = Dirs { profile: "t".into(), state: home.path().into(), runtime: home.path().join("r") };
        fs::write(path(&dirs), "{ mine").unwrap();
        assert!(set_limits(&dirs, &Limits::default()).is_err());
        assert_eq!(fs::read(path(&dirs)).unwrap(), b"{ mine");
    }
}
