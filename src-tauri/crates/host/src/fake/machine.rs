//! A machine without a hypervisor: pid 1's and the engine's parts are played by tasks, faults are injected by name.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use cubby_machine::{ExitReason, Figures, StopMode};
use cubby_wire::boot::{BootMessage, Stage};
use cubby_wire::control::{Figures as GuestFigures, Reply, Request};
use cubby_wire::{PROTOCOL_VERSION, frame, ports};
use tokio::io::AsyncWriteExt;
use tokio::sync::{broadcast, mpsc, watch};

use super::{Guest, Wire, pair};
use crate::link::{BoxFuture, BoxStream, Link};
use crate::schema::Problem;
use crate::supervisor::hardware::{Hardware, Listen, Machine, Prepared};

/// Serves one connection to the Docker API.
pub(crate) type Docker = Arc<dyn Fn(Wire) -> BoxFuture<'static, ()> + Send + Sync>;

/// Where the next machine goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    PrepareFails,
    PrepareHangs,
    StartFails,
    StartHangs,
    /// The hypervisor dies right after power on.
    DiesAtBoot,
    SilentKernel,
    WrongProtocol,
    DiskFails,
    SilentDisk,
    SilentEngine,
    PingFails,
    /// Runs, and does not power off when asked.
    WillNotPowerOff,
    /// Runs, and even `stop` hangs.
    WillNotStop,
    DeafControl,
}

pub(crate) const FAULTS: [Fault; 15] = [
    Fault::None,
    Fault::PrepareFails,
    Fault::PrepareHangs,
    Fault::StartFails,
    Fault::StartHangs,
    Fault::DiesAtBoot,
    Fault::SilentKernel,
    Fault::WrongProtocol,
    Fault::DiskFails,
    Fault::SilentDisk,
    Fault::SilentEngine,
    Fault::PingFails,
    Fault::WillNotPowerOff,
    Fault::WillNotStop,
    Fault::DeafControl,
];

pub(crate) struct Rig {
    pub fault: Mutex<Fault>,
    /// Ends the machine that runs.
    pub exit: watch::Sender<Option<ExitReason>>,
    /// What pid 1 says after its boot.
    pub says: broadcast::Sender<BootMessage>,
    pub machines: Arc<AtomicUsize>,
    pub clocks_set: Arc<AtomicUsize>,
    /// By how much the guest's clock is wrong; an hour at first.
    pub clock_off_ns: Arc<AtomicI64>,
    pub containers: Arc<AtomicU32>,
    pub paused: Arc<AtomicBool>,
    docker: Docker,
}

impl Rig {
    /// An engine that can do no more than answer a ping.
    pub fn new() -> Arc<Self> {
        Self::with_docker(Arc::new(|mut stream| {
            Box::pin(async move {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nOK").await;
            })
        }))
    }

    pub fn with_docker(docker: Docker) -> Arc<Self> {
        Arc::new(Self {
            fault: Mutex::new(Fault::None),
            exit: watch::channel(None).0,
            says: broadcast::channel(8).0,
            machines: Arc::default(),
            clocks_set: Arc::default(),
            clock_off_ns: Arc::new(AtomicI64::new(3_600_000_000_000)),
            containers: Arc::default(),
            paused: Arc::default(),
            docker,
        })
    }
}

pub(crate) struct FakeHardware(pub Arc<Rig>);

struct FakeMachine {
    rig: Arc<Rig>,
    fault: Fault,
    exit: watch::Receiver<Option<ExitReason>>,
    boot: mpsc::Sender<BoxStream>,
    boot_listener: Mutex<Option<mpsc::Receiver<BoxStream>>>,
    guest: Arc<Guest>,
}

struct FakeListener(Option<mpsc::Receiver<BoxStream>>);

impl Listen for FakeListener {
    fn accept(&mut self) -> BoxFuture<'_, Option<BoxStream>> {
        Box::pin(async {
            match &mut self.0 {
                Some(streams) => streams.recv().await,
                None => std::future::pending().await,
            }
        })
    }
}

fn broken(what: &str) -> Problem {
    Problem { title: what.to_owned(), detail: "injected".into(), remedy: None }
}

impl Hardware for FakeHardware {
    fn prepare(&self) -> BoxFuture<'_, Result<Prepared, Problem>> {
        Box::pin(async {
            let rig = self.0.clone();
            let fault = *rig.fault.lock().unwrap();
            match fault {
                Fault::PrepareFails => return Err(broken("prepare")),
                Fault::PrepareHangs => std::future::pending().await,
                _ => {}
            }
            rig.exit.send_replace(None);
            rig.machines.fetch_add(1, Ordering::SeqCst);
            let (boot, listener) = mpsc::channel(4);
            let machine = FakeMachine {
                exit: rig.exit.subscribe(),
                guest: guest(fault, &rig),
                fault,
                boot,
                boot_listener: Mutex::new(Some(listener)),
                rig,
            };
            Ok(Prepared { machine: Box::new(machine), accelerator: "fake".into(), notice: None })
        })
    }
}

