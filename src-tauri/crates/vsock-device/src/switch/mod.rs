//! All connections of one guest, between the guest's two data queues and the host's sockets.
//!
//! [`Switch::run`] is called whenever something may have happened: the guest kicked a queue, or the switch's own
//! epoll descriptor became readable (a socket, a dial, a deadline). It works until nothing is left to do.
//!
//! ```text
//!  tx queue ──▶ take_packets ──▶ Connection::receive ──▶ LocalEnd::push
//!  rx queue ◀── give_packets ◀── resets without a connection, then the ready connections in turn, one packet each
//! ```
//!
//! Bounds: [`MAX_CONNECTIONS`]; [`BUF_ALLOC`](crate::connection::BUF_ALLOC) bytes of backlog per connection; one
//! pending control packet of each kind per connection; [`MAX_RESETS`] resets without a connection, and while that
//! many wait for buffers of the guest, its tx queue is left alone.

mod guest_side;
mod host_side;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, epoll};
use rustix::time::{TimerfdClockId, TimerfdFlags};
use virtio_queue::{Queue, QueueT};
use vm_memory::GuestMemoryMmap;

use crate::connection::{Connection, Ports};
use crate::device::{ConnectError, Fate, Shared};
use crate::local::LocalEnd;
use crate::packet::Header;

/// Most connections at a time, both directions together.
pub const MAX_CONNECTIONS: usize = 4096;
/// Most resets that wait without belonging to a connection.
const MAX_RESETS: usize = 256;
/// Chains taken from one queue before the other side gets its turn.
const BURST: usize = 256;
/// Bursts in one run. Why: a guest that never stops kicking must not keep the thread from being stopped.
const ROUNDS: usize = 64;
/// How long a guest may take to answer our goodbye. Source: VSOCK_CLOSE_TIMEOUT, net/vmw_vsock.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(8);
/// Where the ports of our dials begin; far from anything that people choose.
const FIRST_DIAL_PORT: u32 = 1 << 30;

/// Events taken from epoll at a time.
const EVENTS: usize = 128;

const WAKE: u64 = 0;
const TIMER: u64 = 1;
const FIRST_ID: u64 = 2;

/// The guest's queues as they are now. Source: virtio 1.2 §5.10.2: queue 0 is rx, 1 is tx.
pub struct Queues<'a> {
    pub rx: &'a mut Queue,
    pub tx: &'a mut Queue,
}

/// Which queues the guest must be interrupted for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interrupts {
    pub rx: bool,
    pub tx: bool,
}

/// Tells a caller what became of its dial.
type Reply = tokio::sync::oneshot::Sender<Result<(), ConnectError>>;

struct Slot {
    connection: Connection,
    local: LocalEnd,
    fate: Arc<Fate>,
    dial: Option<Reply>,
    /// In `Switch::ready`.
    queued: bool,
    /// A goodbye was said and its deadline is running.
    leaving: bool,
}

/// See the module's documentation.
pub struct Switch {
    cid: u64,
    epoll: OwnedFd,
    timer: OwnedFd,
    shared: Arc<Shared>,
    slots: HashMap<u64, Slot>,
    by_ports: HashMap<Ports, u64>,
    next_id: u64,
    next_port: u32,
    /// Connections that may have a packet for the guest, in turn.
    ready: VecDeque<u64>,
    resets: VecDeque<Header>,
    deadlines: VecDeque<(Instant, u64)>,
    /// The deadline that the timer is set to.
    armed: Option<Instant>,
    /// [`CLOSE_TIMEOUT`], except in tests.
    pub(crate) close_timeout: Duration,
    /// Where the queues stood when last seen; see [`Switch::notice_new_driver`].
    seen: Option<(u16, u16)>,
}

impl Switch {
    pub fn new(cid: u64, shared: Arc<Shared>) -> io::Result<Switch> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let timer =
            rustix::time::timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        epoll::add(&epoll, shared.wake(), epoll::EventData::new_u64(WAKE), epoll::EventFlags::IN)?;
        epoll::add(&epoll, &timer, epoll::EventData::new_u64(TIMER), epoll::EventFlags::IN)?;
        Ok(Switch {
            cid,
            epoll,
            timer,
            shared,
            slots: HashMap::new(),
            by_ports: HashMap::new(),
            next_id: FIRST_ID,
            next_port: FIRST_DIAL_PORT,
            ready: VecDeque::new(),
            resets: VecDeque::new(),
            deadlines: VecDeque::new(),
            armed: None,
            close_timeout: CLOSE_TIMEOUT,
            seen: None,
        })
    }

    /// Readable when [`Switch::run`] has work that no kick announces.
    pub fn events(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// Works until nothing is left to do. Without queues (no driver, or a paused guest) dials fail and the rest waits.
    pub fn run(&mut self, mem: &GuestMemoryMmap, mut queues: Option<Queues<'_>>) -> Interrupts {
        let mut used = Interrupts::default();
        let mut idle = true;
        if let Some(queues) = &queues {
            self.notice_new_driver(queues);
        }
        for _ in 0..ROUNDS {
            self.take_events();
            self.take_dials(queues.is_some());
            self.enforce_deadlines();
            let Some(queues) = &mut queues else { return used };
            let sent = self.take_packets(mem, queues.tx);
            let received = self.give_packets(mem, queues.rx);
            used.tx |= sent;
            used.rx |= received;
            self.seen = Some((queues.rx.next_avail(), queues.tx.next_avail()));
            idle = !sent && !received;
            if idle {
                break;
            }
        }
        if !idle {
            self.shared.wake_device();
        }
        if let Some(queues) = &mut queues {
            used.rx = used.rx && queues.rx.needs_notification(mem).unwrap_or(true);
            used.tx = used.tx && queues.tx.needs_notification(mem).unwrap_or(true);
        }
        used
    }

    /// A guest that was only paused comes back with its queues where they stood; one that was restarted begins anew
    /// and knows nothing of our connections.
    fn notice_new_driver(&mut self, queues: &Queues<'_>) {
        let now = (queues.rx.next_avail(), queues.tx.next_avail());
        if self.seen.is_some_and(|seen| seen != now) {
            self.reset_all();
        }
    }

    /// The guest is gone: every connection ends, every dial fails.
    pub fn reset_all(&mut self) {
        for (_, slot) in self.slots.drain() {
            slot.fate.set_reset();
            host_side::finish_dial(slot.dial, Err(ConnectError::GuestGone));
        }
        self.by_ports.clear();
        self.ready.clear();
        self.resets.clear();
        self.deadlines.clear();
        self.seen = None;
    }
}

/// An eventfd to be woken through.
pub(crate) fn wake_fd() -> io::Result<OwnedFd> {
    Ok(rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}
