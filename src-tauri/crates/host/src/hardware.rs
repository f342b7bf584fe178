//! The real machine for the supervisor: `cubby-machine` with this profile's files, its errors as problems with a remedy.

use std::io;
use std::path::PathBuf;
use std::sync::OnceLock;

use cubby_machine::{
    DataDisk, Dialer, DiskError, ExitReason, Figures, GuestImage, Hypervisor, Listener, MachineError, MachineSpec,
    ProbeError, StopMode,
};

use crate::dirs::Dirs;
use crate::guest_image;
use crate::link::{BoxFuture, BoxStream, Dial, Link};
use crate::schema::{Problem, Remedy};
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

fn host_memory_mib() -> Option<u32> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = total.trim().strip_suffix("kB")?.trim().parse().ok()?;
    u32::try_from(kib / 1024).ok()
}

/// Machines of one profile.
pub struct ThisHost {
    dirs: Dirs,
    size: Size,
}

impl ThisHost {
    pub fn new(dirs: Dirs, size: Size) -> Self {
        Self { dirs, size }
    }
}

/// The guest image of this installation, or why there is none.
pub async fn open_image() -> Result<GuestImage, Problem> {
    let dir = guest_image::find().map_err(|places| {
        let places: Vec<_> = places.iter().map(|place| format!("\n  {}", place.display())).collect();
        let detail = format!(
            "There is no guest image. Build it with `cargo xtask image`, or name its directory in {}. Looked in:{}",
            guest_image::VARIABLE,
            places.concat()
        );
        Problem { title: "The machine's system is not installed".into(), detail, remedy: None }
    })?;
    let opened = tokio::task::spawn_blocking(move || GuestImage::open(&dir)).await;
    opened
        .map_err(|err| problem("The guest image could not be read", &err, None))?
        .map_err(|err| problem("The machine's system is not installed", &err, None))
}

/// This host's hypervisor for an image.
#[cfg(target_os = "linux")]
pub fn hypervisor(image: GuestImage, dirs: &Dirs) -> Box<dyn Hypervisor> {
    Box::new(cubby_machine::Qemu::new(image, &dirs.state))
}

impl Hardware for ThisHost {
    fn prepare(&self) -> BoxFuture<'_, Result<Prepared, Problem>> {
        Box::pin(async {
            let image = open_image().await?;
            self.check_space()?;
            let hypervisor = hypervisor(image.clone(), &self.dirs);
            let capabilities = hypervisor.probe().await.map_err(|err| probe_problem(&err))?;
            if let Some(why) = &capabilities.slow_because {
                tracing::warn!(%why, accelerator = %capabilities.accelerator, "the machine will be slow");
            }
            let spec = MachineSpec {
                name: self.dirs.profile.clone(),
                runtime_dir: self.dirs.runtime.clone(),
                image,
                extra_cmdline: std::env::var("CUBBY_KERNEL_ARGS").unwrap_or_default(),
                cpus: self.size.cpus,
                memory_mib: self.size.memory_mib,
                data_disk: DataDisk { path: self.dirs.data_disk(), size_bytes: self.size.disk_bytes },
                console_log: self.dirs.console_log(),
            };
            let machine = hypervisor.create(spec).await.map_err(|err| machine_problem(&err))?;
            let machine = Real { machine, pid: OnceLock::new() };
            Ok(Prepared { machine: Box::new(machine), accelerator: capabilities.accelerator.to_string() })
        })
    }
}

impl ThisHost {
    fn check_space(&self) -> Result<(), Problem> {
        let Ok(disk) = rustix::fs::statvfs(&self.dirs.state) else { return Ok(()) };
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
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

/// The QEMU among our children. This process runs one machine at a time.
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
            title: format!("{program} is not installed"),
            detail: remedy.clone(),
            remedy: Some(Remedy::InstallHypervisor),
        },
        ProbeError::Unusable { .. } | ProbeError::Failed { .. } => {
            problem("The hypervisor does not work", err, Some(Remedy::InstallHypervisor))
        }
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
