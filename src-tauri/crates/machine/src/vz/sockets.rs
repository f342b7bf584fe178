//! The vsock device's connections. The framework gives an object that owns a descriptor and closes it when it is
//! released; ours is a duplicate, which is the connection all the same.

use std::cell::Cell;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use block2::RcBlock;
use objc2::rc::Retained;
use objc2::runtime::ProtocolObject;
use objc2::{AnyThread, DefinedClass, define_class, msg_send};
use objc2_foundation::{NSError, NSObject, NSObjectProtocol};
use objc2_virtualization::{
    VZVirtioSocketConnection, VZVirtioSocketDevice, VZVirtioSocketListener, VZVirtioSocketListenerDelegate,
    VZVirtualMachine,
};
use tokio::sync::oneshot;

use super::configuration::error;
use super::vm::{Confined, Handle};
use crate::hypervisor::BoxFuture;
use crate::native::carrier::{Accepted, Sockets, Stream};

pub struct VzSockets(pub Handle);

/// The machine's one socket device. On the queue only.
fn device(machine: &VZVirtualMachine) -> Option<Retained<VZVirtioSocketDevice>> {
    // SAFETY: called on the machine's queue.
    let devices = unsafe { machine.socketDevices() };
    devices.firstObject()?.downcast::<VZVirtioSocketDevice>().ok()
}

fn duplicate(connection: &VZVirtioSocketConnection) -> io::Result<OwnedFd> {
    // SAFETY: reading a property.
    let fd = unsafe { connection.fileDescriptor() };
    if fd < 0 {
        return Err(io::ErrorKind::NotConnected.into());
    }
    // SAFETY: the connection owns the descriptor and outlives this function.
    unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned()
}

/// Wants to be called within the runtime.
fn stream(fd: OwnedFd) -> io::Result<Stream> {
    let socket = std::os::unix::net::UnixStream::from(fd);
    socket.set_nonblocking(true)?;
    Stream::from_std(socket)
}

impl Sockets for VzSockets {
    fn connect(&self, port: u32) -> BoxFuture<'static, io::Result<Stream>> {
        let (sender, answer) = oneshot::channel();
        let machine = self.0.machine.clone();
        self.0.queue.exec_async(move || {
            let Some(device) = device(&machine.0) else {
                let _ = sender.send(Err(io::ErrorKind::NotConnected.into()));
                return;
            };
            let sender = Cell::new(Some(sender));
            let done = RcBlock::new(move |connection: *mut VZVirtioSocketConnection, err: *mut NSError| {
                // SAFETY: one of the two is nil, the other lives as long as this call.
                let result = match unsafe { (connection.as_ref(), err.as_ref()) } {
                    (Some(connection), _) => duplicate(connection),
                    (None, Some(err)) => Err(error(err)),
                    (None, None) => Err(io::ErrorKind::ConnectionRefused.into()),
                };
                if let Some(sender) = sender.take() {
                    let _ = sender.send(result);
                }
            });
            // SAFETY: on the machine's queue; the block is copied by the framework.
            unsafe { device.connectToPort_completionHandler(port, &done) };
        });
        Box::pin(async { stream(answer.await.unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))?) })
    }

    fn open(&self, port: u32, accepted: Accepted) -> io::Result<Box<dyn Send>> {
        let runtime = tokio::runtime::Handle::try_current().map_err(io::Error::other)?;
        let delegate = ListenerDelegate::new(Accepting { accepted, runtime });
        // SAFETY: an initialiser, and a setter; nobody else knows the listener yet. It holds its delegate weakly.
        let listener = unsafe {
            let listener = VZVirtioSocketListener::new();
            listener.setDelegate(Some(ProtocolObject::from_ref(&*delegate)));
            listener
        };
        let open = Open { handle: self.0.clone(), port, held: Some(Confined((listener.clone(), delegate))) };
        let (machine, listener) = (self.0.machine.clone(), Confined(listener));
        self.0.queue.exec_async(move || {
            let listener = listener;
            if let Some(device) = device(&machine.0) {
                // SAFETY: on the machine's queue.
                unsafe { device.setSocketListener_forPort(&listener.0, port) };
            }
        });
        Ok(Box::new(open))
    }
}

/// A port that is open until this is dropped.
struct Open {
    handle: Handle,
    port: u32,
    held: Option<Confined<(Retained<VZVirtioSocketListener>, Retained<ListenerDelegate>)>>,
}

impl Drop for Open {
    fn drop(&mut self) {
        let (machine, port, held) = (self.handle.machine.clone(), self.port, self.held.take());
        self.handle.queue.exec_async(move || {
            if let Some(device) = device(&machine.0) {
                // SAFETY: on the machine's queue.
                unsafe { device.removeSocketListenerForPort(port) };
            }
            drop(held);
        });
    }
}

struct Accepting {
    accepted: Accepted,
    runtime: tokio::runtime::Handle,
}

define_class!(
    // SAFETY: NSObject has no requirements on subclasses, and this one does not implement Drop.
    #[unsafe(super(NSObject))]
    #[name = "CubbySocketListenerDelegate"]
    #[ivars = Accepting]
    struct ListenerDelegate;

    // SAFETY: no requirements.
    unsafe impl NSObjectProtocol for ListenerDelegate {}

    // SAFETY: the method has the protocol's signature.
    unsafe impl VZVirtioSocketListenerDelegate for ListenerDelegate {
        #[unsafe(method(listener:shouldAcceptNewConnection:fromSocketDevice:))]
        fn should_accept(
            &self,
            _listener: &VZVirtioSocketListener,
            connection: &VZVirtioSocketConnection,
            _device: &VZVirtioSocketDevice,
        ) -> bool {
            let Accepting { accepted, runtime } = self.ivars();
            let _within = runtime.enter();
            duplicate(connection).and_then(stream).is_ok_and(|stream| accepted.give(stream))
        }
    }
);

impl ListenerDelegate {
    fn new(accepting: Accepting) -> Retained<ListenerDelegate> {
        let this = ListenerDelegate::alloc().set_ivars(accepting);
        // SAFETY: NSObject's initialiser takes no arguments.
        unsafe { msg_send![super(this), init] }
    }
}
