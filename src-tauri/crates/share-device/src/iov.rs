//! Reads and writes of files straight from and into guest memory.

use std::fs::File;
use std::os::fd::AsRawFd;

use rustix::io::Errno;
use vm_memory::VolatileSlice;

use crate::chain::Slices;

/// Source: `UIO_MAXIOV`, include/uapi/linux/uio.h.
const MAX_IOVECS: usize = 1024;

#[derive(Clone, Copy)]
enum Way {
    FromFile,
    IntoFile,
}

/// Fills `room` from `file` as far as it goes.
pub fn read_at(file: &File, offset: u64, room: &Slices<'_>) -> Result<usize, Errno> {
    transfer(file, offset, room, Way::FromFile)
}

/// Writes `data` to `file` and tells how much was written.
pub fn write_at(file: &File, offset: u64, data: &Slices<'_>) -> Result<usize, Errno> {
    transfer(file, offset, data, Way::IntoFile)
}

fn transfer(file: &File, offset: u64, slices: &Slices<'_>, way: Way) -> Result<usize, Errno> {
    let mut done = 0;
    for part in slices.as_slices().chunks(MAX_IOVECS) {
        let wanted: usize = part.iter().map(VolatileSlice::len).sum();
        let moved = match vectored(file, offset.saturating_add(done as u64), part, way) {
            Ok(moved) => moved,
            Err(Errno::INTR) if done == 0 => return Err(Errno::INTR),
            Err(err) if done == 0 => return Err(err),
            Err(_) => break,
        };
        done += moved;
        if moved < wanted {
            break;
        }
    }
    Ok(done)
}

fn vectored(file: &File, offset: u64, part: &[VolatileSlice<'_, ()>], way: Way) -> Result<usize, Errno> {
    let offset = i64::try_from(offset).map_err(|_| Errno::INVAL)?;
    let guards: Vec<_> = part.iter().map(VolatileSlice::ptr_guard_mut).collect();
    let iovecs: Vec<_> = guards
        .iter()
        .zip(part)
        .map(|(guard, slice)| libc::iovec { iov_base: guard.as_ptr().cast(), iov_len: slice.len() })
        .collect();
    let count = i32::try_from(iovecs.len()).map_err(|_| Errno::INVAL)?;
    // SAFETY: every iovec is one volatile slice, mapped and writable for as long as `guards` and `part` live, which is
    // beyond the call; the kernel alone touches the bytes, and nobody here holds a reference to them. `file` is open.
    let moved = unsafe {
        match way {
            Way::FromFile => libc::preadv(file.as_raw_fd(), iovecs.as_ptr(), count, offset),
            Way::IntoFile => libc::pwritev(file.as_raw_fd(), iovecs.as_ptr(), count, offset),
        }
    };
    usize::try_from(moved).map_err(|_| {
        let raw = std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
        Errno::from_raw_os_error(raw)
    })
}
