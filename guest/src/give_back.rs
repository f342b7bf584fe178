//! Memory that nobody needs goes back to the host, and the disk that the filesystem's journal took.
//!
//! The balloon reports free pages by itself, in blocks of 2 MiB; what it cannot see are caches, and free pages scattered
//! between used ones. A task looks every two seconds (a few lines of procfs):
//!
//! ```text
//!  no container runs, disk quiet for two looks  ──▶ journal emptied, caches dropped, memory compacted, the
//!                                                   engine's heap trimmed
//!  containers run, disk quiet for half a minute ──▶ an eighth of the caches reclaimed, coldest first, unless somebody
//!                                                   already waits for memory (pressure stall information)
//! ```
//!
//! Dropped caches cost a later reader a trip to the host, whose own page cache has the data disk's file.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use cubby_engine::Engine;

use crate::{ext4, figures::kib_field};

const EVERY: Duration = Duration::from_secs(2);
/// Reads and writes per look below this are housekeeping: journal commits, log lines.
const QUIET_KIB: u64 = 4 << 10;
/// Caches that are not worth the work.
const CRUMBS_BYTES: u64 = 8 << 20;
/// The smallest free block that the balloon reports is 2^9 pages: a page block of both architectures with 4 KiB pages.
/// Source: mm/page_reporting.c, `page_reporting_order`.
const REPORTED_ORDER: usize = 9;
const PAGE_BYTES: u64 = 4096;
const IDLE_LOOKS: u32 = 2;
const BUSY_LOOKS: u32 = 15;

/// Starts the task.
pub fn keep(engine: Arc<Engine>, data_root: PathBuf) {
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut watch = Watch::default();
        loop {
            ticks.tick().await;
            let look = match Look::take(engine.counts().running) {
                Ok(look) => look,
                Err(error) => return tracing::warn!(err = %error, "memory is not given back by itself"),
            };
            let done = match watch.decide(&look) {
                Act::Nothing => continue,
                Act::All => {
                    let data_root = data_root.clone();
                    tokio::task::spawn_blocking(move || all(&data_root)).await
                }
                Act::Some { bytes } => tokio::task::spawn_blocking(move || some(bytes)).await,
            };
            if let Ok(Err(error)) = done {
                tracing::warn!(err = %error, "memory could not be given back");
            }
        }
    });
}

/// Everything that nobody needs, now. Blocking.
pub fn all(data_root: &Path) -> io::Result<()> {
    // What is dirty cannot be dropped.
    rustix::fs::sync();
    if let Err(err) = ext4::empty_journal(&fs::File::open(data_root)?) {
        // A machine without a disk has no journal.
        tracing::debug!(%err, "the journal keeps its place on the host");
    }
    fs::write("/proc/sys/vm/drop_caches", "3")?;
    trim_heap();
    fs::write("/proc/sys/vm/compact_memory", "1")
}

/// About as much as said, coldest first. Source: Documentation/admin-guide/cgroup-v2.rst, `memory.reclaim`.
fn some(bytes: u64) -> io::Result<()> {
    match fs::write("/sys/fs/cgroup/memory.reclaim", format!("{bytes} swappiness=0")) {
        // EAGAIN: less was to be had than asked for.
        Err(err) if err.kind() == io::ErrorKind::WouldBlock => Ok(()),
        done => done,
    }
}

#[cfg(target_env = "gnu")]
fn trim_heap() {
    // SAFETY: malloc_trim(3) has no preconditions and is thread-safe; it only returns free pages to the kernel.
    unsafe { nix::libc::malloc_trim(0) };
}

#[cfg(not(target_env = "gnu"))]
fn trim_heap() {}

/// What one look sees.
#[derive(Clone, Copy, Debug)]
struct Look {
    running: usize,
    /// Read and written since the start.
    disk_kib: u64,
    caches_bytes: u64,
    /// Free, but in blocks too small for the balloon to report.
    scattered_bytes: u64,
    /// Somebody waited for memory within the last ten seconds.
    pressed: bool,
}

impl Look {
    fn take(running: usize) -> io::Result<Self> {
        let vmstat = fs::read_to_string("/proc/vmstat")?;
        let pressure = fs::read_to_string("/proc/pressure/memory").unwrap_or_default();
        Ok(Self {
            running,
            disk_kib: counter(&vmstat, "pgpgin") + counter(&vmstat, "pgpgout"),
            caches_bytes: caches_bytes(&fs::read_to_string("/proc/meminfo")?),
            scattered_bytes: scattered_bytes(&fs::read_to_string("/proc/buddyinfo").unwrap_or_default()),
            pressed: !pressure.is_empty() && !pressure.starts_with("some avg10=0.00"),
        })
    }
}

/// Caches of files and of the filesystem's own records, without memory that only looks like it (tmpfs).
pub fn caches_bytes(meminfo: &str) -> u64 {
    let kib = |name| kib_field(meminfo, name);
    let files = (kib("Cached:") + kib("Buffers:")).saturating_sub(kib("Shmem:"));
    (files + kib("SReclaimable:")) * 1024
}

/// Free memory in small blocks. Source: proc_buddyinfo(5): after "zone NAME", the number of free blocks of each order.
fn scattered_bytes(buddyinfo: &str) -> u64 {
    let blocks = |line: &str| -> u64 {
        let counts = line.split_whitespace().skip(4).take(REPORTED_ORDER);
        counts.zip(0_u32..).map(|(count, order)| count.parse::<u64>().unwrap_or(0) << order).sum()
    };
    buddyinfo.lines().map(blocks).sum::<u64>() * PAGE_BYTES
}

