//! A request and the room for its reply, as runs of guest memory, whatever the driver's descriptors look like.
//!
//! A hostile driver may point descriptors anywhere and cut them anyhow: a chain becomes a list of mapped slices or
//! nothing, and reading beyond the end is an error, never more memory.

use std::ops::Deref;

use virtio_queue::DescriptorChain;
use vm_memory::{Bytes, GuestMemory, GuestMemoryMmap, Permissions, VolatileSlice};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Most descriptors looked at in one chain: Linux uses one per page of a 1 MiB request and a few more.
const MAX_DESCRIPTORS: usize = 1024;

/// Slices that are consumed from the front.
#[derive(Default)]
pub struct Slices<'a> {
    slices: Vec<VolatileSlice<'a, ()>>,
    bytes: usize,
}

/// Both directions of one chain. `None` if a descriptor points outside the guest's memory.
pub fn split<'a, T>(mem: &'a GuestMemoryMmap, chain: DescriptorChain<T>) -> Option<(Slices<'a>, Slices<'a>)>
where
    T: Deref,
    T::Target: GuestMemory,
{
    let (mut readable, mut writable) = (Slices::default(), Slices::default());
    for descriptor in chain.take(MAX_DESCRIPTORS) {
        let (list, access) = match descriptor.is_write_only() {
            true => (&mut writable, Permissions::Write),
            false => (&mut readable, Permissions::Read),
        };
        for slice in mem.get_slices(descriptor.addr(), descriptor.len() as usize, access).ok()? {
            list.push(slice.ok()?)?;
        }
    }
    Some((readable, writable))
}

impl<'a> Slices<'a> {
    /// `None` when the sum of all lengths overflows.
    pub fn push(&mut self, slice: VolatileSlice<'a, ()>) -> Option<()> {
        self.bytes = self.bytes.checked_add(slice.len())?;
        if !slice.is_empty() {
            self.slices.push(slice);
        }
        Some(())
    }

    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Cuts the first `bytes` off; `None` if there are fewer.
    pub fn take(&mut self, bytes: usize) -> Option<Slices<'a>> {
        let mut taken = Slices::default();
        if bytes > self.bytes {
            return None;
        }
        let mut left = bytes;
        let mut whole = 0;
        for slice in &mut self.slices {
            if left < slice.len() {
                if left > 0 {
                    taken.push(slice.subslice(0, left).ok()?)?;
                    *slice = slice.offset(left).ok()?;
                }
                break;
            }
            left -= slice.len();
            taken.push(*slice)?;
            whole += 1;
        }
        self.slices.drain(..whole);
        self.bytes -= bytes;
        Some(taken)
    }

    /// A copy of everything.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut copy = vec![0; self.bytes];
        let mut at = 0;
        for slice in &self.slices {
            at += slice.copy_to(&mut copy[at..]);
        }
        copy
    }

    /// The next structure.
    pub fn read<T: FromBytes + IntoBytes>(&mut self) -> Option<T> {
        let bytes = self.take(size_of::<T>())?.to_vec();
        T::read_from_bytes(&bytes).ok()
    }

    /// Puts bytes at the front; `false` if they do not fit.
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        let Some(room) = self.take(bytes.len()) else { return false };
        let mut at = 0;
        for slice in &room.slices {
            if slice.write_slice(&bytes[at..at + slice.len()], 0).is_err() {
                return false;
            }
            at += slice.len();
        }
        true
    }

    pub fn put<T: IntoBytes + Immutable>(&mut self, value: &T) -> bool {
        self.write(value.as_bytes())
    }

    pub fn as_slices(&self) -> &[VolatileSlice<'a, ()>] {
        &self.slices
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn however_it_is_cut_the_bytes_are_the_same(data in proptest::collection::vec(any::<u8>(), 0..200), cuts in proptest::collection::vec(0usize..50, 0..20), first in 0usize..250) {
            let mut copy = data.clone();
            let mut slices = Slices::default();
            let mut rest = &mut copy[..];
            for cut in cuts {
                let (head, tail) = rest.split_at_mut(cut.min(rest.len()));
                slices.push(VolatileSlice::from(head)).unwrap();
                rest = tail;
            }
            slices.push(VolatileSlice::from(rest)).unwrap();
            match slices.take(first) {
                None => prop_assert!(first > data.len()),
                Some(head) => {
                    prop_assert_eq!(head.to_vec(), &data[..first]);
                    prop_assert_eq!(slices.to_vec(), &data[first..]);
                }
            }
        }
    }
}
