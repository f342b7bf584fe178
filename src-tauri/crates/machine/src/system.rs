//! What the operating system tells about this computer.

use std::path::Path;

/// Bytes that this user may still write below `dir`.
pub fn free_bytes(dir: &Path) -> Option<u64> {
    free_and_total_bytes(dir).map(|(free, _)| free)
}

/// Bytes that this user may still write where `dir` is, and all that are there.
#[cfg(unix)]
pub fn free_and_total_bytes(dir: &Path) -> Option<(u64, u64)> {
    let fs = rustix::fs::statvfs(dir).ok()?;
    let of = |blocks: u64| blocks.saturating_mul(fs.f_frsize);
    Some((of(fs.f_bavail), of(fs.f_blocks)))
}

/// Bytes that this user may still write where `dir` is, and all that are there.
#[cfg(windows)]
pub fn free_and_total_bytes(dir: &Path) -> Option<(u64, u64)> {
    use std::os::windows::ffi::OsStrExt;

    use windows_sys::Win32::Storage::FileSystem::GetDiskFreeSpaceExW;
    let name: Vec<u16> = dir.as_os_str().encode_wide().chain([0]).collect();
    let (mut free, mut total) = (0, 0);
    // SAFETY: the name ends with a zero; the results wanted have room, the other may be null.
    let done = unsafe { GetDiskFreeSpaceExW(name.as_ptr(), &mut free, &mut total, std::ptr::null_mut()) };
    (done != 0).then_some((free, total))
}

/// All of this computer's memory.
#[cfg(target_os = "linux")]
pub fn memory_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = total.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// All of this computer's memory. Source: sysctl(3), `hw.memsize`.
#[cfg(target_os = "macos")]
pub fn memory_bytes() -> Option<u64> {
    let (mut bytes, mut len) = (0_u64, size_of::<u64>());
    let into = std::ptr::from_mut(&mut bytes).cast();
    // SAFETY: the name ends with a zero, `into` has room for `len` bytes, nothing is set.
    let done = unsafe { libc::sysctlbyname(c"hw.memsize".as_ptr(), into, &mut len, std::ptr::null_mut(), 0) };
    (done == 0).then_some(bytes)
}

/// All of this computer's memory.
#[cfg(windows)]
pub fn memory_bytes() -> Option<u64> {
    use windows_sys::Win32::System::SystemInformation::{GlobalMemoryStatusEx, MEMORYSTATUSEX};
    let mut status = MEMORYSTATUSEX { dwLength: size_of::<MEMORYSTATUSEX>() as u32, ..Default::default() };
    // SAFETY: the structure tells its size.
    let done = unsafe { GlobalMemoryStatusEx(&mut status) };
    (done != 0).then_some(status.ullTotalPhys)
}

/// Bytes that a file occupies, holes left out; its length where the system does not tell.
pub fn allocated_bytes(metadata: &std::fs::Metadata) -> u64 {
    #[cfg(unix)]
    return std::os::unix::fs::MetadataExt::blocks(metadata) * 512;
    #[cfg(not(unix))]
    return metadata.len();
}

/// Makes a file's content last through a power cut. Why not `File::open` everywhere: Windows wants the right to write for it.
pub fn sync_file(path: &Path) -> std::io::Result<()> {
    std::fs::OpenOptions::new().read(true).write(cfg!(windows)).open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_computer_has_memory_and_its_disks_room_or_none() {
        assert!(memory_bytes().unwrap() > 64 << 20);
        assert!(free_bytes(&std::env::temp_dir()).is_some());
        assert_eq!(free_bytes(Path::new("/does/not/exist")), None);
    }
}
