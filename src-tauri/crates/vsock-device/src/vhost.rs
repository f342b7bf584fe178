//! vhost-user: how QEMU hands over the guest's memory and queues. Serves one QEMU after the other.
//!
//! ```text
//!  server thread:  listen ──QEMU──▶ serve ──hung up──▶ reset connections ─┐
//!                    ▲────────────────────────────────────────────────────┘   until stopped
//!  worker thread (one per QEMU, by vhost-user-backend): kicks and the switch's events → Switch::run → interrupts
//! ```
//!
//! Source: QEMU docs/interop/vhost-user.rst; features: virtio 1.2 §5.10.3, §6.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use vhost::vhost_user::Listener;
use vhost::vhost_user::message::{VhostUserProtocolFeatures, VhostUserVirtioFeatures};
use vhost_user_backend::{ShutdownHandle, VhostUserBackend, VhostUserDaemon, VringMutex, VringT};
use virtio_bindings::virtio_config::VIRTIO_F_VERSION_1;
use virtio_bindings::virtio_ring::{VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC};
use virtio_queue::QueueT;
use vm_memory::{GuestAddressSpace, GuestMemoryAtomic, GuestMemoryMmap};
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::event::{EventConsumer, EventFlag, EventNotifier, new_event_consumer_and_notifier};

use crate::device::{DeviceError, Shared};
use crate::switch::{Queues, Switch};

/// rx and tx; the event queue stays with QEMU.
const QUEUES: usize = 2;
const MAX_QUEUE_SIZE: usize = 1024;
/// First epoll token that vhost-user-backend leaves to us.
const SWITCH_EVENT: u64 = QUEUES as u64 + 1;

type Memory = GuestMemoryAtomic<GuestMemoryMmap>;

struct Backend {
    guest_cid: u64,
    memory: Memory,
    switch: Mutex<Switch>,
}

