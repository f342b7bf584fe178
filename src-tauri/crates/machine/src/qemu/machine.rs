//! One machine: a QEMU process, its control channel, its console log, and the vsock device that outlives them.

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use cubby_share_device::Shares;
use cubby_vsock_device::{Device, DeviceError};
use tokio::sync::watch;

use super::command;
use super::find::Program;
use super::process::Process;
use super::qmp::{Omens, Qmp};
use crate::console::RotatingLog;
use crate::disk::LockedDisk;
use crate::hypervisor::{Accelerator, BoxFuture, Condition, ExitReason, Figures, Machine, MachineError, StopMode};
use crate::spec::MachineSpec;
use crate::stream::{Dialer, Listener};

/// How long QEMU may take to flush and exit when asked.
const QUIT_TIMEOUT: Duration = Duration::from_secs(5);
/// A QEMU that dislikes its command line is gone within this time.
const EARLY_DEATH: Duration = Duration::from_millis(100);

pub struct QemuMachine {
    program: Program,
    accelerator: Accelerator,
    spec: MachineSpec,
    disk: LockedDisk,
    device: Device,
    /// `None`: nothing is shared.
    shares: Option<cubby_share_device::Device>,
    condition: watch::Sender<Condition>,
    power: Power,
}

enum Power {
    NeverOn,
    On(Running),
    Off(ExitReason),
}

struct Running {
    process: Process,
    qmp: Qmp,
    /// [`Machine::stop`] was called.
    stopping: bool,
    frozen: bool,
}

impl QemuMachine {
    pub fn new(
        program: Program,
        accelerator: Accelerator,
        spec: MachineSpec,
        disk: LockedDisk,
    ) -> Result<QemuMachine, MachineError> {
        let socket = spec.runtime_dir.join(command::VSOCK_SOCKET);
        let device = Device::bind(&socket, command::GUEST_CID).map_err(|err| MachineError::Vsock(Box::new(err)))?;
        let shares = match spec.shares.is_empty() {
            true => None,
            false => {
                let socket = spec.runtime_dir.join(command::SHARES_SOCKET);
                let device = cubby_share_device::Device::bind(&socket, spec.shares.clone());
                Some(device.map_err(MachineError::Shares)?)
            }
        };
        let condition = watch::Sender::new(Condition::Running);
        Ok(QemuMachine { program, accelerator, spec, disk, device, shares, condition, power: Power::NeverOn })
    }

    fn power_on(&self) -> Result<Running, MachineError> {
        let spawn_error = |source| MachineError::Spawn { program: self.program.path.clone(), source };
        let path = &self.spec.console_log;
        let log = RotatingLog::open(path).map_err(|source| MachineError::Console { path: path.clone(), source })?;
        let (ours, theirs) = StdUnixStream::pair().map_err(spawn_error)?;
        let mut command = Command::new(&self.program.path);
        command.args(command::machine(&self.spec, &self.program, self.accelerator, theirs.as_raw_fd()));
        command.current_dir(&self.spec.runtime_dir);
        self.condition.send_replace(Condition::Running);
        let qmp = Qmp::start(ours, self.condition.clone()).map_err(spawn_error)?;
        let process =
            Process::spawn(command, Some(OwnedFd::from(theirs)), |out| log.drain(out)).map_err(spawn_error)?;
        tracing::info!(machine = self.spec.name, accelerator = %self.accelerator, pid = process.pid().as_raw_nonzero(), "machine on");
        Ok(Running { process, qmp, stopping: false, frozen: false })
    }
}

impl Running {
    /// Waits for the end of QEMU and explains it.
    async fn end(&mut self) -> ExitReason {
        let status = tokio::select! {
            status = self.process.wait() => status,
            state = self.qmp.broken() => {
                self.process.kill();
                self.process.wait().await;
                return ExitReason::HypervisorFailed { said: format!("{state} {}", self.process.said()).trim().to_owned() };
            }
        };
        // Why a limit: a QEMU that forked something keeps the socket open; nothing of ours does, but be sure.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.qmp.ended()).await;
        explain(status, &self.qmp.omens(), self.stopping, self.process.said())
    }

