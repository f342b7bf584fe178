//! The host's side of the switch: sockets, dials, deadlines.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};
use rustix::time::{Itimerspec, TimerfdTimerFlags};

use super::{EVENTS, FIRST_DIAL_PORT, MAX_CONNECTIONS, Reply, Slot, Switch, TIMER, WAKE};
use crate::connection::{Connection, Ports};
use crate::device::{ConnectError, Dial, Fate};
use crate::local::LocalEnd;

impl Switch {
    pub(super) fn take_events(&mut self) {
        loop {
            let mut space = [MaybeUninit::uninit(); EVENTS];
            let Ok((events, _)) = epoll::wait(&self.epoll, &mut space, Some(&Timespec::default())) else { return };
            for event in &*events {
                match event.data.u64() {
                    WAKE => clear(self.shared.wake()),
                    TIMER => clear(self.timer.as_fd()),
                    id => self.socket_event(id, event.flags),
                }
            }
            if events.len() < EVENTS {
                return;
            }
        }
    }

    fn socket_event(&mut self, id: u64, flags: epoll::EventFlags) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        if flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::RDHUP | epoll::EventFlags::HUP) {
            slot.local.readable = true;
        }
        if flags.contains(epoll::EventFlags::OUT) {
            slot.local.set_writable();
        }
        if flags.intersects(epoll::EventFlags::HUP | epoll::EventFlags::ERR) {
            slot.local.set_deaf();
            if slot.connection.is_dialling() {
                slot.connection.give_up();
            }
        }
        self.flush(id);
    }

    /// Moves what waits for the application, and lets the connection know what became of it.
    pub(super) fn flush(&mut self, id: u64) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let gone = slot.local.flush();
        slot.connection.forward(gone as u32);
        self.settle(id);
    }

    /// After anything that may have changed a connection: passes ends on, removes what is over, queues what is ready.
    pub(super) fn settle(&mut self, id: u64) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let (connection, local) = (&mut slot.connection, &mut slot.local);
        // Why only then: a goodbye that overtakes the application's last bytes makes simple guests drop them.
        let drained = !local.readable || connection.credit() == 0;
        if local.is_deaf() && drained && !connection.is_dialling() {
            connection.finish_receiving();
        }
        if connection.guest_receives_no_more() {
            local.end_writes();
        }
        if !local.has_backlog() && (connection.guest_sends_no_more() || connection.is_closed()) {
            local.end_reads();
        }
        if connection.is_closed() {
            let ports = connection.ports();
            finish_dial(slot.dial.take(), Err(ConnectError::Refused));
            let lingers = slot.local.has_backlog() && !slot.local.is_deaf();
            // Why the check: a new connection may have the ports already while this one only drains.
            if self.by_ports.get(&ports) == Some(&id) {
                self.by_ports.remove(&ports);
            }
            if !lingers {
                self.slots.remove(&id);
            }
            return;
        }
        if !slot.queued && (connection.has_control() || local.readable) {
            slot.queued = true;
            self.ready.push_back(id);
        }
    }

    pub(super) fn take_dials(&mut self, driver: bool) {
        while let Some(dial) = self.shared.next_dial() {
            if !driver {
                finish_dial(Some(dial.reply), Err(ConnectError::GuestGone));
            } else if let Err((reply, err)) = self.dial(dial) {
                finish_dial(Some(reply), Err(err));
            }
        }
    }

    fn dial(&mut self, dial: Dial) -> Result<(), (Reply, ConnectError)> {
        if self.slots.len() >= MAX_CONNECTIONS {
            return Err((dial.reply, ConnectError::TooManyConnections));
        }
        let ports = Ports { guest: dial.port, host: self.free_port(dial.port) };
        match self.insert(Connection::dial(ports), LocalEnd::new(dial.socket), dial.fate) {
            Ok(id) => {
                if let Some(slot) = self.slots.get_mut(&id) {
                    slot.dial = Some(dial.reply);
                }
                self.settle(id);
                Ok(())
            }
            Err(err) => Err((dial.reply, ConnectError::Socket(err))),
        }
    }

    fn free_port(&mut self, guest: u32) -> u32 {
        loop {
            let host = self.next_port;
            self.next_port = self.next_port.checked_add(1).unwrap_or(FIRST_DIAL_PORT);
            if !self.by_ports.contains_key(&Ports { guest, host }) {
                return host;
            }
        }
    }

    pub(super) fn insert(&mut self, connection: Connection, local: LocalEnd, fate: Arc<Fate>) -> io::Result<u64> {
        let id = self.next_id;
        self.next_id += 1;
        let interest =
            epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        epoll::add(&self.epoll, &local, epoll::EventData::new_u64(id), interest)?;
        self.by_ports.insert(connection.ports(), id);
        self.slots.insert(id, Slot { connection, local, fate, dial: None, queued: false, leaving: false });
        Ok(id)
    }

    pub(super) fn enforce_deadlines(&mut self) {
        while let Some(&(at, id)) = self.deadlines.front() {
            if at > Instant::now() && self.slots.contains_key(&id) {
                self.arm(at);
                return;
            }
            self.deadlines.pop_front();
            if let Some(slot) = self.slots.get_mut(&id) {
                slot.connection.reset();
                self.settle(id);
            }
        }
    }

    pub(super) fn arm(&mut self, at: Instant) {
        if self.armed.replace(at) == Some(at) {
            return;
        }
        let left = at.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let value = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        let once = Itimerspec { it_interval: Timespec::default(), it_value: value };
        if let Err(err) = rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once) {
            tracing::warn!(%err, "vsock close timer could not be set");
        }
    }
}

pub(super) fn finish_dial(dial: Option<Reply>, result: Result<(), ConnectError>) {
    if let Some(reply) = dial {
        // A caller that gave up closes its end of the socketpair too, which ends the connection.
        let _ = reply.send(result);
    }
}

/// Resets an eventfd or timerfd.
fn clear(fd: BorrowedFd<'_>) {
    let _ = rustix::io::read(fd, &mut [0; 8]);
}
