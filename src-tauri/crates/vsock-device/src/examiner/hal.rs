//! Guest memory that both the driver and the device see, and the driver's window onto it.

use std::fs::File;
use std::ptr::NonNull;
use std::sync::{Mutex, OnceLock};

use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};
use vm_memory::{FileOffset, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

/// Not zero, so that an address that somebody forgot to translate is out of range.
pub const BASE: u64 = 0x4000_0000;
const PAGES: usize = 16 * 1024;

/// One guest's memory for all tests: `Hal` has no `self`.
pub fn memory() -> &'static GuestMemoryMmap {
    static MEMORY: OnceLock<GuestMemoryMmap> = OnceLock::new();
    MEMORY.get_or_init(|| {
        // A memfd, so that it can be handed over like a virtual machine's.
        let bytes = PAGES * PAGE_SIZE;
        let file = File::from(rustix::fs::memfd_create("guest", rustix::fs::MemfdFlags::CLOEXEC).unwrap());
        file.set_len(bytes as u64).unwrap();
        let region = (GuestAddress(BASE), bytes, Some(FileOffset::new(file, 0)));
        GuestMemoryMmap::from_ranges_with_files([region]).unwrap()
    })
}

static USED: Mutex<[bool; PAGES]> = Mutex::new([false; PAGES]);

/// First fit; `None` when the guest is out of memory.
pub fn allocate(pages: usize) -> PhysAddr {
    let mut used = USED.lock().unwrap();
    let start = used.windows(pages).position(|run| !run.contains(&true)).expect("guest memory");
    used[start..start + pages].fill(true);
    BASE + (start * PAGE_SIZE) as u64
}

pub fn free(address: PhysAddr, pages: usize) {
    let start = (address - BASE) as usize / PAGE_SIZE;
    USED.lock().unwrap()[start..start + pages].fill(false);
}

fn pages_of(bytes: usize) -> usize {
    bytes.div_ceil(PAGE_SIZE).max(1)
}

fn pointer(address: PhysAddr) -> NonNull<u8> {
    NonNull::new(memory().get_host_address(GuestAddress(address)).unwrap()).unwrap()
}

#[derive(Debug)]
pub struct GuestRam;

// SAFETY: every allocation is a page-aligned run of mapped, zeroed memory that nobody else gets until it is freed.
unsafe impl Hal for GuestRam {
    fn dma_alloc(pages: usize, _direction: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let address = allocate(pages);
        // SAFETY: the run was just allocated and is `pages` long.
        unsafe { pointer(address).write_bytes(0, pages * PAGE_SIZE) };
        (address, pointer(address))
    }

    unsafe fn dma_dealloc(address: PhysAddr, _pointer: NonNull<u8>, pages: usize) -> i32 {
        free(address, pages);
        0
    }

    unsafe fn mmio_phys_to_virt(address: PhysAddr, _size: usize) -> NonNull<u8> {
        pointer(address)
    }

    unsafe fn share(buffer: NonNull<[u8]>, direction: BufferDirection) -> PhysAddr {
        let address = allocate(pages_of(buffer.len()));
        if direction != BufferDirection::DeviceToDriver {
            // SAFETY: the caller's buffer is valid for its length; ours was just allocated and is as long.
            unsafe { pointer(address).copy_from_nonoverlapping(buffer.cast(), buffer.len()) };
        }
        address
    }

    unsafe fn unshare(address: PhysAddr, buffer: NonNull<[u8]>, direction: BufferDirection) {
        if direction != BufferDirection::DriverToDevice {
            // SAFETY: the caller's buffer is valid for its length and was shared at this address.
            unsafe { buffer.cast().copy_from_nonoverlapping(pointer(address), buffer.len()) };
        }
        free(address, pages_of(buffer.len()));
    }
}
