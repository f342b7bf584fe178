//! One power cycle: a compute system, its console's pipe, its place on the network.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use windows_sys::core::GUID;

use super::api::{Api, DEFAULT_SWITCH, System};
use super::document::{self, Names};
use super::service_id;
use super::sockets::HvSockets;
use crate::console::RotatingLog;
use crate::hypervisor::{BoxFuture, MachineError};
use crate::native::carrier::Sockets;
use crate::native::{Ending, Vm};
use crate::spec::MachineSpec;

/// The service makes the console's pipe when the machine starts.
const CONSOLE_ATTEMPTS: u32 = 200;
const CONSOLE_PAUSE: Duration = Duration::from_millis(50);

pub struct HcsVm {
    system: Arc<System>,
    id: u128,
    ending: watch::Receiver<Option<Ending>>,
    console: Option<(String, RotatingLog)>,
    _endpoint: Option<Endpoint>,
}

impl HcsVm {
    /// Blocking.
    pub fn new(spec: &MachineSpec) -> Result<HcsVm, MachineError> {
        let api = Api::get().map_err(MachineError::Configuration)?;
        let id = random_id().map_err(MachineError::Configuration)?;
        let text = service_id::text(id);
        let path = &spec.console_log;
        let log = RotatingLog::open(path).map_err(|source| MachineError::Console { path: path.clone(), source })?;
        let endpoint = Endpoint::new(api)
            .inspect_err(|err| tracing::warn!(%err, "the guest has no network: Hyper-V's default switch is missing"))
            .ok();
        let names = Names {
            endpoint: endpoint.as_ref().map(|endpoint| service_id::text(endpoint.id)),
            console_pipe: format!(r"\\.\pipe\cubby-console-{text}"),
        };
        for file in [&spec.image.kernel, &spec.image.initramfs, &spec.data_disk.path] {
            api.grant(&text, &file.to_string_lossy()).map_err(MachineError::Configuration)?;
        }
        let document = document::machine(spec, &names).to_string();
        let system = Arc::new(api.create(&text, &document).map_err(MachineError::Configuration)?);
        let ended = watch::Sender::new(None);
        let ending = ended.subscribe();
        Ok(HcsVm {
            ending,
            id,
            console: Some((names.console_pipe, log)),
            _endpoint: endpoint,
            system: watch_end(system, ended).map_err(MachineError::Configuration)?,
        })
    }

    /// Runs a call of the service off the runtime's threads.
    fn call(
        &self,
        call: impl FnOnce(&System) -> io::Result<()> + Send + 'static,
    ) -> BoxFuture<'static, io::Result<()>> {
        let system = self.system.clone();
        Box::pin(async move { tokio::task::spawn_blocking(move || call(&system)).await.map_err(io::Error::other)? })
    }
}

/// A thread that waits for the machine's end. It holds the system, so that it ends with the machine: `Drop` ends that.
fn watch_end(system: Arc<System>, ended: watch::Sender<Option<Ending>>) -> io::Result<Arc<System>> {
    let waiting = system.clone();
    std::thread::Builder::new().name("machine-end".into()).spawn(move || {
        let said = waiting.wait_exit();
        ended.send_replace(Some(document::ending(&said)));
    })?;
    Ok(system)
}

fn random_id() -> io::Result<u128> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(u128::from_be_bytes(bytes))
}

/// Copies the console until the machine ends.
fn follow_console(pipe: &str, log: RotatingLog) {
    for _ in 0..CONSOLE_ATTEMPTS {
        match OpenOptions::new().read(true).open(Path::new(pipe)) {
            Ok(console) => return log.drain(console),
            Err(err) if err.kind() == io::ErrorKind::NotFound => std::thread::sleep(CONSOLE_PAUSE),
            Err(err) => return tracing::warn!(%err, "the guest's console cannot be read"),
        }
    }
    tracing::warn!("the guest has no console");
}

impl Vm for HcsVm {
    fn start(&mut self) -> BoxFuture<'_, io::Result<()>> {
        if let Some((pipe, log)) = self.console.take() {
            let spawned = std::thread::Builder::new().name("console".into()).spawn(move || follow_console(&pipe, log));
            if let Err(err) = spawned {
                return Box::pin(async { Err(err) });
            }
        }
        self.call(System::start)
    }

    fn pause(&mut self) -> BoxFuture<'_, io::Result<()>> {
        self.call(System::pause)
    }

    fn resume(&mut self) -> BoxFuture<'_, io::Result<()>> {
        self.call(System::resume)
    }

    fn kill(&mut self) -> BoxFuture<'_, io::Result<()>> {
        self.call(System::terminate)
    }

    fn ending(&self) -> watch::Receiver<Option<Ending>> {
        self.ending.clone()
    }

    fn sockets(&self) -> Arc<dyn Sockets> {
        Arc::new(HvSockets { machine: GUID::from_u128(self.id) })
    }

    /// The guest runs in a process of the system's that other users may not look at.
    fn cost(&self) -> (u64, Duration) {
        (0, Duration::ZERO)
    }
}

impl Drop for HcsVm {
    fn drop(&mut self) {
        if self.ending.borrow().is_none() {
            let system = self.system.clone();
            // Waits for the service: not here.
            std::thread::spawn(move || system.terminate());
        }
    }
}

/// The machine's place on the system's own switch, until this is dropped.
struct Endpoint {
    api: &'static Api,
    id: u128,
}

impl Endpoint {
    fn new(api: &'static Api) -> io::Result<Endpoint> {
        let id = random_id()?;
        let network = service_id::text(guid_number(&DEFAULT_SWITCH));
        api.create_endpoint(&GUID::from_u128(id), &document::endpoint(&network).to_string())?;
        Ok(Endpoint { api, id })
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.api.delete_endpoint(&GUID::from_u128(self.id));
    }
}

fn guid_number(guid: &GUID) -> u128 {
    u128::from(guid.data1) << 96
        | u128::from(guid.data2) << 80
        | u128::from(guid.data3) << 64
        | u128::from(u64::from_be_bytes(guid.data4))
}