    /// Why a signal and not QMP's `stop`: that one stops the vsock device's queues as well and hands them over anew at `cont`,
    /// and it stops the guest's clocks. A frozen process is merely not scheduled.
    fn freeze(&mut self, frozen: bool) -> Result<(), MachineError> {
        if self.frozen != frozen {
            self.process.freeze(frozen).map_err(MachineError::Pause)?;
            self.frozen = frozen;
        }
        Ok(())
    }

    async fn stop(&mut self, mode: StopMode) -> ExitReason {
        if let Err(err) = self.freeze(false) {
            tracing::warn!(%err, "a paused machine is stopped");
        }
        if let StopMode::AskedGuest { grace } = mode
            && let Ok(reason) = tokio::time::timeout(grace, self.end()).await
        {
            return reason;
        }
        self.stopping = true;
        if mode != StopMode::Kill {
            self.qmp.quit();
            if let Ok(reason) = tokio::time::timeout(QUIT_TIMEOUT, self.end()).await {
                return reason;
            }
        }
        self.process.kill();
        self.process.wait().await;
        ExitReason::Stopped
    }
}

/// Why QEMU ended, by what it said last and how it ended.
fn explain(status: ExitStatus, omens: &Omens, stopping: bool, said: String) -> ExitReason {
    if omens.panicked {
        return ExitReason::Panicked;
    }
    match omens.shutdown.as_deref() {
        Some("guest-shutdown") => ExitReason::PoweredOff,
        Some("guest-reset" | "subsystem-reset") => ExitReason::Reset,
        Some("guest-panic") => ExitReason::Panicked,
        Some(_) if stopping && status.success() => ExitReason::Stopped,
        _ if stopping && status.signal() == Some(9) => ExitReason::Stopped,
        _ => ExitReason::Died { status: status.to_string(), said },
    }
}

impl Machine for QemuMachine {
    fn start(&mut self) -> BoxFuture<'_, Result<(), MachineError>> {
        Box::pin(async {
            if matches!(self.power, Power::On(_)) {
                return Err(MachineError::AlreadyOn);
            }
            let mut running = self.power_on()?;
            if let Ok(reason) = tokio::time::timeout(EARLY_DEATH, running.end()).await {
                self.power = Power::Off(reason.clone());
                return Err(MachineError::DiedAtStart(reason));
            }
            self.power = Power::On(running);
            Ok(())
        })
    }

    fn stop(&mut self, mode: StopMode) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if let Power::On(running) = &mut self.power {
                let reason = running.stop(mode).await;
                self.went_off(reason);
            }
        })
    }

    fn pause(&mut self) -> BoxFuture<'_, Result<(), MachineError>> {
        Box::pin(async { self.running().map_or(Ok(()), |running| running.freeze(true)) })
    }

    fn resume(&mut self) -> BoxFuture<'_, Result<(), MachineError>> {
        Box::pin(async { self.running().map_or(Ok(()), |running| running.freeze(false)) })
    }

    fn wait(&mut self) -> BoxFuture<'_, ExitReason> {
        Box::pin(async {
            match &mut self.power {
                Power::NeverOn => std::future::pending().await,
                Power::Off(reason) => reason.clone(),
                Power::On(running) => {
                    let reason = running.end().await;
                    self.went_off(reason.clone());
                    reason
                }
            }
        })
    }

    fn dialer(&self) -> Dialer {
        Dialer::new(self.device.dialer())
    }

    fn listen(&self, port: u32) -> Result<Listener, MachineError> {
        match self.device.listen(port) {
            Ok(listener) => Ok(Listener::new(listener)),
            Err(DeviceError::PortInUse(port)) => Err(MachineError::PortInUse(port)),
            Err(err) => Err(MachineError::Vsock(Box::new(err))),
        }
    }

    fn shares(&self) -> Option<Shares> {
        self.shares.as_ref().map(cubby_share_device::Device::shares)
    }

    fn condition(&self) -> watch::Receiver<Condition> {
        self.condition.subscribe()
    }

    fn pid(&self) -> Option<u32> {
        match &self.power {
            Power::On(running) if !running.process.has_ended() => {
                u32::try_from(running.process.pid().as_raw_nonzero().get()).ok()
            }
            _ => None,
        }
    }

    fn figures(&self) -> Figures {
        let disk_allocated_bytes = self.disk.allocated_bytes();
        match &self.power {
            Power::On(running) => process_figures(running.process.pid().as_raw_nonzero().get(), disk_allocated_bytes),
            _ => Figures { disk_allocated_bytes, ..Figures::default() },
        }
    }
}

