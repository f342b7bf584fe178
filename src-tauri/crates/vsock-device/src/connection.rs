//! One connection's protocol state, without memory and without sockets.
//!
//! # Primer
//!
//! A connection is named by its two ports. Either side opens it with REQUEST; the other answers RESPONSE, or RST if
//! nobody listens. Then both send RW packets with payload.
//!
//! **Credit.** Each side promises a buffer of `buf_alloc` bytes and counts in `fwd_cnt` what has left that buffer for
//! the application; both stand in every header. A sender counts what it has sent and may have at most `buf_alloc`
//! bytes on the way: `credit = buf_alloc - (sent - fwd_cnt)`, all counters wrapping at 2³². CREDIT_UPDATE only
//! carries the header; CREDIT_REQUEST asks for one.
//!
//! **Closing.** SHUTDOWN carries two hints that stay in force: SEND (the packet's sender will send no more) and RCV
//! (it will receive no more). When both are given, the other side answers RST and the connection is gone. RST at any
//! time ends everything.
//!
//! ```text
//!  dial ──▶ Dialling ──RESPONSE──▶ Open ──RST sent or received──▶ Closed
//!               └──RST, given up───────────────────────────────────▲
//!  guest's REQUEST ──────────────▶ Open
//!  Open, we are done both ways: SHUTDOWN(SEND|RCV) sent, RST awaited until a deadline, then RST sent
//!  Open, the guest is done both ways, or breaks the protocol: RST sent
//! ```
//!
//! A violation (data beyond credit, data after SHUTDOWN(SEND), REQUEST on an open connection, …) costs the guest the
//! connection, nothing else. A `fwd_cnt` that lies only harms the liar: credit is computed so that it never exceeds
//! the `buf_alloc` that the guest itself promised.

use std::num::Wrapping;

use crate::packet::{HOST_CID, Header, Op, SHUTDOWN_RCV, SHUTDOWN_SEND, TYPE_STREAM};

/// Bytes that the guest may have on the way to one connection.
pub const BUF_ALLOC: u32 = 256 * 1024;
/// Freed bytes after which the guest is told without being asked.
const CREDIT_UPDATE_THRESHOLD: u32 = BUF_ALLOC / 2;
const SHUTDOWN_BOTH: u32 = SHUTDOWN_RCV | SHUTDOWN_SEND;

/// A connection's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ports {
    pub guest: u32,
    pub host: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Dialling,
    Open,
    Closed,
}

/// What a packet of the guest means for the connection's owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Nothing to do now; credit or pending packets may have changed.
    Noted,
    /// Our REQUEST was accepted.
    Connected,
    /// The packet's payload shall go to the local end; every byte is reported back with [`Connection::forward`].
    Data,
    /// The packet's payload is not wanted any more: drop it, it is already accounted for.
    Discard,
    /// The guest will not send (`SEND`) or not receive (`RCV`) any more, or both.
    GuestShut,
    /// The guest reset the connection; `clean` if it had said before that it was done sending.
    Reset { clean: bool },
    /// The guest broke the protocol: a RST is pending.
    Violation,
}

/// One connection, from the device's point of view.
#[derive(Debug)]
pub struct Connection {
    ports: Ports,
    phase: Phase,
    /// Payload bytes taken from the guest, and how many of them have reached the local end.
    received: Wrapping<u32>,
    forwarded: Wrapping<u32>,
    /// `forwarded` as the guest last heard it.
    advertised: Wrapping<u32>,
    /// Payload bytes sent to the guest.
    sent: Wrapping<u32>,
    guest_buf_alloc: u32,
    guest_fwd_cnt: Wrapping<u32>,
    /// A CREDIT_REQUEST is on its way or unanswered.
    asked: bool,
    /// SHUTDOWN hints: the guest's, ours, and those of ours that the guest has been told.
    guest_shut: u32,
    shut: u32,
    told: u32,
    pending: Pending,
}

/// Packets that wait for a buffer of the guest: at most one of each, so a connection never queues without bound.
#[derive(Debug, Default)]
struct Pending {
    request: bool,
    response: bool,
    rst: bool,
    credit_update: bool,
    credit_request: bool,
}

