//! A driver that says exactly what it is told to, in any layout, true or not.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use virtio_bindings::virtio_ring::{VRING_DESC_F_INDIRECT, VRING_DESC_F_NEXT, VRING_DESC_F_WRITE};
use virtio_drivers::PAGE_SIZE;
use virtio_drivers::transport::Transport;
use vm_memory::{Bytes, GuestAddress};

use super::{Bench, CID, Wire, hal};
use crate::device::Device;
use crate::packet::{HEADER_BYTES, HOST_CID, Header, Op, TYPE_STREAM};

const SIZE: u16 = 64;
const RX_BYTES: usize = 1024;
pub const RX: u16 = 0;
pub const TX: u16 = 1;

/// One descriptor: address, length, whether the device may write.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    pub address: u64,
    pub len: u32,
    pub writable: bool,
}

struct Ring {
    page: u64,
    next: u16,
    avail: u16,
    used: u16,
}

const AVAIL: u64 = SIZE as u64 * 16;
const USED: u64 = 2048;

impl Ring {
    fn set_up(wire: &mut Wire, queue: u16) -> Ring {
        let page = hal::allocate(1);
        hal::memory().write_slice(&[0; PAGE_SIZE], GuestAddress(page)).unwrap();
        wire.queue_set(queue, SIZE.into(), page, page + AVAIL, page + USED);
        Ring { page, next: 0, avail: 0, used: 0 }
    }

    fn describe(&mut self, piece: Piece, next: bool, indirect: bool) -> u16 {
        let index = self.next % SIZE;
        self.next = self.next.wrapping_add(1);
        let flag = |on: bool, bit: u32| if on { bit as u16 } else { 0 };
        let flags = flag(next, VRING_DESC_F_NEXT)
            | flag(piece.writable, VRING_DESC_F_WRITE)
            | flag(indirect, VRING_DESC_F_INDIRECT);
        let follower = self.next % SIZE;
        write_descriptor(self.page + u64::from(index) * 16, piece, flags, follower);
        index
    }

    fn offer(&mut self, head: u16) {
        let slot = self.page + AVAIL + 4 + u64::from(self.avail % SIZE) * 2;
        hal::memory().write_obj(head, GuestAddress(slot)).unwrap();
        self.avail = self.avail.wrapping_add(1);
        hal::memory().write_obj(self.avail, GuestAddress(self.page + AVAIL + 2)).unwrap();
    }

    /// Heads and lengths that came back since the last call.
    fn take_used(&mut self) -> Vec<(u32, u32)> {
        let memory = hal::memory();
        let index: u16 = memory.read_obj(GuestAddress(self.page + USED + 2)).unwrap();
        let mut back = Vec::new();
        while self.used != index {
            let at = self.page + USED + 4 + u64::from(self.used % SIZE) * 8;
            back.push((memory.read_obj(GuestAddress(at)).unwrap(), memory.read_obj(GuestAddress(at + 4)).unwrap()));
            self.used = self.used.wrapping_add(1);
        }
        back
    }
}

fn write_descriptor(at: u64, piece: Piece, flags: u16, next: u16) {
    let memory = hal::memory();
    memory.write_obj(piece.address, GuestAddress(at)).unwrap();
    memory.write_obj(piece.len, GuestAddress(at + 8)).unwrap();
    memory.write_obj(flags, GuestAddress(at + 12)).unwrap();
    memory.write_obj(next, GuestAddress(at + 14)).unwrap();
}

pub struct Raw {
    pub bench: Rc<RefCell<Bench>>,
    wire: Wire,
    rx: Ring,
    tx: Ring,
    /// Receive buffers by head index, and what came in them.
    buffers: Vec<(u32, u64)>,
    pub inbox: VecDeque<(Header, Vec<u8>)>,
}

impl Raw {
    pub fn new() -> (Raw, Device) {
        let (bench, device) = Bench::new();
        let mut wire = Wire(bench.clone());
        let (rx, tx) = (Ring::set_up(&mut wire, RX), Ring::set_up(&mut wire, TX));
        let mut raw = Raw { bench, wire, rx, tx, buffers: Vec::new(), inbox: VecDeque::new() };
        for _ in 0..16 {
            let address = hal::allocate(1);
            raw.offer_buffer(address);
        }
        (raw, device)
    }

