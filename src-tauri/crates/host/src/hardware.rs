//! The real machine for the supervisor: `cubby-machine` with this profile's files, its errors as problems with a remedy.

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};

use cubby_machine::{
    DataDisk, Dialer, DiskError, ExitReason, Figures, GuestImage, Hypervisor, ImageError, Listener, MachineError,
    MachineSpec, ProbeError, StopMode, system,
};

use crate::dirs::Dirs;
use crate::guest_image;
use crate::link::{BoxFuture, BoxStream, Dial, Link};
use crate::schema::{Problem, Remedy};
use crate::slots::{Choice, SlotError, Slots};
use crate::supervisor::hardware::{Hardware, Listen, Machine, Prepared};

/// Below this much free space a machine is not even tried: the guest's first writes would stop it.
const MIN_FREE_BYTES: u64 = 256 << 20;

/// What the machine shall have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub cpus: u32,
    pub memory_mib: u32,
    pub disk_bytes: u64,
}

impl Size {
    /// Half of the processors; a quarter of the memory, within 1 and 4 GiB; a disk that grows up to 64 GiB. The variables
    /// `CUBBY_CPUS`, `CUBBY_MEMORY_MIB` and `CUBBY_DISK_GIB` say otherwise.
    pub fn of_host() -> Self {
        let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok()).filter(|n| *n > 0);
        let processors = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
        let memory_mib = host_memory_mib().unwrap_or(4096) / 4;
        Self {
            cpus: number("CUBBY_CPUS").unwrap_or(processors.div_ceil(2).clamp(1, 8)),
            memory_mib: number("CUBBY_MEMORY_MIB").unwrap_or(memory_mib.clamp(1024, 4096)),
            disk_bytes: u64::from(number("CUBBY_DISK_GIB").unwrap_or(64)) << 30,
        }
    }
}

pub fn host_memory_mib() -> Option<u32> {
    u32::try_from(system::memory_bytes()? >> 20).ok()
}

/// Machines of one profile.
pub struct ThisHost {
    dirs: Dirs,
    size: Size,
    slots: Slots,
    /// The image that boots on trial.
    trial: Mutex<Option<GuestImage>>,
}

impl ThisHost {
    pub fn new(dirs: Dirs, size: Size) -> Self {
        let slots = Slots::new(&dirs.state, &dirs.data_disk());
        Self { dirs, size, slots, trial: Mutex::new(None) }
    }
}

/// The guest image of this installation, or why there is none.
pub async fn open_image() -> Result<GuestImage, Problem> {
    let opened = tokio::task::spawn_blocking(installed_image).await;
    opened
        .map_err(|err| problem("The guest image could not be read", &err, None))?
        .map_err(|err| problem(NOT_INSTALLED, &err, None))
}

const NOT_INSTALLED: &str = "The machine's system is not installed";

pub(crate) fn installed_image() -> Result<GuestImage, ImageError> {
    let dir = guest_image::find().map_err(|places| {
        let places: Vec<_> = places.iter().map(|place| format!("\n  {}", place.display())).collect();
        ImageError::NotInstalled { variable: guest_image::VARIABLE, places: places.concat() }
    })?;
    GuestImage::open(&dir)
}

/// This host's hypervisor for an image.
#[cfg(target_os = "linux")]
pub fn hypervisor(image: GuestImage, dirs: &Dirs) -> Box<dyn Hypervisor> {
    // What this computer can do is the same for every profile.
    let shared = dirs.state.parent().unwrap_or(&dirs.state);
    Box::new(cubby_machine::Qemu::new(image, shared))
}

/// This host's hypervisor for an image.
#[cfg(target_os = "macos")]
pub fn hypervisor(_image: GuestImage, _dirs: &Dirs) -> Box<dyn Hypervisor> {
    Box::new(cubby_machine::Vz)
}

/// This host's hypervisor for an image.
#[cfg(windows)]
pub fn hypervisor(_image: GuestImage, _dirs: &Dirs) -> Box<dyn Hypervisor> {
    Box::new(cubby_machine::Hcs)
}

