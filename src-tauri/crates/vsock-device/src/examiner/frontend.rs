//! The whole device behind its vhost-user socket, with this test in QEMU's place and `virtio-drivers` in the guest's.

use std::cell::RefCell;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use vhost::vhost_user::message::{VhostUserConfigFlags, VhostUserProtocolFeatures, VhostUserVirtioFeatures};
use vhost::vhost_user::{Frontend, VhostUserFrontend};
use vhost::{VhostBackend, VhostUserMemoryRegionInfo, VringConfigData};
use virtio_drivers::PhysAddr;
use virtio_drivers::device::socket::{VirtIOSocket, VsockConnectionManager, VsockEvent, VsockEventType};
use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use vm_memory::{GuestAddress, GuestMemoryBackend};
use vmm_sys_util::eventfd::EventFd;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{CID, hal, together, until};
use crate::device::{ConnectError, Device, Stream};

const PORT: u32 = 2375;
const SIZE: u16 = 64;

/// One ring as the driver set it up.
#[derive(Clone, Copy, Default)]
struct Ring {
    size: u16,
    descriptors: u64,
    driver: u64,
    device: u64,
}

/// QEMU's end of the vhost-user socket.
struct Vmm {
    frontend: Frontend,
    features: u64,
    rings: [Ring; 2],
    kicks: [EventFd; 2],
    calls: [EventFd; 2],
}

impl Vmm {
    fn connect(path: &Path) -> Rc<RefCell<Vmm>> {
        let mut frontend = Frontend::connect(path, 2).unwrap();
        frontend.set_owner().unwrap();
        let offered = frontend.get_features().unwrap();
        assert_ne!(offered & VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits(), 0);
        assert!(frontend.get_protocol_features().unwrap().contains(VhostUserProtocolFeatures::CONFIG));
        frontend.set_protocol_features(VhostUserProtocolFeatures::CONFIG).unwrap();
        let fd = || EventFd::new(libc::EFD_NONBLOCK).unwrap();
        let (kicks, calls) = ([fd(), fd()], [fd(), fd()]);
        Rc::new(RefCell::new(Vmm { frontend, features: offered, rings: Default::default(), kicks, calls }))
    }

    /// What QEMU does when the driver is ready, or when a paused guest goes on.
    fn start(&mut self, bases: [u16; 2]) {
        self.frontend.set_features(self.features).unwrap();
        let region = hal::memory().iter().next().unwrap();
        let region = VhostUserMemoryRegionInfo::from_guest_region(region).unwrap();
        self.frontend.set_mem_table(&[region]).unwrap();
        for (index, ring) in self.rings.iter().enumerate() {
            let address = |guest| hal::memory().get_host_address(GuestAddress(guest)).unwrap() as u64;
            self.frontend.set_vring_num(index, ring.size).unwrap();
            self.frontend.set_vring_base(index, bases[index]).unwrap();
            let config = VringConfigData {
                queue_max_size: SIZE,
                queue_size: ring.size,
                flags: 0,
                desc_table_addr: address(ring.descriptors),
                used_ring_addr: address(ring.device),
                avail_ring_addr: address(ring.driver),
                log_addr: None,
            };
            self.frontend.set_vring_addr(index, &config).unwrap();
            self.frontend.set_vring_call(index, &self.calls[index]).unwrap();
            self.frontend.set_vring_kick(index, &self.kicks[index]).unwrap();
            self.frontend.set_vring_enable(index, true).unwrap();
        }
    }

    /// What QEMU does when the guest is paused; where the rings stood.
    fn stop(&mut self) -> [u16; 2] {
        [0, 1].map(|index| {
            self.frontend.set_vring_enable(index, false).unwrap();
            self.frontend.get_vring_base(index).unwrap() as u16
        })
    }
}

struct Pci(Rc<RefCell<Vmm>>);

impl Transport for Pci {
    fn device_type(&self) -> DeviceType {
        DeviceType::Socket
    }

    fn read_device_features(&mut self) -> u64 {
        self.0.borrow().features & !VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits()
    }

    fn write_driver_features(&mut self, features: u64) {
        self.0.borrow_mut().features = features | VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits();
    }

    fn max_queue_size(&mut self, _queue: u16) -> u32 {
        SIZE.into()
    }

    fn notify(&mut self, queue: u16) {
        if let Some(kick) = self.0.borrow().kicks.get(usize::from(queue)) {
            kick.write(1).unwrap();
        }
    }

    fn get_status(&self) -> DeviceStatus {
        DeviceStatus::empty()
    }

    fn set_status(&mut self, status: DeviceStatus) {
        if status.contains(DeviceStatus::DRIVER_OK) {
            self.0.borrow_mut().start([0, 0]);
        }
    }

    fn set_guest_page_size(&mut self, _bytes: u32) {}

    fn requires_legacy_layout(&self) -> bool {
        false
    }

    fn queue_set(&mut self, queue: u16, size: u32, descriptors: PhysAddr, driver: PhysAddr, device: PhysAddr) {
        if let Some(ring) = self.0.borrow_mut().rings.get_mut(usize::from(queue)) {
            *ring = Ring { size: size as u16, descriptors, driver, device };
        }
    }

