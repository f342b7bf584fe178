//! Reading and writing cgroup files.

use std::io;
use std::path::Path;

use super::CgroupError;

pub(super) fn make_dir(path: &Path) -> Result<(), CgroupError> {
    match std::fs::create_dir(path) {
        Err(err) if err.kind() != io::ErrorKind::AlreadyExists => Err(CgroupError::io("create", path)(err)),
        _ => Ok(()),
    }
}

/// A limit. The kernel's refusal is the user's to see.
pub(super) fn write(path: &Path, value: &str) -> Result<(), CgroupError> {
    std::fs::write(path, value).map_err(|source| CgroupError::Limit {
        path: path.to_owned(),
        value: value.to_owned(),
        source,
    })
}

/// `None`: the file is not there, or says "max".
pub(super) fn number(path: &Path) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// A file of `key value` lines.
pub(super) fn keyed(path: &Path) -> io::Result<Vec<(String, u64)>> {
    let text = std::fs::read_to_string(path)?;
    let pair = |line: &str| {
        let (key, value) = line.split_once(' ')?;
        Some((key.to_owned(), value.trim().parse().ok()?))
    };
    Ok(text.lines().filter_map(pair).collect())
}

pub(super) fn find(all: &[(String, u64)], key: &str) -> Option<u64> {
    all.iter().find(|(name, _)| name == key).map(|&(_, value)| value)
}

/// Everything in a cgroup and below. What vanishes meanwhile is not there.
pub(super) fn pids_below(path: &Path) -> Result<Vec<i32>, CgroupError> {
    let mut pids = Vec::new();
    let mut todo = vec![path.to_owned()];
    while let Some(dir) = todo.pop() {
        let file = dir.join("cgroup.procs");
        match std::fs::read_to_string(&file) {
            Ok(text) => pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok())),
            // A threaded cgroup below: its processes are listed at the threaded root.
            Err(err) if err.raw_os_error() == Some(libc::EOPNOTSUPP) => {}
            Err(err) if is_gone(&err) => {
                if dir == path {
                    return Err(CgroupError::io("read", file)(err));
                }
            }
            Err(err) => return Err(CgroupError::io("read", file)(err)),
        }
        todo.extend(children(&dir));
    }
    pids.sort_unstable();
    pids.dedup();
    Ok(pids)
}

pub(super) fn children(dir: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let is_dir = |entry: &std::fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    entries.flatten().filter(is_dir).map(|entry| entry.path()).collect()
}

pub(super) fn is_gone(err: &io::Error) -> bool {
    matches!(err.raw_os_error(), Some(libc::ENOENT | libc::ENODEV))
}
