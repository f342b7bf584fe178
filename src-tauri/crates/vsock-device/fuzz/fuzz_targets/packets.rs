//! A hostile guest and a careless host, one step after the other, chosen by the fuzzer.
#![no_main]

use std::cell::RefCell;
use std::future::Future;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::task::{Context, Waker};

use arbitrary::Arbitrary;
use cubby_vsock_device::switch::{Queues, Switch};
use cubby_vsock_device::{Device, Listener, Stream};
use libfuzzer_sys::fuzz_target;
use virtio_queue::{Queue, QueueT};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

const CID: u64 = 3;
const BASE: u64 = 0x10_0000;
const MEMORY_BYTES: usize = 1 << 20;
const SIZE: u16 = 16;
const RX: u64 = BASE;
const TX: u64 = BASE + 0x1000;
/// Packets and buffers are laid out from here on.
const DATA: u64 = BASE + 0x2000;
const PORT: u32 = 1024;
/// Steps of one input: bounds the time, not the device.
const MAX_STEPS: usize = 200;

#[derive(Arbitrary, Debug)]
enum Step {
    /// A packet that may be right.
    Packet {
        op: u8,
        guest_port: u8,
        host_port: u8,
        len: u16,
        payload: u16,
        flags: u8,
        buf_alloc: u32,
        fwd_cnt: u32,
        cut: u8,
        indirect: bool,
        wrong_type: bool,
        wrong_cid: bool,
    },
    /// A receive buffer that may be right.
    Buffer { len: u16, cut: u8 },
    /// Descriptors that are what they are.
    Chain { rx: bool, descriptors: Vec<(u32, u32, u8, u8)> },
    Scribble { rx: bool, at: u16, bytes: [u8; 4] },
    Restart { event_idx: bool },
    Kick,
    Dial { port: u8 },
    Accept,
    Write { stream: u8, len: u16 },
    Read { stream: u8 },
    Shutdown { stream: u8 },
    Drop { stream: u8 },
}

struct Guest {
    memory: GuestMemoryMmap,
    switch: Switch,
    rx: Queue,
    tx: Queue,
    rx_avail: u16,
    tx_avail: u16,
    next: u16,
    place: u64,
}

impl Guest {
    fn restart(&mut self, event_idx: bool) {
        for page in [RX, TX] {
            let _ = self.memory.write_slice(&[0; 0x1000], GuestAddress(page));
        }
        (self.rx, self.tx) = (queue(RX, event_idx), queue(TX, event_idx));
        (self.rx_avail, self.tx_avail) = (0, 0);
    }

    fn kick(&mut self) {
        let queues = Queues { rx: &mut self.rx, tx: &mut self.tx };
        self.switch.run(&self.memory, Some(queues));
    }

    fn describe(&mut self, rx: bool, address: u64, len: u32, flags: u16, next: u16) -> u16 {
        let index = self.next % SIZE;
        self.next = self.next.wrapping_add(1);
        let at = if rx { RX } else { TX } + u64::from(index) * 16;
        self.descriptor(at, address, len, flags, next);
        index
    }

    fn descriptor(&self, at: u64, address: u64, len: u32, flags: u16, next: u16) {
        let _ = self.memory.write_obj(address, GuestAddress(at));
        let _ = self.memory.write_obj(len, GuestAddress(at + 8));
        let _ = self.memory.write_obj(flags, GuestAddress(at + 12));
        let _ = self.memory.write_obj(next, GuestAddress(at + 14));
    }

    fn offer(&mut self, rx: bool, head: u16) {
        let (page, avail) = if rx { (RX, &mut self.rx_avail) } else { (TX, &mut self.tx_avail) };
        let slot = page + 0x404 + u64::from(*avail % SIZE) * 2;
        *avail = avail.wrapping_add(1);
        let _ = self.memory.write_obj(head, GuestAddress(slot));
        let _ = self.memory.write_obj(*avail, GuestAddress(page + 0x402));
    }