    fn queue_unset(&mut self, _queue: u16) {}

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
        let vmm = &mut *self.0.borrow_mut();
        let wanted = vec![0; size_of::<T>()];
        let flags = VhostUserConfigFlags::WRITABLE;
        let (_, config) = vmm.frontend.get_config(offset as u32, wanted.len() as u32, flags, &wanted).unwrap();
        T::read_from_bytes(&config).map_err(|_| virtio_drivers::Error::ConfigSpaceTooSmall)
    }

    fn write_config_space<T: IntoBytes + Immutable>(&mut self, _at: usize, _value: T) -> virtio_drivers::Result<()> {
        Ok(())
    }
}

type Manager = VsockConnectionManager<hal::GuestRam, Pci, 512>;

struct Guest {
    vmm: Rc<RefCell<Vmm>>,
    manager: Manager,
}

fn socket() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vsock.sock");
    (dir, path)
}

impl Guest {
    fn boot(path: &Path) -> Guest {
        let vmm = Vmm::connect(path);
        let driver = VirtIOSocket::new(Pci(vmm.clone())).unwrap();
        assert_eq!(driver.guest_cid(), CID);
        Guest { vmm, manager: Manager::new(driver) }
    }

    fn poll(&mut self) -> Option<VsockEvent> {
        self.manager.poll().expect("the device keeps to the protocol")
    }

    /// Echoes whatever comes.
    fn echo(&mut self) {
        if let Some(VsockEvent { event_type: VsockEventType::Received { length }, source, .. }) = self.poll() {
            let mut bytes = vec![0; length];
            self.manager.recv(source, PORT, &mut bytes).unwrap();
            self.manager.send(source, PORT, &bytes).unwrap();
        }
    }

    async fn accept_dial(&mut self, device: &Device) -> Stream {
        self.manager.listen(PORT);
        let dialer = device.dialer();
        // QEMU is connected a moment before the device's thread has taken note.
        let dial = async {
            loop {
                match dialer.connect(PORT).await {
                    Err(ConnectError::GuestGone) => tokio::task::yield_now().await,
                    other => return other.unwrap(),
                }
            }
        };
        together(dial, || self.poll()).await
    }

    async fn expect_echo(&mut self, stream: &mut Stream) {
        stream.write_all(b"are you there").await.unwrap();
        let mut heard = [0; 13];
        together(stream.read_exact(&mut heard), || self.echo()).await.unwrap();
        assert_eq!(&heard, b"are you there");
    }
}

#[tokio::test]
async fn the_socket_is_private_and_goes_with_the_device() {
    let (_dir, path) = socket();
    let device = Device::bind(&path, CID).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(matches!(device.dialer().connect(1).await, Err(ConnectError::GuestGone)));
    drop(device);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_driver_behind_vhost_user_talks_and_a_dropped_device_ends_it() {
    let (_dir, path) = socket();
    let device = Device::bind(&path, CID).unwrap();
    let mut guest = Guest::boot(&path);
    let mut stream = guest.accept_dial(&device).await;
    guest.expect_echo(&mut stream).await;
    drop(device);
    let end = stream.read_to_end(&mut Vec::new()).await;
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    assert!(guest.vmm.borrow().frontend.get_features().is_err(), "the device still answers");
}

#[tokio::test]
async fn the_next_qemu_is_served_and_old_connections_are_reset() {
    let (_dir, path) = socket();
    let device = Device::bind(&path, CID).unwrap();
    for _ in 0..3 {
        let mut guest = Guest::boot(&path);
        let mut stream = guest.accept_dial(&device).await;
        guest.expect_echo(&mut stream).await;
        drop(guest);
        let end = stream.read_to_end(&mut Vec::new()).await;
        assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    }
}

#[tokio::test]
async fn a_pause_keeps_connections() {
    let (_dir, path) = socket();
    let device = Device::bind(&path, CID).unwrap();
    let mut guest = Guest::boot(&path);
    let mut stream = guest.accept_dial(&device).await;
    guest.expect_echo(&mut stream).await;

    let bases = guest.vmm.borrow_mut().stop();
    stream.write_all(b"while you were away").await.unwrap();
    let dial = device.dialer().connect(PORT).await;
    assert!(matches!(dial, Err(ConnectError::GuestGone)), "{dial:?}");

    guest.vmm.borrow_mut().start(bases);
    let mut heard = [0; 19];
    together(stream.read_exact(&mut heard), || guest.echo()).await.unwrap();
    assert_eq!(&heard, b"while you were away");
}

#[tokio::test]
async fn interrupts_are_raised_when_the_driver_wants_them() {
    let (_dir, path) = socket();
    let device = Device::bind(&path, CID).unwrap();
    let mut guest = Guest::boot(&path);
    let mut stream = guest.accept_dial(&device).await;
    let _ = guest.vmm.borrow().calls[0].read();
    stream.write_all(b"ring").await.unwrap();
    until(|| guest.vmm.borrow().calls[0].read().ok()).await;
    guest.echo();
}
