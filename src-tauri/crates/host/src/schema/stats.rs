//! What a running container uses.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// One moment. Rates are since the sample before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, TS)]
pub struct StatsSample {
    pub at_unix_ms: u64,
    /// 100 is one processor fully used.
    pub cpu_percent: f64,
    pub cpus: u32,
    /// Without what the kernel can drop at once (inactive page cache), as `docker stats` counts.
    pub memory_bytes: u64,
    pub memory_limit_bytes: u64,
    pub received_bytes_per_s: u64,
    pub sent_bytes_per_s: u64,
    pub read_bytes_per_s: u64,
    pub written_bytes_per_s: u64,
    pub processes: u64,
}

/// `docker top`: a title for each column, then the rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ProcessTable {
    pub titles: Vec<String>,
    pub rows: Vec<Vec<String>>,
}
