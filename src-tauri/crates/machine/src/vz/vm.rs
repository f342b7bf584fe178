//! One power cycle. The framework wants every call to a machine on the queue that the machine was made with, and calls
//! back there: one serial queue for each.

use std::cell::Cell;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use block2::{DynBlock, RcBlock};
use dispatch2::{DispatchQueue, DispatchQueueAttr, DispatchRetained};
use objc2::rc::Retained;
use objc2::runtime::ProtocolObject;
use objc2::{AnyThread, DefinedClass, define_class, msg_send};
use objc2_foundation::{NSError, NSObject, NSObjectProtocol};
use objc2_virtualization::{VZVirtioTraditionalMemoryBalloonDevice, VZVirtualMachine, VZVirtualMachineDelegate};
use tokio::sync::{oneshot, watch};

use super::configuration::{self, error};
use super::plan::Plan;
use super::sockets::VzSockets;
use crate::console::RotatingLog;
use crate::hypervisor::{Balloon, BoxFuture, MachineError};
use crate::native::carrier::Sockets;
use crate::native::{Ending, Vm};

/// What is used on one queue only, and so may be handed there from any thread.
pub struct Confined<T>(pub T);

// SAFETY: whoever makes one uses its content only in closures on the machine's serial queue (or while nobody else can
// know of it yet), so no two threads use it at once. Releasing an Objective-C object is safe on any thread.
unsafe impl<T> Send for Confined<T> {}
// SAFETY: as above; a shared reference leads to nothing that is used elsewhere.
unsafe impl<T> Sync for Confined<T> {}

/// A machine and its queue.
#[derive(Clone)]
pub struct Handle {
    pub queue: DispatchRetained<DispatchQueue>,
    pub machine: Arc<Confined<Retained<VZVirtualMachine>>>,
}

pub struct VzVm {
    handle: Handle,
    ending: watch::Receiver<Option<Ending>>,
    ended: watch::Sender<Option<Ending>>,
    memory_bytes: u64,
    /// The machine holds it weakly.
    _delegate: Confined<Retained<Delegate>>,
}

impl VzVm {
    pub fn new(name: &str, plan: &Plan, console_log: &Path) -> Result<VzVm, MachineError> {
        let console = |source| MachineError::Console { path: console_log.to_owned(), source };
        let log = RotatingLog::open(console_log).map_err(console)?;
        let (read, write) = io::pipe().map_err(console)?;
        std::thread::Builder::new().name("console".into()).spawn(move || log.drain(read)).map_err(console)?;
        let configuration = configuration::build(plan, write.into()).map_err(MachineError::Configuration)?;
        let label: String = format!("cubby.machine.{name}").chars().filter(|c| *c != '\0').collect();
        let queue = DispatchQueue::new(&label, DispatchQueueAttr::SERIAL);
        let ended = watch::Sender::new(None);
        let delegate = Delegate::new(ended.clone());
        // SAFETY: the configuration was validated; the machine is not known to any other thread yet, and nothing runs on
        // its queue before it is started.
        let machine = unsafe {
            let machine =
                VZVirtualMachine::initWithConfiguration_queue(VZVirtualMachine::alloc(), &configuration, &queue);
            machine.setDelegate(Some(ProtocolObject::from_ref(&*delegate)));
            machine
        };
        let handle = Handle { queue, machine: Arc::new(Confined(machine)) };
        let (ending, memory_bytes) = (ended.subscribe(), plan.memory_bytes);
        Ok(VzVm { handle, ending, ended, memory_bytes, _delegate: Confined(delegate) })
    }
}

impl Handle {
    /// Calls a method with a completion handler on the queue; the handler's error is the answer.
    fn ask(
        &self,
        call: impl FnOnce(&VZVirtualMachine, &DynBlock<dyn Fn(*mut NSError)>) + Send + 'static,
    ) -> BoxFuture<'static, io::Result<()>> {
        let (sender, answer) = oneshot::channel();
        let machine = self.machine.clone();
        self.queue.exec_async(move || {
            let sender = Cell::new(Some(sender));
            let done = RcBlock::new(move |err: *mut NSError| {
                // SAFETY: the framework passes nil or an error that lives as long as this call.
                let result = match unsafe { err.as_ref() } {
                    None => Ok(()),
                    Some(err) => Err(error(err)),
                };
                if let Some(sender) = sender.take() {
                    // Whoever asked may have given up.
                    let _ = sender.send(result);
                }
            });
            call(&machine.0, &done);
        });
        Box::pin(async { answer.await.unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into())) })
    }
}

