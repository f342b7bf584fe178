//! The device against drivers that are not ours, in one process over shared memory.
//!
//! `virtio-drivers` is an independent implementation of the guest's side; what it cannot say (odd descriptor layouts,
//! lies) is said by [`raw`]. Nothing here knows vhost-user: kicks call [`Switch::run`] directly.

mod cases;
mod frontend;
mod hal;
mod hostile;
mod raw;

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use virtio_drivers::PhysAddr;
use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use virtio_queue::{Queue, QueueT};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::device::Device;
use crate::switch::{Interrupts, Queues, Switch};

/// The examined device's guest.
pub const CID: u64 = 7;
const MAX_QUEUE_SIZE: u16 = 64;
const EVENT_IDX: u64 = 1 << virtio_bindings::virtio_ring::VIRTIO_RING_F_EVENT_IDX;
const FEATURES: u64 = 1 << virtio_bindings::virtio_config::VIRTIO_F_VERSION_1
    | 1 << virtio_bindings::virtio_ring::VIRTIO_RING_F_INDIRECT_DESC
    | EVENT_IDX;

/// A switch with its two queues, as vhost-user would keep them.
pub struct Bench {
    pub switch: Switch,
    pub rx: Queue,
    pub tx: Queue,
    pub interrupts: usize,
}

impl Bench {
    /// The device's two sides: what a driver talks to, and what the host's code would hold.
    pub fn new() -> (Rc<RefCell<Bench>>, Device) {
        let (device, shared) = Device::detached().unwrap();
        let switch = Switch::new(CID, shared).unwrap();
        let queue = || Queue::new(MAX_QUEUE_SIZE).unwrap();
        (Rc::new(RefCell::new(Bench { switch, rx: queue(), tx: queue(), interrupts: 0 })), device)
    }

    pub fn run(&mut self) {
        let running = self.rx.ready() && self.tx.ready();
        let queues = running.then_some(Queues { rx: &mut self.rx, tx: &mut self.tx });
        let Interrupts { rx, tx } = self.switch.run(hal::memory(), queues);
        self.interrupts += usize::from(rx) + usize::from(tx);
    }
}

/// A virtio transport that is a function call.
pub struct Wire(Rc<RefCell<Bench>>);

impl Transport for Wire {
    fn device_type(&self) -> DeviceType {
        DeviceType::Socket
    }

    fn read_device_features(&mut self) -> u64 {
        FEATURES
    }

    fn write_driver_features(&mut self, features: u64) {
        let bench = &mut *self.0.borrow_mut();
        bench.rx.set_event_idx(features & EVENT_IDX != 0);
        bench.tx.set_event_idx(features & EVENT_IDX != 0);
    }

    fn max_queue_size(&mut self, _queue: u16) -> u32 {
        MAX_QUEUE_SIZE.into()
    }

    fn notify(&mut self, _queue: u16) {
        self.0.borrow_mut().run();
    }

    fn get_status(&self) -> DeviceStatus {
        DeviceStatus::empty()
    }

    fn set_status(&mut self, _status: DeviceStatus) {}

    fn set_guest_page_size(&mut self, _bytes: u32) {}

    fn requires_legacy_layout(&self) -> bool {
        false
    }

    fn queue_set(&mut self, queue: u16, size: u32, descriptors: PhysAddr, driver: PhysAddr, device: PhysAddr) {
        let bench = &mut *self.0.borrow_mut();
        let queue = match queue {
            0 => &mut bench.rx,
            1 => &mut bench.tx,
            _ => return,
        };
        let halves = |address: u64| (Some(address as u32), Some((address >> 32) as u32));
        queue.set_size(size as u16);
        let (low, high) = halves(descriptors);
        queue.set_desc_table_address(low, high);
        let (low, high) = halves(driver);
        queue.set_avail_ring_address(low, high);
        let (low, high) = halves(device);
        queue.set_used_ring_address(low, high);
        queue.set_ready(true);
    }

    fn queue_unset(&mut self, queue: u16) {
        let bench = &mut *self.0.borrow_mut();
        match queue {
            0 => bench.rx.set_ready(false),
            1 => bench.tx.set_ready(false),
            _ => {}
        }
    }

    fn queue_used(&mut self, _queue: u16) -> bool {
        false
    }

    fn ack_interrupt(&mut self) -> InterruptStatus {
        InterruptStatus::empty()
    }

    fn read_config_generation(&self) -> u32 {
        0
    }

    fn read_config_space<T: FromBytes + IntoBytes>(&self, offset: usize) -> virtio_drivers::Result<T> {
        let config = CID.to_le_bytes();
        T::read_from_prefix(&config[offset..])
            .map(|(value, _)| value)
            .map_err(|_| virtio_drivers::Error::ConfigSpaceTooSmall)
    }

    fn write_config_space<T: IntoBytes + Immutable>(
        &mut self,
        _offset: usize,
        _value: T,
    ) -> virtio_drivers::Result<()> {
        Ok(())
    }
}

/// Drives a future of the host's code and the guest's `step` in turn, until the future is done.
async fn together<T, Ignored>(host: impl Future<Output = T>, mut step: impl FnMut() -> Ignored) -> T {
    let guest = async {
        loop {
            step();
            tokio::task::yield_now().await;
        }
    };
    let both = async {
        tokio::select! {
            done = host => done,
            () = guest => unreachable!("the guest never ends"),
        }
    };
    tokio::time::timeout(Duration::from_secs(20), both).await.expect("host and guest make progress")
}

/// Runs the guest's `step` until it has what it waits for.
async fn until<T>(mut step: impl FnMut() -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(found) = step() {
                return found;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect("the guest gets what it waits for")
}
