//! vhost-user: how QEMU hands over the guest's memory and queues. Serves one QEMU after the other.
//!
//! ```text
//!  server thread:  listen ──QEMU──▶ serve ──hung up──▶ everything of that guest is let go ─┐
//!                    ▲───────────────────────────────────────────────────────────────────────┘   until stopped
//!  worker thread (one per QEMU, by vhost-user-backend): kicks → requests → replies → interrupts
//! ```
//!
//! Source: QEMU docs/interop/vhost-user.rst; virtio 1.2 §5.11 (queue 0: forgets, queue 1: requests).

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rustix::event::{EventfdFlags, PollFd, PollFlags, poll};
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

use crate::chain;
use crate::server::Server;

const QUEUES: usize = 2;
const MAX_QUEUE_SIZE: usize = 1024;

type Memory = GuestMemoryAtomic<GuestMemoryMmap>;

struct Backend {
    memory: Memory,
    server: Arc<Server>,
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
        VhostUserProtocolFeatures::REPLY_ACK | VhostUserProtocolFeatures::MQ
    }

    fn set_event_idx(&self, _enabled: bool) {}

    fn update_memory(&self, _mem: Memory) -> io::Result<()> {
        Ok(())
    }

    fn exit_event(&self, _thread_index: usize) -> Option<(EventConsumer, EventNotifier)> {
        new_event_consumer_and_notifier(EventFlag::NONBLOCK | EventFlag::CLOEXEC).ok()
    }

    /// Never fails: an error would end the worker thread and with it the device.
    fn handle_event(&self, event: u16, _set: EventSet, vrings: &[Self::Vring], _thread: usize) -> io::Result<()> {
        if let Some(ring) = vrings.get(usize::from(event)) {
            with_exact_modes();
            self.serve(ring);
        }
        Ok(())
    }
}

impl Backend {
    fn serve(&self, ring: &VringMutex<Memory>) {
        let memory = self.memory.memory();
        loop {
            let chain = {
                let mut state = ring.get_mut();
                if !state.is_enabled() || !state.get_queue().ready() {
                    return;
                }
                state.get_queue_mut().pop_descriptor_chain(memory.clone())
            };
            let Some(chain) = chain else {
                // Kicks are wanted again; what came in between is served now.
                match ring.enable_notification() {
                    Ok(true) => continue,
                    _ => return,
                }
            };
            let head = chain.head_index();
            let len = chain::split(&memory, chain).map_or(0, |(request, room)| self.server.handle(request, room));
            let _ = ring.add_used(head, len as u32);
            match ring.needs_notification() {
                Ok(false) => {}
                _ => {
                    if let Err(err) = ring.signal_used_queue() {
                        tracing::warn!(%err, "shared folders: interrupt could not be raised");
                    }
                }
            }
        }
    }
}

/// The modes of new files are the guest's business: its kernel has applied the container's umask already.
fn with_exact_modes() {
    thread_local!(static DONE: Cell<bool> = const { Cell::new(false) });
    if DONE.replace(true) {
        return;
    }
    // SAFETY: un-sharing the filesystem attributes (umask, working directory) of this thread touches no memory and no
    // descriptor; the thread is the device's own and relies on neither being shared.
    let own = unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::FS) };
    match own {
        Ok(()) => _ = rustix::process::umask(rustix::fs::Mode::empty()),
        Err(err) => tracing::warn!(%err, "new files in shared folders get this process's umask"),
    }
}

/// The thread that serves QEMU. Dropping it stops and joins.
pub(crate) struct Serving {
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

impl Serving {
    pub(crate) fn start(path: &Path, server: Arc<Server>) -> io::Result<Serving> {
        let listener = listen_privately(path)?;
        let backend = Arc::new(Backend { memory: GuestMemoryAtomic::new(GuestMemoryMmap::new()), server });
        let event = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let stop = Arc::new(Stop { event, serving: Mutex::new(Ok(None)) });
        let thread = std::thread::Builder::new().name("share-device".into()).spawn({
            let stop = stop.clone();
            move || serve_all(&listener, &backend, &stop)
        })?;
        Ok(Serving { stop, thread: Some(thread), path: path.to_owned() })
    }
}

impl Drop for Serving {
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
                    tracing::error!(%err, "the device of the shared folders stopped listening");
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

fn serve_all(listener: &UnixListener, backend: &Arc<Backend>, stop: &Stop) {
    while stop.wait_for_caller(listener) {
        if let Err(err) = serve(listener, backend, stop) {
            tracing::warn!(%err, "shared folders: vhost-user connection failed");
        }
        backend.server.reset();
        backend.memory.lock().unwrap_or_else(PoisonError::into_inner).replace(GuestMemoryMmap::new());
    }
}

/// Serves one QEMU until it hangs up.
fn serve(listener: &UnixListener, backend: &Arc<Backend>, stop: &Stop) -> Result<(), vhost_user_backend::Error> {
    let mut daemon = VhostUserDaemon::new("share-vhost-user".into(), backend.clone(), backend.memory.clone())?;
    let caller = listener.try_clone().map_err(vhost_user_backend::Error::StartDaemon)?;
    daemon.start(&mut Listener::from(caller))?;
    match &mut *stop.serving() {
        Ok(serving) => *serving = daemon.shutdown_handle(),
        Err(Stopped) => daemon.request_shutdown(),
    }
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