impl Backend {
    fn switch(&self) -> MutexGuard<'_, Switch> {
        self.switch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl VhostUserBackend for Backend {
    type Bitmap = ();
    type Vring = VringMutex<Memory>;

    fn num_queues(&self) -> usize {
        QUEUES
    }

    fn max_queue_size(&self) -> usize {
        MAX_QUEUE_SIZE
    }

    fn features(&self) -> u64 {
        1 << VIRTIO_F_VERSION_1
            | 1 << VIRTIO_RING_F_EVENT_IDX
            | 1 << VIRTIO_RING_F_INDIRECT_DESC
            | VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits()
    }

    fn protocol_features(&self) -> VhostUserProtocolFeatures {
        VhostUserProtocolFeatures::CONFIG | VhostUserProtocolFeatures::REPLY_ACK | VhostUserProtocolFeatures::MQ
    }

    fn set_event_idx(&self, _enabled: bool) {}

    fn get_config(&self, offset: u32, size: u32) -> Vec<u8> {
        // struct virtio_vsock_config { le64 guest_cid }
        let config = self.guest_cid.to_le_bytes();
        let from = (offset as usize).min(config.len());
        let to = from.saturating_add(size as usize).min(config.len());
        config[from..to].to_vec()
    }

    fn update_memory(&self, _mem: Memory) -> io::Result<()> {
        Ok(())
    }

    fn exit_event(&self, _thread_index: usize) -> Option<(EventConsumer, EventNotifier)> {
        new_event_consumer_and_notifier(EventFlag::NONBLOCK | EventFlag::CLOEXEC).ok()
    }

    /// Never fails: an error would end the worker thread and with it the device.
    fn handle_event(&self, _event: u16, _set: EventSet, vrings: &[Self::Vring], _thread: usize) -> io::Result<()> {
        let [rx, tx] = vrings else { return Ok(()) };
        let (mut rx, mut tx) = (rx.get_mut(), tx.get_mut());
        let running = [&*rx, &*tx].iter().all(|ring| ring.is_enabled() && ring.get_queue().ready());
        let memory = self.memory.memory();
        let queues = running.then(|| Queues { rx: rx.get_queue_mut(), tx: tx.get_queue_mut() });
        let interrupts = self.switch().run(&memory, queues);
        for (ring, wanted) in [(&rx, interrupts.rx), (&tx, interrupts.tx)] {
            if wanted && let Err(err) = ring.signal_used_queue() {
                tracing::warn!(%err, "vsock interrupt could not be raised");
            }
        }
        Ok(())
    }
}

/// The thread that serves QEMU. Dropping it stops and joins.
pub(crate) struct Server {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
    path: PathBuf,
}

struct Stop {
    event: OwnedFd,
    /// How to hang up on the QEMU being served. `Err` once stopped.
    serving: Mutex<Result<Option<ShutdownHandle>, Stopped>>,
}

struct Stopped;

impl Server {
    pub(crate) fn start(path: &Path, guest_cid: u64, shared: Arc<Shared>) -> Result<Server, DeviceError> {
        let bind_error = |source| DeviceError::Bind { path: path.to_owned(), source };
        let listener = listen_privately(path).map_err(bind_error)?;
        let switch = Switch::new(guest_cid, shared.clone()).map_err(DeviceError::Create)?;
        let backend = Arc::new(Backend {
            guest_cid,
            memory: GuestMemoryAtomic::new(GuestMemoryMmap::new()),
            switch: Mutex::new(switch),
        });
        let event = crate::switch::wake_fd().map_err(DeviceError::Create)?;
        let stop = Arc::new(Stop { event, serving: Mutex::new(Ok(None)) });
        let thread = std::thread::Builder::new()
            .name("vsock-device".into())
            .spawn({
                let stop = stop.clone();
                move || serve_all(listener, &backend, &shared, &stop)
            })
            .map_err(DeviceError::Create)?;
        Ok(Server { stop, thread: Some(thread), path: path.to_owned() })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let serving = std::mem::replace(&mut *self.stop.serving(), Err(Stopped));
        let _ = rustix::io::write(&self.stop.event, &1u64.to_ne_bytes());
        if let Ok(Some(handle)) = serving {
            handle.shutdown();
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Stop {
    fn serving(&self) -> MutexGuard<'_, Result<Option<ShutdownHandle>, Stopped>> {
        self.serving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a caller on `listener`; `false` when stopped.
    fn wait_for_caller(&self, listener: &UnixListener) -> bool {
        loop {
            let mut fds =
                [PollFd::from_borrowed_fd(self.event.as_fd(), PollFlags::IN), PollFd::new(listener, PollFlags::IN)];
            match poll(&mut fds, None) {
                Ok(_) if !fds[0].revents().is_empty() => return false,
                Ok(_) if fds[1].revents().contains(PollFlags::IN) => return true,
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(err) => {
                    tracing::error!(%err, "vsock device stopped listening");
                    return false;
                }
            }
        }
    }
}

/// Mode 0600 from the first moment: nobody can connect before `listen`, and by then the mode is set.
fn listen_privately(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
        _ => {}
    }
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    rustix::net::listen(&socket, 1)?;
    Ok(UnixListener::from(socket))
}

fn serve_all(listener: UnixListener, backend: &Arc<Backend>, shared: &Shared, stop: &Stop) {
    while stop.wait_for_caller(&listener) {
        if let Err(err) = serve(&listener, backend, shared, stop) {
            tracing::warn!(%err, "vhost-user connection failed");
        }
        clear_up(backend, shared);
    }
    clear_up(backend, shared);
}

/// What a QEMU leaves behind: connections, dials, and the mapping that keeps its guest's memory alive.
fn clear_up(backend: &Backend, shared: &Shared) {
    shared.close();
    backend.switch().reset_all();
    backend.memory.lock().unwrap_or_else(PoisonError::into_inner).replace(GuestMemoryMmap::new());
}

/// Serves one QEMU until it hangs up.
fn serve(
    listener: &UnixListener,
    backend: &Arc<Backend>,
    shared: &Shared,
    stop: &Stop,
) -> Result<(), vhost_user_backend::Error> {
    let mut daemon = VhostUserDaemon::new("vsock-vhost-user".into(), backend.clone(), backend.memory.clone())?;
    for worker in daemon.get_epoll_handlers() {
        let events = backend.switch().events().as_raw_fd();
        worker.register_listener(events, EventSet::IN, SWITCH_EVENT).map_err(vhost_user_backend::Error::StartDaemon)?;
    }
    let caller = listener.try_clone().map_err(vhost_user_backend::Error::StartDaemon)?;
    daemon.start(&mut Listener::from(caller))?;
    match &mut *stop.serving() {
        Ok(serving) => *serving = daemon.shutdown_handle(),
        Err(Stopped) => daemon.request_shutdown(),
    }
    shared.open();
    let result = daemon.wait();
    if let Ok(serving) = &mut *stop.serving() {
        *serving = None;
    }
    match result {
        Err(vhost_user_backend::Error::HandleRequest(
            vhost::vhost_user::Error::Disconnected | vhost::vhost_user::Error::PartialMessage,
        )) => Ok(()),
        other => other,
    }
}