    fn offer_buffer(&mut self, address: u64) {
        let head = self.rx.describe(Piece { address, len: RX_BYTES as u32, writable: true }, false, false);
        self.rx.offer(head);
        self.buffers.retain(|(known, _)| *known != u32::from(head));
        self.buffers.push((u32::from(head), address));
    }

    /// Offers any chain on the tx queue and kicks.
    pub fn send_chain(&mut self, pieces: &[Piece]) {
        let heads: Vec<u16> =
            pieces.iter().enumerate().map(|(i, piece)| self.tx.describe(*piece, i + 1 < pieces.len(), false)).collect();
        self.tx.offer(heads[0]);
        self.kick();
    }

    /// The same pieces in an indirect table.
    pub fn send_indirect(&mut self, pieces: &[Piece]) {
        let table = hal::allocate(1);
        for (i, piece) in pieces.iter().enumerate() {
            let last = i + 1 == pieces.len();
            let flags = if last { 0 } else { VRING_DESC_F_NEXT as u16 };
            write_descriptor(table + i as u64 * 16, *piece, flags, i as u16 + 1);
        }
        let whole = Piece { address: table, len: pieces.len() as u32 * 16, writable: false };
        let head = self.tx.describe(whole, false, true);
        self.tx.offer(head);
        self.kick();
        hal::free(table, 1);
    }

    /// Puts bytes into guest memory, cut at the given places; the pieces to send.
    pub fn lay_out(&self, bytes: &[u8], cuts: &[usize]) -> Vec<Piece> {
        let mut edges = vec![0];
        edges.extend_from_slice(cuts);
        edges.push(bytes.len());
        let mut pieces = Vec::new();
        for edge in edges.windows(2) {
            let part = &bytes[edge[0]..edge[1]];
            let address = hal::allocate(part.len().div_ceil(PAGE_SIZE).max(1));
            hal::memory().write_slice(part, GuestAddress(address)).unwrap();
            pieces.push(Piece { address, len: part.len() as u32, writable: false });
        }
        pieces
    }

    pub fn send(&mut self, header: Header, payload: &[u8]) {
        let bytes = [&header.to_bytes()[..], payload].concat();
        let pieces = self.lay_out(&bytes, &[]);
        self.send_chain(&pieces);
        for piece in pieces {
            hal::free(piece.address, (piece.len as usize).div_ceil(PAGE_SIZE).max(1));
        }
    }

    pub fn kick(&mut self) {
        self.wire.notify(TX);
        self.run();
    }

    /// Lets the device work and collects what it sent.
    pub fn run(&mut self) {
        self.bench.borrow_mut().run();
        for (head, len) in self.rx.take_used() {
            let (_, address) = *self.buffers.iter().find(|(known, _)| *known == head).expect("a buffer of ours");
            let mut bytes = vec![0; len as usize];
            hal::memory().read_slice(&mut bytes, GuestAddress(address)).unwrap();
            self.offer_buffer(address);
            let (header, payload) = bytes.split_at(HEADER_BYTES);
            self.inbox.push_back((Header::from_bytes(header.try_into().unwrap()), payload.to_vec()));
        }
    }

    /// How many tx chains the device has given back.
    pub fn completed(&mut self) -> usize {
        self.tx.take_used().len()
    }

    /// The next packet from the device, `None` when it has nothing to say.
    pub fn next(&mut self) -> Option<(Header, Vec<u8>)> {
        self.run();
        self.inbox.pop_front()
    }
}

/// A well-formed header of the guest's.
pub fn header(op: Op, guest_port: u32, host_port: u32, len: u32) -> Header {
    Header {
        src_cid: CID,
        dst_cid: HOST_CID,
        src_port: guest_port,
        dst_port: host_port,
        len,
        type_: TYPE_STREAM,
        op: op as u16,
        flags: 0,
        buf_alloc: 64 * 1024,
        fwd_cnt: 0,
    }
}
