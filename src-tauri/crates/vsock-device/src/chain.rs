//! A descriptor chain as one run of guest memory, whatever its layout.
//!
//! A driver may cut header and payload into descriptors of any size, zero included, directly or in an indirect table,
//! and a hostile one may point them anywhere. Here a chain becomes a list of mapped slices or nothing.

use std::ops::Deref;

use virtio_queue::DescriptorChain;
use vm_memory::{Bytes, GuestMemory, GuestMemoryMmap, Permissions, VolatileSlice};

use crate::packet::{HEADER_BYTES, Header};

/// Most descriptors looked at in one chain. Linux uses a dozen at most; an indirect table could hold 65535.
const MAX_DESCRIPTORS: usize = 1024;

/// The device-readable or device-writable part of one chain, in order.
pub struct Buffers<'a> {
    slices: Vec<VolatileSlice<'a, ()>>,
    bytes: usize,
}

impl<'a> Buffers<'a> {
    /// What the driver wants to send. `None` if a descriptor points outside the guest's memory.
    pub fn readable<T>(mem: &'a GuestMemoryMmap, chain: DescriptorChain<T>) -> Option<Buffers<'a>>
    where
        T: Deref,
        T::Target: GuestMemory,
    {
        let descriptors = chain.take(MAX_DESCRIPTORS).take_while(|d| !d.is_write_only());
        collect(mem, descriptors.map(|d| (d.addr(), d.len())), Permissions::Read)
    }

    /// What the driver offers to be filled. `None` if a descriptor points outside the guest's memory.
    pub fn writable<T>(mem: &'a GuestMemoryMmap, chain: DescriptorChain<T>) -> Option<Buffers<'a>>
    where
        T: Deref,
        T::Target: GuestMemory,
    {
        let descriptors =
            chain.take(MAX_DESCRIPTORS).skip_while(|d| !d.is_write_only()).take_while(|d| d.is_write_only());
        collect(mem, descriptors.map(|d| (d.addr(), d.len())), Permissions::Write)
    }

    /// Bytes in the chain behind the header; `None` if not even the header fits.
    pub fn payload_bytes(&self) -> Option<usize> {
        self.bytes.checked_sub(HEADER_BYTES)
    }

    /// Reads the header off the front.
    pub fn read_header(&self) -> Option<Header> {
        let mut raw = [0; HEADER_BYTES];
        let mut filled = 0;
        for slice in &self.slices {
            let take = slice.len().min(HEADER_BYTES - filled);
            slice.read_slice(&mut raw[filled..filled + take], 0).ok()?;
            filled += take;
            if filled == HEADER_BYTES {
                return Some(Header::from_bytes(&raw));
            }
        }
        None
    }

    /// Writes the header to the front; `false` if it does not fit.
    pub fn write_header(&self, header: Header) -> bool {
        let raw = header.to_bytes();
        let mut written = 0;
        for slice in &self.slices {
            let take = slice.len().min(HEADER_BYTES - written);
            if slice.write_slice(&raw[written..written + take], 0).is_err() {
                return false;
            }
            written += take;
            if written == HEADER_BYTES {
                return true;
            }
        }
        false
    }

    /// The first `limit` bytes behind the header, piece by piece, no piece empty.
    pub fn payload(&self, limit: usize) -> impl Iterator<Item = VolatileSlice<'a, ()>> + '_ {
        let mut skip = HEADER_BYTES;
        let mut left = limit;
        self.slices.iter().filter_map(move |slice| {
            let from = skip.min(slice.len());
            skip -= from;
            let take = left.min(slice.len() - from);
            left -= take;
            if take == 0 { None } else { slice.subslice(from, take).ok() }
        })
    }
}

fn collect<'a>(
    mem: &'a GuestMemoryMmap,
    descriptors: impl Iterator<Item = (vm_memory::GuestAddress, u32)>,
    access: Permissions,
) -> Option<Buffers<'a>> {
    let mut buffers = Buffers { slices: Vec::with_capacity(4), bytes: 0 };
    for (addr, len) in descriptors {
        for slice in mem.get_slices(addr, len as usize, access).ok()? {
            let slice = slice.ok()?;
            buffers.bytes = buffers.bytes.checked_add(slice.len())?;
            buffers.slices.push(slice);
        }
    }
    Some(buffers)
}