impl Vm for VzVm {
    fn start(&mut self) -> BoxFuture<'_, io::Result<()>> {
        // SAFETY: on the machine's queue (so below, too); the block is copied by the framework.
        self.handle.ask(|machine, done| unsafe { machine.startWithCompletionHandler(done) })
    }

    fn pause(&mut self) -> BoxFuture<'_, io::Result<()>> {
        // SAFETY: see `start`.
        self.handle.ask(|machine, done| unsafe { machine.pauseWithCompletionHandler(done) })
    }

    fn resume(&mut self) -> BoxFuture<'_, io::Result<()>> {
        // SAFETY: see `start`.
        self.handle.ask(|machine, done| unsafe { machine.resumeWithCompletionHandler(done) })
    }

    fn kill(&mut self) -> BoxFuture<'_, io::Result<()>> {
        // SAFETY: see `start`.
        let stopped = self.handle.ask(|machine, done| unsafe { machine.stopWithCompletionHandler(done) });
        Box::pin(async {
            stopped.await?;
            // The delegate hears only of guests that stop by themselves.
            self.ended.send_if_modified(|ending| ending.is_none() && ending.replace(Ending::Killed).is_none());
            Ok(())
        })
    }

    fn ending(&self) -> watch::Receiver<Option<Ending>> {
        self.ending.clone()
    }

    fn sockets(&self) -> Arc<dyn Sockets> {
        Arc::new(VzSockets(self.handle.clone()))
    }

    fn balloon(&self) -> Option<Arc<dyn Balloon>> {
        Some(Arc::new(VzBalloon { handle: self.handle.clone(), memory_bytes: self.memory_bytes }))
    }

    /// The guest runs in a process of the system's whose identity the framework does not tell.
    fn cost(&self) -> (u64, Duration) {
        (0, Duration::ZERO)
    }
}

struct VzBalloon {
    handle: Handle,
    memory_bytes: u64,
}

impl Balloon for VzBalloon {
    fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// The framework rounds it and keeps it within what it allows.
    fn set_target(&self, bytes: u64) {
        let machine = self.handle.machine.clone();
        self.handle.queue.exec_async(move || {
            // SAFETY: on the machine's queue.
            let devices = unsafe { machine.0.memoryBalloonDevices() };
            let device =
                devices.firstObject().map(|device| device.downcast::<VZVirtioTraditionalMemoryBalloonDevice>());
            if let Some(Ok(device)) = device {
                // SAFETY: on the machine's queue.
                unsafe { device.setTargetVirtualMachineMemorySize(bytes) };
            }
        });
    }
}

impl Drop for VzVm {
    fn drop(&mut self) {
        if self.ending.borrow().is_some() {
            return;
        }
        let machine = self.handle.machine.clone();
        self.handle.queue.exec_async(move || {
            let held = machine.clone();
            // Holds the machine until it has stopped.
            let done = RcBlock::new(move |_: *mut NSError| _ = &held);
            // SAFETY: on the machine's queue; a machine that cannot be stopped answers with an error.
            unsafe { machine.0.stopWithCompletionHandler(&done) };
        });
    }
}

define_class!(
    // SAFETY: NSObject has no requirements on subclasses, and this one does not implement Drop.
    #[unsafe(super(NSObject))]
    #[name = "CubbyMachineDelegate"]
    #[ivars = watch::Sender<Option<Ending>>]
    pub struct Delegate;

    // SAFETY: no requirements.
    unsafe impl NSObjectProtocol for Delegate {}

    // SAFETY: the methods have the protocol's signatures.
    unsafe impl VZVirtualMachineDelegate for Delegate {
        #[unsafe(method(guestDidStopVirtualMachine:))]
        fn guest_did_stop(&self, _machine: &VZVirtualMachine) {
            self.ivars().send_replace(Some(Ending::PoweredOff));
        }

        #[unsafe(method(virtualMachine:didStopWithError:))]
        fn did_stop_with_error(&self, _machine: &VZVirtualMachine, err: &NSError) {
            self.ivars().send_replace(Some(Ending::Failed(error(err).to_string())));
        }
    }
);

impl Delegate {
    fn new(ended: watch::Sender<Option<Ending>>) -> Retained<Delegate> {
        let this = Delegate::alloc().set_ivars(ended);
        // SAFETY: NSObject's initialiser takes no arguments.
        unsafe { msg_send![super(this), init] }
    }
}