    /// Room for `len` bytes, somewhere in the data area.
    fn room(&mut self, len: u64) -> u64 {
        let end = BASE + MEMORY_BYTES as u64;
        if self.place + len > end {
            self.place = DATA;
        }
        let at = self.place;
        self.place += len.min(end - DATA);
        at
    }

    /// `len` bytes at `address` in one or two descriptors, direct or in a table.
    fn run_of(&mut self, rx: bool, address: u64, len: u32, cut: u8, indirect: bool) {
        let write = if rx { 2 } else { 0 };
        let cut = u32::from(cut).min(len);
        if indirect {
            let table = self.room(32);
            self.descriptor(table, address, cut, write | 1, 1);
            self.descriptor(table + 16, address + u64::from(cut), len - cut, write, 0);
            let head = self.describe(rx, table, 32, 4, 0);
            self.offer(rx, head);
            return;
        }
        let follower = self.next.wrapping_add(1) % SIZE;
        let head = self.describe(rx, address, cut, write | 1, follower);
        self.describe(rx, address + u64::from(cut), len - cut, write, 0);
        self.offer(rx, head);
    }
}

fn queue(page: u64, event_idx: bool) -> Queue {
    let mut queue = Queue::new(SIZE).unwrap();
    queue.set_size(SIZE);
    queue.set_desc_table_address(Some(page as u32), Some(0));
    queue.set_avail_ring_address(Some(page as u32 + 0x400), Some(0));
    queue.set_used_ring_address(Some(page as u32 + 0x800), Some(0));
    queue.set_event_idx(event_idx);
    queue.set_ready(true);
    queue
}

/// The host's side: what it holds open.
struct Host {
    device: Device,
    listener: Listener,
    streams: Vec<UnixStream>,
    dials: Vec<std::pin::Pin<Box<dyn Future<Output = Option<Stream>>>>>,
}

impl Host {
    fn keep(&mut self, stream: Option<Stream>) {
        if let Some(stream) = stream.and_then(|stream| stream.into_fd().ok()) {
            self.streams.push(stream.into());
        }
    }

    fn poll(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        let mut done = Vec::new();
        self.dials.retain_mut(|dial| match dial.as_mut().poll(&mut context) {
            std::task::Poll::Ready(stream) => {
                done.push(stream);
                false
            }
            std::task::Poll::Pending => true,
        });
        for stream in done {
            self.keep(stream);
        }
    }

    fn accept(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        let polled = pin!(self.listener.accept()).poll(&mut context);
        if let std::task::Poll::Ready(stream) = polled {
            self.keep(stream);
        }
    }

    fn stream(&mut self, number: u8) -> Option<&mut UnixStream> {
        let count = self.streams.len().max(1);
        self.streams.get_mut(usize::from(number) % count)
    }
}

