//! Figures.

/// What a container has used. Times in nanoseconds, sizes in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    pub cpu_usage_ns: u64,
    pub cpu_user_ns: u64,
    pub cpu_system_ns: u64,
    pub throttling_periods: u64,
    pub throttled_periods: u64,
    pub throttled_ns: u64,
    pub memory_usage_bytes: u64,
    pub memory_max_usage_bytes: u64,
    /// `None`: no limit.
    pub memory_limit_bytes: Option<u64>,
    /// memory.stat as it is.
    pub memory_stat: Vec<(String, u64)>,
    pub memory_failcnt: u64,
    pub pids_current: u64,
    /// `None`: no limit.
    pub pids_limit: Option<u64>,
    pub io: Vec<IoStats>,
}

/// One block device's share.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IoStats {
    pub major: u64,
    pub minor: u64,
    pub read_bytes: u64,
    pub write_bytes: u64,
    pub read_ops: u64,
    pub write_ops: u64,
    pub discard_bytes: u64,
}

/// `8:0` of io.stat and blkio files.
fn device(text: &str) -> Option<(u64, u64)> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// v2: `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6`.
pub(super) fn io_stat(text: &str) -> Vec<IoStats> {
    let line = |line: &str| {
        let mut fields = line.split_whitespace();
        let (major, minor) = device(fields.next()?)?;
        let mut stats = IoStats { major, minor, ..IoStats::default() };
        for (key, value) in fields.filter_map(|field| field.split_once('=')) {
            let Ok(value) = value.parse() else { continue };
            match key {
                "rbytes" => stats.read_bytes = value,
                "wbytes" => stats.write_bytes = value,
                "rios" => stats.read_ops = value,
                "wios" => stats.write_ops = value,
                "dbytes" => stats.discard_bytes = value,
                _ => {}
            }
        }
        Some(stats)
    };
    text.lines().filter_map(line).collect()
}

/// v1: `8:0 Read 123` lines of bytes and of operations.
pub(super) fn blkio(bytes: &str, operations: &str) -> Vec<IoStats> {
    let mut all: Vec<IoStats> = Vec::new();
    for (text, is_bytes) in [(bytes, true), (operations, false)] {
        for line in text.lines() {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [dev, operation, value] = fields[..] else { continue };
            let (Some((major, minor)), Ok(value)) = (device(dev), value.parse()) else { continue };
            let index = all.iter().position(|one| (one.major, one.minor) == (major, minor)).unwrap_or_else(|| {
                all.push(IoStats { major, minor, ..IoStats::default() });
                all.len() - 1
            });
            let one = &mut all[index];
            match (operation, is_bytes) {
                ("Read", true) => one.read_bytes = value,
                ("Write", true) => one.write_bytes = value,
                ("Discard", true) => one.discard_bytes = value,
                ("Read", false) => one.read_ops = value,
                ("Write", false) => one.write_ops = value,
                _ => {}
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_of_both_versions() {
        let expected =
            IoStats { major: 8, minor: 16, read_bytes: 1, write_bytes: 2, read_ops: 3, write_ops: 4, discard_bytes: 5 };
        let v2 = io_stat("8:16 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\ngarbage\n");
        let v1 =
            blkio("8:16 Read 1\n8:16 Write 2\n8:16 Discard 5\n8:16 Total 8\nTotal 8\n", "8:16 Read 3\n8:16 Write 4\n");
        assert_eq!((v2, v1), (vec![expected.clone()], vec![expected]));
    }
}