/// The engine's ports, as far as the supervisor uses them.
fn guest(fault: Fault, rig: &Rig) -> Arc<Guest> {
    let (exit, clocks_set, docker) = (rig.exit.clone(), rig.clocks_set.clone(), rig.docker.clone());
    let (clock_off, containers) = (rig.clock_off_ns.clone(), rig.containers.clone());
    Guest::new(move |port, mut stream: Wire| {
        let (exit, clocks_set, docker) = (exit.clone(), clocks_set.clone(), docker.clone());
        let (clock_off, containers) = (clock_off.clone(), containers.clone());
        async move {
            match port {
                ports::DOCKER_API if fault != Fault::PingFails => docker(stream).await,
                ports::CONTROL if fault != Fault::DeafControl => {
                    while let Ok(Some(request)) = frame::read::<Request>(&mut stream).await {
                        let reply = match request {
                            Request::Hello { .. } => {
                                Reply::Hello { protocol: PROTOCOL_VERSION, guest_version: "fake".into() }
                            }
                            Request::SetClock { unix_ns } => {
                                assert!(unix_ns > 0);
                                clocks_set.fetch_add(1, Ordering::SeqCst);
                                clock_off.store(0, Ordering::SeqCst);
                                Reply::Done
                            }
                            Request::Figures => Reply::Figures(GuestFigures {
                                unix_ns: now_ns() + clock_off.load(Ordering::SeqCst),
                                containers_running: containers.load(Ordering::SeqCst),
                                ..GuestFigures::default()
                            }),
                            _ => Reply::Done,
                        };
                        let _ = frame::write(&mut stream, &reply).await;
                        if matches!(request, Request::Shutdown { .. }) && fault == Fault::None {
                            exit.send_replace(Some(ExitReason::PoweredOff));
                        }
                    }
                }
                ports::CONTROL => std::future::pending().await,
                _ => {}
            }
        }
    })
}

fn now_ns() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as i64
}

impl Machine for FakeMachine {
    fn start(&mut self) -> BoxFuture<'_, Result<(), Problem>> {
        Box::pin(async {
            match self.fault {
                Fault::StartFails => return Err(broken("start")),
                Fault::StartHangs => std::future::pending().await,
                Fault::DiesAtBoot => {
                    self.rig.exit.send_replace(Some(ExitReason::Panicked));
                    return Ok(());
                }
                Fault::SilentKernel => return Ok(()),
                _ => {}
            }
            tokio::spawn(boot_script(self.boot.clone(), self.fault, self.rig.says.subscribe()));
            Ok(())
        })
    }

    fn stop(&mut self, mode: StopMode) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if self.fault == Fault::WillNotStop {
                std::future::pending::<()>().await;
            }
            if let StopMode::AskedGuest { grace } = mode {
                let _ = tokio::time::timeout(grace, self.exit.wait_for(Option::is_some)).await;
            }
            self.rig.exit.send_replace(Some(ExitReason::Stopped));
        })
    }

    fn pause(&mut self) -> BoxFuture<'_, Result<(), Problem>> {
        self.rig.paused.store(true, Ordering::SeqCst);
        Box::pin(async { Ok(()) })
    }

    fn resume(&mut self) -> BoxFuture<'_, Result<(), Problem>> {
        self.rig.paused.store(false, Ordering::SeqCst);
        Box::pin(async { Ok(()) })
    }

    fn wait(&mut self) -> BoxFuture<'_, ExitReason> {
        Box::pin(async {
            let reason = self.exit.wait_for(Option::is_some).await.unwrap();
            reason.clone().unwrap()
        })
    }

    fn link(&self) -> Link {
        self.guest.clone()
    }

    fn listen(&self, port: u32) -> Result<Box<dyn Listen>, Problem> {
        let streams = if port == ports::BOOT { self.boot_listener.lock().unwrap().take() } else { None };
        Ok(Box::new(FakeListener(streams)))
    }

    fn figures(&self) -> Figures {
        Figures { resident_bytes: 42, ..Figures::default() }
    }

    fn pid(&self) -> Option<u32> {
        Some(4711)
    }
}

impl Drop for FakeMachine {
    fn drop(&mut self) {
        self.rig.machines.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Pid 1's part. The stream stays open to the end, as the real one's.
async fn boot_script(boot: mpsc::Sender<BoxStream>, fault: Fault, mut says: broadcast::Receiver<BootMessage>) {
    let (mut ours, theirs) = pair().unwrap();
    let _ = boot.send(Box::new(theirs)).await;
    let protocol = if fault == Fault::WrongProtocol { 99 } else { PROTOCOL_VERSION };
    let mut script = vec![BootMessage::Hello { protocol, guest_version: "0.1.0".into(), kernel: "6.12".into() }];
    let stages = match fault {
        Fault::SilentDisk | Fault::DiskFails => &[Stage::Init][..],
        Fault::SilentEngine => &[Stage::Init, Stage::Disk],
        _ => &[Stage::Init, Stage::Disk, Stage::Engine, Stage::Ready],
    };
    script.extend(stages.iter().map(|stage| BootMessage::Stage { stage: *stage, clock_us: 1 }));
    if fault == Fault::DiskFails {
        script.push(BootMessage::Failed { stage: Stage::Disk, reason: "bad superblock".into() });
    }
    for message in script {
        if frame::write(&mut ours, &message).await.is_err() {
            return;
        }
    }
    let (mut read, mut write) = tokio::io::split(ours);
    loop {
        tokio::select! {
            Ok(message) = says.recv() => { let _ = frame::write(&mut write, &message).await; }
            _ = frame::read::<BootMessage>(&mut read) => return,
        }
    }
}