impl QemuMachine {
    fn running(&mut self) -> Option<&mut Running> {
        match &mut self.power {
            Power::On(running) => Some(running),
            _ => None,
        }
    }

    fn went_off(&mut self, reason: ExitReason) {
        tracing::info!(machine = self.spec.name, %reason, "machine off");
        self.power = Power::Off(reason);
    }
}

/// Source: proc_pid_stat(5): utime and stime are fields 14 and 15, rss (pages) is field 24.
fn process_figures(pid: i32, disk_allocated_bytes: u64) -> Figures {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<u64> = match stat.rsplit_once(')') {
        Some((_, rest)) => rest.split_whitespace().skip(1).map(|field| field.parse().unwrap_or(0)).collect(),
        None => Vec::new(),
    };
    let field = |number: usize| fields.get(number - 4).copied().unwrap_or(0);
    let ticks_per_second = rustix::param::clock_ticks_per_second().max(1);
    let ticks = field(14) + field(15);
    Figures {
        resident_bytes: field(24) * rustix::param::page_size() as u64,
        cpu_time: Duration::from_millis(ticks * 1000 / ticks_per_second),
        disk_allocated_bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn omens(shutdown: &str) -> Omens {
        Omens { shutdown: Some(shutdown.into()), ..Omens::default() }
    }

    #[test]
    fn every_end_has_its_reason() {
        let ok = ExitStatus::from_raw(0);
        let failed = ExitStatus::from_raw(1 << 8);
        let killed = ExitStatus::from_raw(9);
        let panicked = Omens { panicked: true, shutdown: Some("guest-panic".into()), broken: None };
        let none = Omens::default();
        let explain = |status, omens: &Omens, stopping| explain(status, omens, stopping, "words".into());
        assert_eq!(explain(ok, &omens("guest-shutdown"), false), ExitReason::PoweredOff);
        assert_eq!(explain(ok, &omens("guest-shutdown"), true), ExitReason::PoweredOff);
        assert_eq!(explain(ok, &omens("guest-reset"), false), ExitReason::Reset);
        assert_eq!(explain(ok, &panicked, false), ExitReason::Panicked);
        assert_eq!(explain(ok, &omens("host-qmp-quit"), true), ExitReason::Stopped);
        assert_eq!(explain(killed, &none, true), ExitReason::Stopped);
        assert!(matches!(explain(killed, &none, false), ExitReason::Died { .. }));
        let ExitReason::Died { status, said } = explain(failed, &none, false) else { panic!("not a death") };
        assert_eq!((status.as_str(), said.as_str()), ("exit status: 1", "words"));
    }

    #[test]
    fn figures_of_this_process_are_plausible() {
        let figures = process_figures(std::process::id() as i32, 1);
        assert!(figures.resident_bytes > 1 << 20, "{figures:?}");
        assert!(figures.cpu_time < Duration::from_secs(3600), "{figures:?}");
    }
}
