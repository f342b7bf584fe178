//! [`Machine`] over a [`Vm`]: what is called when, and what its endings mean.
//!
//! ```text
//!  off ──make, attach ports, start──▶ on ──ending told──▶ off (reason kept)
//!   ▲                 │ fails           │ stop: resume, wait for the guest (grace), kill, wait for the ending
//!   └─────────────────┘                 └──▶ a hypervisor that tells no ending within `KILL_PATIENCE` is dropped
//! ```

use std::sync::Arc;
use std::time::Duration;

use cubby_share_device::Folders;
use tokio::sync::watch;

use super::carrier::Carrier;
use super::{Ending, Maker, Vm};
use crate::disk::LockedDisk;
use crate::hypervisor::{Balloon, BoxFuture, Condition, ExitReason, Figures, Machine, MachineError, StopMode};
use crate::stream::{Dialer, Listener};

/// How long the hypervisor may take to end a guest.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

pub struct NativeMachine {
    name: String,
    maker: Box<dyn Maker>,
    disk: LockedDisk,
    carrier: Carrier,
    /// Whose changes the guest is to hear of.
    #[cfg_attr(target_os = "linux", expect(dead_code, reason = "the device of this system's machines has them"))]
    shares: Folders,
    condition: watch::Sender<Condition>,
    power: Power,
}

enum Power {
    NeverOn,
    On(Running),
    Off(ExitReason),
}

struct Running {
    vm: Box<dyn Vm>,
    ending: watch::Receiver<Option<Ending>>,
    paused: bool,
    stopping: bool,
}

impl NativeMachine {
    pub fn new(name: String, maker: Box<dyn Maker>, disk: LockedDisk, shares: Folders) -> NativeMachine {
        let condition = watch::Sender::new(Condition::Running);
        NativeMachine { name, maker, disk, carrier: Carrier::default(), shares, condition, power: Power::NeverOn }
    }

    async fn power_on(&mut self) -> Result<Running, MachineError> {
        let mut vm = self.maker.make().await?;
        let ending = vm.ending();
        // Before the guest runs: its first connection comes within the first second.
        self.carrier.attach(vm.sockets()).map_err(|err| MachineError::Vsock(Box::new(err)))?;
        if let Err(err) = vm.start().await {
            self.carrier.detach();
            let reason = ExitReason::HypervisorFailed { said: err.to_string() };
            self.power = Power::Off(reason.clone());
            return Err(MachineError::DiedAtStart(reason));
        }
        Ok(Running { vm, ending, paused: false, stopping: false })
    }

    fn went_off(&mut self, reason: ExitReason) {
        tracing::info!(machine = self.name, %reason, "machine off");
        self.carrier.detach();
        self.power = Power::Off(reason);
    }

    async fn set_paused(&mut self, paused: bool) -> Result<(), MachineError> {
        match &mut self.power {
            Power::On(running) => running.set_paused(paused).await,
            _ => Ok(()),
        }
    }
}

impl Running {
    async fn end(&mut self) -> ExitReason {
        let told = match self.ending.wait_for(Option::is_some).await {
            Ok(ending) => ending.clone(),
            Err(_) => None,
        };
        explain(told, self.stopping)
    }

    async fn set_paused(&mut self, paused: bool) -> Result<(), MachineError> {
        if self.paused == paused {
            return Ok(());
        }
        let done = if paused { self.vm.pause().await } else { self.vm.resume().await };
        done.map_err(MachineError::Pause)?;
        self.paused = paused;
        Ok(())
    }

    async fn stop(&mut self, mode: StopMode) -> ExitReason {
        // A guest that stands still can neither power off nor, with some hypervisors, be stopped.
        if let Err(err) = self.set_paused(false).await {
            tracing::warn!(%err, "a paused machine is stopped");
        }
        if let StopMode::AskedGuest { grace } = mode
            && let Ok(reason) = tokio::time::timeout(grace, self.end()).await
        {
            return reason;
        }
        self.stopping = true;
        let killed = async {
            if let Err(err) = self.vm.kill().await {
                // It may have ended by itself meanwhile; the ending tells.
                tracing::debug!(%err, "the hypervisor did not end the guest");
            }
            self.end().await
        };
        tokio::time::timeout(KILL_PATIENCE, killed).await.unwrap_or(ExitReason::Stopped)
    }
}

/// `None`: the hypervisor's side is gone without a word.
fn explain(told: Option<Ending>, stopping: bool) -> ExitReason {
    match told {
        Some(Ending::PoweredOff) => ExitReason::PoweredOff,
        Some(Ending::Reset) => ExitReason::Reset,
        _ if stopping => ExitReason::Stopped,
        Some(Ending::Killed) => ExitReason::Died { status: "ended from outside".into(), said: String::new() },
        Some(Ending::Failed(said)) => ExitReason::HypervisorFailed { said },
        None => ExitReason::Died { status: "without a word".into(), said: String::new() },
    }
}

impl Machine for NativeMachine {
    fn start(&mut self) -> BoxFuture<'_, Result<(), MachineError>> {
        Box::pin(async {
            if matches!(self.power, Power::On(_)) {
                return Err(MachineError::AlreadyOn);
            }
            let running = self.power_on().await?;
            tracing::info!(machine = self.name, "machine on");
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
        Box::pin(self.set_paused(true))
    }

    fn resume(&mut self) -> BoxFuture<'_, Result<(), MachineError>> {
        Box::pin(self.set_paused(false))
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
        Dialer::native(self.carrier.dialer())
    }

    fn listen(&self, port: u32) -> Result<Listener, MachineError> {
        match self.carrier.listen(port) {
            None => Err(MachineError::PortInUse(port)),
            Some(Ok(listener)) => Ok(Listener::native(listener)),
            Some(Err(err)) => Err(MachineError::Vsock(Box::new(err))),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn shares(&self) -> Option<cubby_share_device::Shares> {
        (!self.shares.is_empty()).then(|| self.shares.clone())
    }

    fn balloon(&self) -> Option<Arc<dyn Balloon>> {
        match &self.power {
            Power::On(running) => running.vm.balloon(),
            _ => None,
        }
    }

    fn condition(&self) -> watch::Receiver<Condition> {
        self.condition.subscribe()
    }

    fn pid(&self) -> Option<u32> {
        None
    }

    fn figures(&self) -> Figures {
        let (resident_bytes, cpu_time) = match &self.power {
            Power::On(running) => running.vm.cost(),
            _ => (0, Duration::ZERO),
        };
        Figures { resident_bytes, cpu_time, disk_allocated_bytes: self.disk.allocated_bytes() }
    }
}