impl Connection {
    fn new(ports: Ports, phase: Phase) -> Connection {
        Connection {
            ports,
            phase,
            received: Wrapping(0),
            forwarded: Wrapping(0),
            advertised: Wrapping(0),
            sent: Wrapping(0),
            guest_buf_alloc: 0,
            guest_fwd_cnt: Wrapping(0),
            asked: false,
            guest_shut: 0,
            shut: 0,
            told: 0,
            pending: Pending::default(),
        }
    }

    /// We call the guest: a REQUEST is pending.
    pub fn dial(ports: Ports) -> Connection {
        let mut connection = Connection::new(ports, Phase::Dialling);
        connection.pending.request = true;
        connection
    }

    /// The guest's REQUEST is accepted: a RESPONSE is pending.
    pub fn accept(ports: Ports, request: &Header) -> Connection {
        let mut connection = Connection::new(ports, Phase::Open);
        connection.note_credit(request);
        connection.pending.response = true;
        connection
    }

    pub fn ports(&self) -> Ports {
        self.ports
    }

    pub fn is_dialling(&self) -> bool {
        self.phase == Phase::Dialling
    }

    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// Takes one packet of the guest. The owner has checked ids, type and that the payload is all there.
    pub fn receive(&mut self, op: Op, header: &Header) -> Event {
        if self.phase == Phase::Closed || self.pending.rst {
            return Event::Discard;
        }
        if op == Op::Rst {
            self.phase = Phase::Closed;
            return Event::Reset { clean: self.guest_shut & SHUTDOWN_SEND != 0 };
        }
        self.note_credit(header);
        match (self.phase, op) {
            (Phase::Dialling, Op::Response) => {
                self.phase = Phase::Open;
                Event::Connected
            }
            (Phase::Open, Op::Rw) => self.receive_data(header.len),
            (Phase::Open, Op::Shutdown) => self.receive_shutdown(header.flags),
            (Phase::Open, Op::CreditUpdate) => Event::Noted,
            (Phase::Open, Op::CreditRequest) => {
                self.pending.credit_update = true;
                Event::Noted
            }
            _ => self.violation(),
        }
    }

    fn receive_data(&mut self, len: u32) -> Event {
        let buffered = (self.received - self.forwarded).0;
        if self.guest_shut & SHUTDOWN_SEND != 0 || len > BUF_ALLOC.saturating_sub(buffered) {
            return self.violation();
        }
        self.received += len;
        if self.shut & SHUTDOWN_RCV != 0 {
            self.forward(len);
            return Event::Discard;
        }
        Event::Data
    }

    fn receive_shutdown(&mut self, flags: u32) -> Event {
        self.guest_shut |= flags & SHUTDOWN_BOTH;
        if self.guest_shut == SHUTDOWN_BOTH {
            self.pending.rst = true;
        }
        if self.guest_shut & SHUTDOWN_RCV != 0 {
            self.shut |= SHUTDOWN_SEND;
        }
        self.settle();
        Event::GuestShut
    }

    fn violation(&mut self) -> Event {
        self.reset();
        Event::Violation
    }

    fn note_credit(&mut self, header: &Header) {
        self.guest_buf_alloc = header.buf_alloc;
        self.guest_fwd_cnt = Wrapping(header.fwd_cnt);
        self.asked &= self.credit() == 0;
    }

    /// `bytes` of the guest's payload have left our buffer.
    pub fn forward(&mut self, bytes: u32) {
        self.forwarded += bytes;
        if (self.forwarded - self.advertised).0 >= CREDIT_UPDATE_THRESHOLD {
            self.pending.credit_update = true;
        }
    }

    /// The local end will send no more; everything it sent before has been taken.
    pub fn finish_sending(&mut self) {
        self.shut |= SHUTDOWN_SEND;
        self.settle();
    }

    /// The local end will receive no more.
    pub fn finish_receiving(&mut self) {
        self.shut |= SHUTDOWN_RCV;
        self.settle();
    }

