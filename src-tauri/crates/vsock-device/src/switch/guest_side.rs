//! The guest's side of the switch: packets off the tx queue, packets into the rx queue.

use std::time::Instant;

use virtio_queue::{DescriptorChain, Queue, QueueOwnedT, QueueT};
use vm_memory::GuestMemoryMmap;

use super::host_side::finish_dial;
use super::{BURST, MAX_CONNECTIONS, MAX_RESETS, Slot, Switch};
use crate::chain::Buffers;
use crate::connection::{Connection, Event, Ports};
use crate::device::Offer;
use crate::local::{LocalEnd, Taken};
use crate::packet::{HEADER_BYTES, HOST_CID, Header, Op, TYPE_STREAM};

impl Switch {
    /// Takes at most a burst of packets; whether there were any.
    pub(super) fn take_packets(&mut self, mem: &GuestMemoryMmap, tx: &mut Queue) -> bool {
        let mut any = false;
        for _ in 0..BURST {
            if self.resets.len() >= MAX_RESETS {
                break;
            }
            let Some(chain) = next_chain(tx, mem) else { break };
            let head = chain.head_index();
            if let Some(buffers) = Buffers::readable(mem, chain) {
                self.take_packet(&buffers);
            }
            any = true;
            if tx.add_used(mem, head, 0).is_err() {
                break;
            }
        }
        any
    }

    fn take_packet(&mut self, buffers: &Buffers<'_>) {
        let Some(header) = buffers.read_header() else { return };
        if header.src_cid != self.cid || header.dst_cid != HOST_CID {
            return;
        }
        let ports = Ports { guest: header.src_port, host: header.dst_port };
        let op = Op::from_raw(header.op).filter(|_| header.type_ == TYPE_STREAM);
        let known = if header.type_ == TYPE_STREAM { self.by_ports.get(&ports).copied() } else { None };
        match (known, op) {
            (_, None) if header.op == Op::Rst as u16 => {}
            (None, Some(Op::Rst)) => {}
            (None, Some(Op::Request)) => self.accept(ports, &header),
            (None, _) => self.resets.push_back(header.reset()),
            (Some(id), op) => self.deliver(id, op, &header, buffers),
        }
    }

    fn accept(&mut self, ports: Ports, request: &Header) {
        if self.try_accept(ports, request).is_none() {
            self.resets.push_back(request.reset());
        }
    }

    fn try_accept(&mut self, ports: Ports, request: &Header) -> Option<()> {
        if self.slots.len() >= MAX_CONNECTIONS {
            return None;
        }
        let listener = self.shared.listener(ports.host)?;
        let place = listener.try_reserve().ok()?;
        let (ours, offer) = Offer::pair(ports.guest).ok()?;
        let id = self.insert(Connection::accept(ports, request), LocalEnd::new(ours), offer.fate()).ok()?;
        place.send(offer);
        self.settle(id);
        Some(())
    }

    fn deliver(&mut self, id: u64, op: Option<Op>, header: &Header, buffers: &Buffers<'_>) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let len = header.len as usize;
        let whole = op != Some(Op::Rw) || buffers.payload_bytes().is_some_and(|bytes| bytes >= len);
        let event = match op.filter(|_| whole) {
            Some(op) => slot.connection.receive(op, header),
            None => {
                slot.connection.reset();
                Event::Violation
            }
        };
        match event {
            Event::Connected => {
                if let Some(reply) = slot.dial.take() {
                    finish_dial(Some(reply), Ok(()));
                }
            }
            Event::Data => match slot.local.push(buffers.payload(len)) {
                Some(gone) => slot.connection.forward(gone as u32),
                None => slot.connection.reset(),
            },
            Event::Violation => {
                tracing::debug!(port = header.dst_port, op = header.op, "guest broke the vsock protocol");
                slot.fate.set_reset();
            }
            Event::Reset { clean: false } => slot.fate.set_reset(),
            Event::Reset { clean: true } | Event::Noted | Event::Discard | Event::GuestShut => {}
        }
        self.settle(id);
    }

    /// Fills at most a burst of the guest's buffers; whether any.
    pub(super) fn give_packets(&mut self, mem: &GuestMemoryMmap, rx: &mut Queue) -> bool {
        let mut any = false;
        for _ in 0..BURST {
            if self.resets.is_empty() && self.ready.is_empty() {
                break;
            }
            let Some(chain) = next_chain(rx, mem) else { break };
            let head = chain.head_index();
            // A chain that cannot even hold a header goes back empty.
            let usable = Buffers::writable(mem, chain).filter(|buffers| buffers.payload_bytes().is_some());
            let written = match usable {
                Some(buffers) => self.next_packet(&buffers),
                None => Some(0),
            };
            let Some(written) = written else {
                rx.go_to_previous_position();
                break;
            };
            any = true;
            if rx.add_used(mem, head, written).is_err() {
                break;
            }
        }
        any
    }

    /// Writes the next packet that wants out; its size, or `None` if there is none after all.
    fn next_packet(&mut self, buffers: &Buffers<'_>) -> Option<u32> {
        if let Some(reset) = self.resets.pop_front() {
            buffers.write_header(reset);
            return Some(HEADER_BYTES as u32);
        }
        while let Some(id) = self.ready.pop_front() {
            let Some(slot) = self.slots.get_mut(&id) else { continue };
            slot.queued = false;
            let header = slot.next_packet(self.cid, buffers);
            if slot.connection.awaits_reset() && !std::mem::replace(&mut slot.leaving, true) {
                let at = Instant::now() + self.close_timeout;
                self.deadlines.push_back((at, id));
                if self.deadlines.len() == 1 {
                    self.arm(at);
                }
            }
            let blocked = header.is_none();
            if !blocked || self.slots.get(&id).is_some_and(|slot| slot.connection.is_closed()) {
                self.settle(id);
            }
            if let Some(header) = header {
                buffers.write_header(header);
                return Some(HEADER_BYTES as u32 + header.len);
            }
        }
        None
    }
}

impl Slot {
    /// Control packets first, then data as far as credit and `buffers` reach, then the end of the data.
    fn next_packet(&mut self, cid: u64, buffers: &Buffers<'_>) -> Option<Header> {
        if let Some(header) = self.connection.next_control(cid) {
            return Some(header);
        }
        if !self.local.readable || !self.connection.may_send() {
            return None;
        }
        let room = buffers.payload_bytes().unwrap_or(0);
        let limit = self.connection.credit().min(room).min(u32::MAX as usize);
        if limit == 0 {
            if room > 0 {
                self.connection.ask_for_credit();
            }
            return self.connection.next_control(cid);
        }
        match self.local.pull(buffers.payload(limit)) {
            Taken::Bytes(n) => Some(self.connection.data(cid, n as u32)),
            Taken::Nothing => None,
            Taken::End => {
                self.local.readable = false;
                self.connection.finish_sending();
                if self.local.is_deaf() {
                    self.connection.finish_receiving();
                }
                self.connection.next_control(cid)
            }
        }
    }
}

/// The next chain of the driver. When there is none, asks to be kicked for the next one, and looks again.
fn next_chain<'m>(queue: &mut Queue, mem: &'m GuestMemoryMmap) -> Option<DescriptorChain<&'m GuestMemoryMmap>> {
    if let Some(chain) = queue.pop_descriptor_chain(mem) {
        return Some(chain);
    }
    match queue.enable_notification(mem) {
        Ok(true) => queue.pop_descriptor_chain(mem),
        _ => None,
    }
}
