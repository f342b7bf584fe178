//! What a machine takes from its host: memory and disk.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use cubby_harness::{Machine, wait_for};

const PATIENCE: Duration = Duration::from_secs(120);

/// Memory of this computer that the machine holds, in bytes.
pub fn held(machine: &Machine) -> u64 {
    machine.status()["figures"]["host_resident_bytes"].as_u64().expect("status tells the memory")
}

/// The value once it has come to rest: many looks, longer together than the guest waits before it gives back, that
/// differ by less than a hundredth.
pub fn settled(look: impl Fn() -> u64) -> u64 {
    const LOOKS: usize = 300;
    let mut seen: Vec<u64> = Vec::new();
    wait_for("a quiet machine", PATIENCE, || {
        seen.push(look());
        let last = seen.last_chunk::<LOOKS>()?;
        let (low, high) = (last.iter().min()?, last.iter().max()?);
        (high - low < low / 100).then_some(*high)
    })
}

/// Waits until it is at most that, and says what it was on the way.
pub fn comes_down(what: &str, look: impl Fn() -> u64, to: u64) {
    let mut last = 0;
    wait_for(&format!("{what} to come down"), PATIENCE, || {
        let now = look();
        if now.abs_diff(last) > 4 << 20 {
            println!("{what}: {} MiB on the way to {}", now >> 20, to >> 20);
            last = now;
        }
        (now <= to).then_some(())
    });
}

/// Bytes that the file takes on the host, holes not counted.
pub fn allocated(disk: &Path) -> u64 {
    fs::metadata(disk).expect("the disk is there").blocks() * 512
}

/// The machine's data disk.
pub fn disk_of(machine: &Machine) -> PathBuf {
    let mut directories = vec![machine.home().to_owned()];
    let mut files = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => directories.push(entry.path()),
                Ok(kind) if kind.is_file() => files.push(entry.path()),
                _ => {}
            }
        }
    }
    // Why by length: nothing else in a machine's home is nearly as long as its sparse disk.
    files.into_iter().max_by_key(|file| fs::metadata(file).map_or(0, |file| file.len())).expect("a disk")
}