    /// Neither side has anything left to send: the connection is over, whatever the local end still holds open.
    fn settle(&mut self) {
        if self.shut & SHUTDOWN_SEND != 0 && self.guest_shut & SHUTDOWN_SEND != 0 {
            self.shut = SHUTDOWN_BOTH;
        }
    }

    /// Ends the connection at once: a RST is pending.
    pub fn reset(&mut self) {
        if self.phase != Phase::Closed {
            self.pending = Pending { rst: true, ..Pending::default() };
        }
    }

    /// A dial that the guest never heard of ends without a packet.
    pub fn give_up(&mut self) {
        if self.pending.request { self.phase = Phase::Closed } else { self.reset() }
    }

    pub fn guest_sends_no_more(&self) -> bool {
        self.guest_shut & SHUTDOWN_SEND != 0
    }

    pub fn guest_receives_no_more(&self) -> bool {
        self.guest_shut & SHUTDOWN_RCV != 0
    }

    /// We have said goodbye both ways and only wait for the guest's RST.
    pub fn awaits_reset(&self) -> bool {
        self.phase == Phase::Open && self.told == SHUTDOWN_BOTH
    }

    /// Whether data may still go to the guest, credit aside.
    pub fn may_send(&self) -> bool {
        self.phase == Phase::Open && !self.pending.rst && self.shut & SHUTDOWN_SEND == 0
    }

    /// Payload bytes that may be sent to the guest now.
    pub fn credit(&self) -> usize {
        if !self.may_send() {
            return 0;
        }
        let on_the_way = (self.sent - self.guest_fwd_cnt).0;
        self.guest_buf_alloc.saturating_sub(on_the_way) as usize
    }

    /// The local end has data and the guest has no room: ask it, once per shortage.
    pub fn ask_for_credit(&mut self) {
        if self.phase == Phase::Open && !self.asked {
            self.asked = true;
            self.pending.credit_request = !self.pending.rst;
        }
    }

    /// Whether [`Connection::next_control`] has something.
    pub fn has_control(&self) -> bool {
        let Pending { request, response, rst, credit_update, credit_request } = self.pending;
        self.phase != Phase::Closed
            && (request
                || response
                || rst
                || credit_update
                || credit_request
                || (self.phase == Phase::Open && self.shut & !self.told != 0))
    }

    /// The next packet without payload, in the order in which the guest must see them. SHUTDOWN(SEND) is only
    /// pending once [`Connection::finish_sending`] was called, so no data can follow it.
    pub fn next_control(&mut self, cid: u64) -> Option<Header> {
        if !self.has_control() {
            return None;
        }
        if self.pending.rst {
            self.phase = Phase::Closed;
            self.pending = Pending::default();
            return Some(self.header(cid, Op::Rst, 0));
        }
        if std::mem::take(&mut self.pending.request) {
            return Some(self.header(cid, Op::Request, 0));
        }
        if std::mem::take(&mut self.pending.response) {
            return Some(self.header(cid, Op::Response, 0));
        }
        if std::mem::take(&mut self.pending.credit_request) {
            return Some(self.header(cid, Op::CreditRequest, 0));
        }
        if std::mem::take(&mut self.pending.credit_update) {
            return Some(self.header(cid, Op::CreditUpdate, 0));
        }
        self.told = self.shut;
        let flags = self.shut;
        Some(Header { flags, ..self.header(cid, Op::Shutdown, 0) })
    }

    /// The header of a data packet; `len` is at most [`Connection::credit`].
    pub fn data(&mut self, cid: u64, len: u32) -> Header {
        self.sent += len;
        self.header(cid, Op::Rw, len)
    }

    fn header(&mut self, cid: u64, op: Op, len: u32) -> Header {
        self.advertised = self.forwarded;
        self.pending.credit_update = false;
        Header {
            src_cid: HOST_CID,
            dst_cid: cid,
            src_port: self.ports.host,
            dst_port: self.ports.guest,
            len,
            type_: TYPE_STREAM,
            op: op as u16,
            flags: 0,
            buf_alloc: BUF_ALLOC,
            fwd_cnt: self.forwarded.0,
        }
    }
}

#[cfg(test)]
mod tests;
