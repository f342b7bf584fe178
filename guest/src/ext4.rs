//! What only an ioctl tells the data disk's filesystem. All of it is done on the mounted filesystem.
//!
//! Source: include/uapi/linux/ext4.h and fs.h of Linux 6.12.

use std::{fs::File, io};

use rustix::ioctl::{self, Opcode, Setter, Updater, opcode};

const EXT4_IOC_RESIZE_FS: Opcode = opcode::write::<u64>(b'f', 16);
const EXT4_IOC_CHECKPOINT: Opcode = opcode::write::<u32>(b'f', 43);
const EXT4_IOC_CHECKPOINT_FLAG_DISCARD: u32 = 1;
const FITRIM: Opcode = opcode::read_write::<TrimRange>(b'X', 121);

/// `struct fstrim_range`: bytes.
#[repr(C)]
struct TrimRange {
    start: u64,
    len: u64,
    min_len: u64,
}

/// Grows the filesystem to so many of its blocks. Fewer than it has is an error.
///
/// # Errors
/// `ENOTTY` for a file of another filesystem, here and below.
pub fn resize(root: &File, blocks: u64) -> io::Result<()> {
    // SAFETY: the kernel reads one u64 through the pointer, which `Setter` keeps alive for the call.
    unsafe { ioctl::ioctl(root, Setter::<EXT4_IOC_RESIZE_FS, u64>::new(blocks))? };
    Ok(())
}

/// Tells the disk about every free block; returns how many bytes that was.
pub fn trim(root: &File) -> io::Result<u64> {
    let mut range = TrimRange { start: 0, len: u64::MAX, min_len: 0 };
    // SAFETY: the argument is a pointer to a `struct fstrim_range`, whose layout `TrimRange` has.
    unsafe { ioctl::ioctl(root, Updater::<FITRIM, TrimRange>::new(&mut range))? };
    Ok(range.len)
}

/// Writes what the journal holds to its places and tells the disk that the journal is empty.
///
/// Why: the journal is written round and round, so that after a while each of its blocks takes its place on the host.
pub fn empty_journal(root: &File) -> io::Result<()> {
    // SAFETY: the kernel reads one u32 through the pointer, which `Setter` keeps alive for the call.
    unsafe { ioctl::ioctl(root, Setter::<EXT4_IOC_CHECKPOINT, u32>::new(EXT4_IOC_CHECKPOINT_FLAG_DISCARD))? };
    Ok(())
}