fn step(guest: &mut Guest, host: &mut Host, step: &Step) {
    match step {
        Step::Packet { .. } => packet(guest, step),
        Step::Buffer { len, cut } => {
            let address = guest.room(u64::from(*len));
            guest.run_of(true, address, u32::from(*len), *cut, false);
        }
        Step::Chain { rx, descriptors } => {
            let mut first = None;
            for (address, len, flags, next) in descriptors.iter().take(20) {
                // Half of the addresses fall into memory.
                let address = if address % 2 == 0 { BASE + u64::from(*address) % MEMORY_BYTES as u64 } else { (u64::from(*address)) << 31 };
                let head = guest.describe(*rx, address, *len, u16::from(*flags), u16::from(*next));
                first.get_or_insert(head);
            }
            guest.offer(*rx, first.unwrap_or(u16::MAX));
        }
        Step::Scribble { rx, at, bytes } => {
            let page = if *rx { RX } else { TX };
            let _ = guest.memory.write_slice(bytes, GuestAddress(page + u64::from(*at) % 0xffc));
        }
        Step::Restart { event_idx } => guest.restart(*event_idx),
        Step::Kick => guest.kick(),
        Step::Dial { port } => {
            let (dialer, port) = (host.device.dialer(), u32::from(*port) % 4);
            host.dials.push(Box::pin(async move { dialer.connect(port).await.ok() }));
        }
        Step::Accept => host.accept(),
        Step::Write { stream, len } => {
            if let Some(stream) = host.stream(*stream) {
                let _ = stream.write(&vec![7; usize::from(*len)]);
            }
        }
        Step::Read { stream } => {
            if let Some(stream) = host.stream(*stream) {
                let _ = stream.read(&mut [0; 4096]);
            }
        }
        Step::Shutdown { stream } => {
            if let Some(stream) = host.stream(*stream) {
                let _ = stream.shutdown(Shutdown::Write);
            }
        }
        Step::Drop { stream } => {
            if !host.streams.is_empty() {
                let index = usize::from(*stream) % host.streams.len();
                host.streams.swap_remove(index);
            }
        }
    }
}

fn packet(guest: &mut Guest, step: &Step) {
    let Step::Packet { op, guest_port, host_port, len, payload, flags, buf_alloc, fwd_cnt, cut, indirect, wrong_type, wrong_cid } =
        step
    else {
        return;
    };
    // Few ports, so that packets meet connections; the host's dials come from 2^30 upwards.
    let host_port = match host_port % 8 {
        0..4 => PORT,
        n @ 4..7 => (1 << 30) + u32::from(n) - 4,
        _ => 9,
    };
    let mut header = [0; 44];
    header[0..8].copy_from_slice(&(CID + u64::from(*wrong_cid)).to_le_bytes());
    header[8..16].copy_from_slice(&2u64.to_le_bytes());
    header[16..20].copy_from_slice(&(u32::from(*guest_port) % 4).to_le_bytes());
    header[20..24].copy_from_slice(&host_port.to_le_bytes());
    header[24..28].copy_from_slice(&u32::from(*len).to_le_bytes());
    header[28..30].copy_from_slice(&(1 + u16::from(*wrong_type)).to_le_bytes());
    header[30..32].copy_from_slice(&u16::from(op % 9).to_le_bytes());
    header[32..36].copy_from_slice(&u32::from(*flags).to_le_bytes());
    header[36..40].copy_from_slice(&buf_alloc.to_le_bytes());
    header[40..44].copy_from_slice(&fwd_cnt.to_le_bytes());
    let whole = 44 + u64::from(*payload);
    let address = guest.room(whole);
    let _ = guest.memory.write_slice(&header, GuestAddress(address));
    guest.run_of(false, address, whole as u32, *cut, *indirect);
}

thread_local! {
    static MEMORY: GuestMemoryMmap = GuestMemoryMmap::from_ranges(&[(GuestAddress(BASE), MEMORY_BYTES)]).unwrap();
    static RUNTIME: RefCell<tokio::runtime::Runtime> =
        RefCell::new(tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap());
}

fuzz_target!(|steps: Vec<Step>| {
    RUNTIME.with(|runtime| {
        runtime.borrow_mut().block_on(async {
            let (device, shared) = Device::detached().unwrap();
            let listener = device.listen(PORT).unwrap();
            let mut host = Host { device, listener, streams: Vec::new(), dials: Vec::new() };
            let mut guest = Guest {
                memory: MEMORY.with(Clone::clone),
                switch: Switch::new(CID, shared).unwrap(),
                rx: queue(RX, false),
                tx: queue(TX, false),
                rx_avail: 0,
                tx_avail: 0,
                next: 0,
                place: DATA,
            };
            guest.restart(true);
            for each in steps.iter().take(MAX_STEPS) {
                step(&mut guest, &mut host, each);
                guest.kick();
                host.poll();
            }
        });
    });
});