fn counter(vmstat: &str, name: &str) -> u64 {
    let value = vmstat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Nothing,
    All,
    Some { bytes: u64 },
}

/// What was seen before.
#[derive(Debug, Default)]
struct Watch {
    disk_kib: u64,
    quiet_looks: u32,
    /// Containers ran since everything was given back.
    ran: bool,
    /// Caches right after that.
    caches_floor: u64,
    /// Scattered free memory right after that.
    scattered_floor: u64,
}

impl Watch {
    fn decide(&mut self, look: &Look) -> Act {
        let moved = look.disk_kib.saturating_sub(self.disk_kib);
        self.disk_kib = look.disk_kib;
        self.quiet_looks = if moved < QUIET_KIB { self.quiet_looks + 1 } else { 0 };
        self.caches_floor = self.caches_floor.min(look.caches_bytes);
        self.scattered_floor = self.scattered_floor.min(look.scattered_bytes);
        let cached = look.caches_bytes > self.caches_floor + CRUMBS_BYTES;
        // A container's memory may come free long after it ended: its mounts go when it is removed.
        let scattered = look.scattered_bytes > self.scattered_floor + 2 * CRUMBS_BYTES;
        if look.running > 0 {
            self.ran = true;
            if self.quiet_looks < BUSY_LOOKS || look.pressed || !cached {
                return Act::Nothing;
            }
            self.quiet_looks = 0;
            return Act::Some { bytes: look.caches_bytes / 8 };
        }
        if self.quiet_looks < IDLE_LOOKS || !(self.ran || cached || scattered) {
            return Act::Nothing;
        }
        self.ran = false;
        // What cannot be dropped is found at the next look; until then everything counts as such.
        self.caches_floor = look.caches_bytes;
        self.scattered_floor = look.scattered_bytes;
        Act::All
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn look(running: usize, disk_kib: u64, caches_mib: u64) -> Look {
        Look { running, disk_kib, caches_bytes: caches_mib * MIB, scattered_bytes: 4 * MIB, pressed: false }
    }

    #[test]
    fn the_last_container_s_memory_goes_once_the_disk_is_quiet_and_only_once() {
        let mut watch = Watch::default();
        assert_eq!(watch.decide(&look(1, 100_000, 200)), Act::Nothing);
        assert_eq!(watch.decide(&look(0, 200_000, 300)), Act::Nothing, "still writing");
        assert_eq!(watch.decide(&look(0, 200_010, 300)), Act::Nothing, "one quiet look");
        assert_eq!(watch.decide(&look(0, 200_020, 300)), Act::All);
        for _ in 0..100 {
            assert_eq!(watch.decide(&look(0, 200_020, 12)), Act::Nothing, "nothing is left to give");
        }
        assert_eq!(watch.decide(&look(0, 300_000, 80)), Act::Nothing, "a pull");
        assert_eq!(watch.decide(&look(0, 300_000, 80)), Act::Nothing);
        assert_eq!(watch.decide(&look(0, 300_000, 80)), Act::All, "and its caches");
    }

    #[test]
    fn what_comes_free_in_crumbs_later_is_put_together() {
        let mut watch = Watch::default();
        let scattered = |mib| Look { scattered_bytes: mib * MIB, ..look(0, 0, 10) };
        watch.decide(&look(1, 0, 10));
        assert_eq!(watch.decide(&scattered(5)), Act::All);
        assert_eq!(watch.decide(&scattered(5)), Act::Nothing);
        assert_eq!(watch.decide(&scattered(80)), Act::All, "a removal came late");
        for _ in 0..100 {
            assert_eq!(watch.decide(&scattered(78)), Act::Nothing, "it cannot be put together");
        }
    }

    #[test]
    fn scattered_memory_is_what_the_balloon_cannot_report() {
        let buddyinfo =
            "Node 0, zone    DMA32      3      1      0      0      0      0      0      0      2      7    400\n";
        assert_eq!(scattered_bytes(buddyinfo), (3 + 2 + 2 * 256) * PAGE_BYTES);
    }

    #[test]
    fn running_containers_keep_their_caches_unless_they_are_quiet_for_long() {
        let mut watch = Watch::default();
        watch.decide(&look(2, 0, 0));
        let acts: Vec<_> = (0..40).map(|_| watch.decide(&look(2, 0, 800))).collect();
        let some = Act::Some { bytes: 100 * MIB };
        assert_eq!(acts.iter().filter(|act| **act == some).count(), 2, "{acts:?}");
        assert!(acts.iter().all(|act| *act == Act::Nothing || *act == some));
        let pressed = Look { pressed: true, ..look(2, 0, 800) };
        assert!((0..100).all(|_| watch.decide(&pressed) == Act::Nothing), "somebody waits for memory");
    }

    #[test]
    fn caches_are_what_the_kernel_can_drop() {
        let meminfo = "MemFree: 10 kB\nBuffers:  1 kB\nCached:  100 kB\nSReclaimable:  5 kB\nShmem:  40 kB\n";
        assert_eq!(caches_bytes(meminfo), 66 * 1024);
        assert_eq!(counter("pgpgin 12\npgpgout 30\npgpgouts 7\n", "pgpgout"), 30);
    }
}