impl Hardware for ThisHost {
    fn prepare(&self) -> BoxFuture<'_, Result<Prepared, Problem>> {
        Box::pin(async {
            let Choice { image, trial, notice } = self.choose().await?;
            *self.trial.lock().unwrap_or_else(PoisonError::into_inner) = None;
            self.check_space()?;
            let hypervisor = hypervisor(image.clone(), &self.dirs);
            let capabilities = hypervisor.probe().await.map_err(|err| probe_problem(&err))?;
            if let Some(why) = &capabilities.slow_because {
                tracing::warn!(%why, accelerator = %capabilities.accelerator, "the machine will be slow");
            }
            let on_trial = trial.then(|| image.clone());
            let size = crate::settings::size(&self.dirs, self.size);
            let spec = MachineSpec {
                name: self.dirs.profile.clone(),
                runtime_dir: self.dirs.runtime.clone(),
                image,
                extra_cmdline: std::env::var("CUBBY_KERNEL_ARGS").unwrap_or_default(),
                cpus: size.cpus,
                memory_mib: size.memory_mib,
                data_disk: DataDisk { path: self.dirs.data_disk(), size_bytes: size.disk_bytes },
                shares: self.shared_folders().await,
                console_log: self.dirs.console_log(),
            };
            let machine = hypervisor.create(spec).await.map_err(|err| machine_problem(&err))?;
            if let Some(image) = on_trial {
                self.begin_trial(image).await?;
            }
            let machine = Real { machine, pid: OnceLock::new() };
            Ok(Prepared { machine: Box::new(machine), accelerator: capabilities.accelerator.to_string(), notice })
        })
    }

    fn proved(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let Some(image) = self.trial.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
            let slots = self.slots.clone();
            if let Ok(Err(err)) = tokio::task::spawn_blocking(move || slots.proved(&image)).await {
                tracing::warn!(err = %chain(&err), "the next upgrade has nothing to fall back to");
            }
        })
    }

    fn fall_back<'a>(&'a self, why: &Problem) -> BoxFuture<'a, bool> {
        let why = format!("{}: {}", why.title, why.detail);
        Box::pin(async move {
            let Some(image) = self.trial.lock().unwrap_or_else(PoisonError::into_inner).take() else { return false };
            let slots = self.slots.clone();
            match tokio::task::spawn_blocking(move || slots.failed(&image, &why)).await {
                Ok(Ok(other)) => other,
                Ok(Err(err)) => {
                    tracing::error!(err = %chain(&err), "the machine cannot fall back");
                    false
                }
                Err(_) => false,
            }
        })
    }
}

impl ThisHost {
    async fn choose(&self) -> Result<Choice, Problem> {
        let slots = self.slots.clone();
        let chosen = tokio::task::spawn_blocking(move || slots.choose(installed_image())).await;
        chosen
            .map_err(|err| problem("The guest image could not be read", &err, None))?
            .map_err(|err| slot_problem(&err))
    }

    async fn begin_trial(&self, image: GuestImage) -> Result<(), Problem> {
        tracing::info!(version = %image.version, id = %image.id, "the guest image boots on trial");
        let (slots, begun) = (self.slots.clone(), image.clone());
        let begun = tokio::task::spawn_blocking(move || slots.begin(&begun)).await;
        begun.map_err(|err| problem("The trial could not begin", &err, None))?.map_err(|err| slot_problem(&err))?;
        *self.trial.lock().unwrap_or_else(PoisonError::into_inner) = Some(image);
        Ok(())
    }

    async fn shared_folders(&self) -> cubby_machine::Folders {
        let dirs = self.dirs.clone();
        tokio::task::spawn_blocking(move || crate::shares::folders(&dirs)).await.unwrap_or_default()
    }

    fn check_space(&self) -> Result<(), Problem> {
        let Some(free) = system::free_bytes(&self.dirs.state) else { return Ok(()) };
        if free >= MIN_FREE_BYTES {
            return Ok(());
        }
        let detail = format!(
            "{} has {} MiB left; the machine needs {} MiB to start. Make room there.",
            self.dirs.state.display(),
            free >> 20,
            MIN_FREE_BYTES >> 20
        );
        Err(Problem { title: "No disk space for the machine".into(), detail, remedy: Some(Remedy::FreeSpace) })
    }
}

struct Real {
    machine: Box<dyn cubby_machine::Machine>,
    pid: OnceLock<u32>,
}

struct RealDialer(Dialer);

struct RealListener(Listener);

impl Machine for Real {
    fn start(&mut self) -> BoxFuture<'_, Result<(), Problem>> {
        Box::pin(async { self.machine.start().await.map_err(|err| machine_problem(&err)) })
    }

    fn stop(&mut self, mode: StopMode) -> BoxFuture<'_, ()> {
        self.machine.stop(mode)
    }

    fn pause(&mut self) -> BoxFuture<'_, Result<(), Problem>> {
        Box::pin(async { self.machine.pause().await.map_err(|err| machine_problem(&err)) })
    }

    fn resume(&mut self) -> BoxFuture<'_, Result<(), Problem>> {
        Box::pin(async { self.machine.resume().await.map_err(|err| machine_problem(&err)) })
    }

    fn wait(&mut self) -> BoxFuture<'_, ExitReason> {
        self.machine.wait()
    }

    fn link(&self) -> Link {
        std::sync::Arc::new(RealDialer(self.machine.dialer()))
    }

    fn listen(&self, port: u32) -> Result<Box<dyn Listen>, Problem> {
        let listener = self.machine.listen(port).map_err(|err| machine_problem(&err))?;
        Ok(Box::new(RealListener(listener)))
    }

    fn shares(&self) -> Option<cubby_machine::share_device::Shares> {
        self.machine.shares()
    }

    fn balloon(&self) -> Option<std::sync::Arc<dyn cubby_machine::Balloon>> {
        self.machine.balloon()
    }

    fn figures(&self) -> Figures {
        self.machine.figures()
    }

    fn pid(&self) -> Option<u32> {
        if let Some(pid) = self.pid.get() {
            return Some(*pid);
        }
        let pid = hypervisor_child()?;
        Some(*self.pid.get_or_init(|| pid))
    }
}

impl Dial for RealDialer {
    fn dial(&self, port: u32) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(async move { Ok(Box::new(self.0.dial(port).await?) as BoxStream) })
    }
}

impl Listen for RealListener {
    fn accept(&mut self) -> BoxFuture<'_, Option<BoxStream>> {
        Box::pin(async { Some(Box::new(self.0.accept().await?) as BoxStream) })
    }
}

/// Elsewhere the hypervisor is part of the system.
#[cfg(not(target_os = "linux"))]
fn hypervisor_child() -> Option<u32> {
    None
}

/// The QEMU among our children. This process runs one machine at a time.
#[cfg(target_os = "linux")]
fn hypervisor_child() -> Option<u32> {
    let us = std::process::id().to_string();
    for process in std::fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(process.path().join("stat")) else { continue };
        // pid (name) state ppid …; the name may hold anything, so it is taken from both ends.
        let (Some(open), Some(close)) = (stat.find('('), stat.rfind(')')) else { continue };
        let is_qemu = stat[open + 1..close].starts_with("qemu");
        let fields: Vec<_> = stat[close + 1..].split_ascii_whitespace().collect();
        if is_qemu && fields.first() != Some(&"Z") && fields.get(1) == Some(&us.as_str()) {
            return Some(pid);
        }
    }
    None
}

/// The error with its causes, and what helps.
pub fn problem(title: &str, err: &(dyn std::error::Error + 'static), remedy: Option<Remedy>) -> Problem {
    Problem { title: title.to_owned(), detail: chain(err), remedy }
}

/// An error and all its causes, in one line.
pub fn chain(err: &(dyn std::error::Error + 'static)) -> String {
    let mut text = err.to_string();
    let mut cause = err.source();
    while let Some(err) = cause {
        let more = err.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = err.source();
    }
    text
}

fn probe_problem(err: &ProbeError) -> Problem {
    match err {
        ProbeError::Missing { program, remedy } => Problem {
            title: format!("{program} is missing"),
            detail: remedy.clone(),
            remedy: Some(Remedy::InstallHypervisor),
        },
        ProbeError::Unusable { .. } | ProbeError::Failed { .. } => {
            problem("The hypervisor does not work", err, Some(Remedy::InstallHypervisor))
        }
    }
}

fn slot_problem(err: &SlotError) -> Problem {
    match err {
        SlotError::Image(err) => problem(NOT_INSTALLED, err, None),
        SlotError::Downgrade { .. } => problem("The data belongs to a newer Cubby", err, None),
        SlotError::NoSpaceForCopy(_) => problem("No disk space for the upgrade", err, Some(Remedy::FreeSpace)),
        SlotError::Io(..) => problem("The guest image could not be chosen", err, None),
    }
}

fn machine_problem(err: &MachineError) -> Problem {
    match err {
        MachineError::Probe(err) => probe_problem(err),
        MachineError::Disk(err @ DiskError::NoSpace { .. }) => {
            problem("No disk space for the machine", err, Some(Remedy::FreeSpace))
        }
        MachineError::Disk(err) => problem("The machine's data disk could not be used", err, None),
        MachineError::DiedAtStart(_) => {
            problem("The machine could not be powered on", err, Some(Remedy::ShowConsoleLog))
        }
        _ => problem("The machine could not be powered on", err, Some(Remedy::RestartMachine)),
    }
}

/// The places of [`guest_image::find`], for those who only want the directory.
pub fn demo_image() -> Option<PathBuf> {
    guest_image::find().ok().map(|dir| dir.join(guest_image::DEMO_IMAGE)).filter(|file| file.is_file())
}
