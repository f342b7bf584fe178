//! Pid 1's loop: reap, keep, start the engine, listen for the end. One poll, nothing that blocks.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use cubby_runtime::keeper::Keeper;
use cubby_wire::boot::{BootMessage, Stage};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::WaitOptions;

use super::clock_watch::ClockWatch;
use super::cmdline::Cmdline;
use super::console::say;
use super::engine_process::{BackOff, EngineProcess, Verdict, verdict};
use super::host_link::HostLink;
use super::power::End;
use super::{RUN_DIR, power_button, reached};

/// How long the engine may take to stop its containers when the machine is told to end.
const STOP_WITHIN: Duration = Duration::from_secs(30);

enum Engine {
    Running(EngineProcess),
    Down { start_at: Instant },
}

/// The machine is to end: how, and when patience ends.
struct Stopping {
    end: End,
    give_up: Instant,
}

struct Loop<'a> {
    link: &'a mut HostLink,
    signals: SignalFd,
    keeper: Keeper,
    buttons: Vec<File>,
    clock: Option<ClockWatch>,
    engine: Engine,
    back_off: BackOff,
    stopping: Option<Stopping>,
    log: Option<String>,
}

/// Runs until the machine is to end. Start-up of the loop's own parts failing ends it, too.
pub fn run(link: &mut HostLink) -> End {
    match Loop::new(link) {
        Ok(mut machine) => machine.run(),
        Err(reason) => {
            say(&format!("init: {reason}"));
            link.send(BootMessage::Failed { stage: Stage::Engine, reason });
            End::PowerOff
        }
    }
}

impl<'a> Loop<'a> {
    fn new(link: &'a mut HostLink) -> Result<Loop<'a>, String> {
        let failed = |what: &'static str| move |err: io::Error| format!("{what} could not be set up: {err}");
        let signals = signals().map_err(failed("signals"))?;
        raise_limits();
        let keeper = Keeper::bind(&Path::new(RUN_DIR).join("keeper.sock")).map_err(failed("the keeper"))?;
        Ok(Loop {
            link,
            signals,
            keeper,
            buttons: power_button::open(),
            clock: ClockWatch::start().inspect_err(|err| say(&format!("init: clock: {err}"))).ok(),
            engine: Engine::Down { start_at: Instant::now() },
            back_off: BackOff::default(),
            stopping: None,
            log: Cmdline::read().log,
        })
    }

    fn run(&mut self) -> End {
        loop {
            self.start_if_due();
            self.wait();
            if let Err(err) = self.keeper.step() {
                say(&format!("init: keeper: {err}"));
            }
            self.link.tick();
            self.check_ready();
            self.take_signals();
            if self.buttons.iter().any(power_button::pressed) {
                self.stop(End::PowerOff);
            }
            if self.clock.as_ref().is_some_and(ClockWatch::stepped) {
                self.link.send(BootMessage::ClockStepped);
            }
            if let Some(end) = self.reap() {
                return end;
            }
            if let Some(Stopping { end, give_up }) = self.stopping
                && Instant::now() >= give_up
            {
                say("init: the engine did not stop in time");
                return end;
            }
        }
    }

    fn start_if_due(&mut self) {
        let Engine::Down { start_at } = self.engine else { return };
        if start_at > Instant::now() {
            return;
        }
        match EngineProcess::start(self.log.as_deref()) {
            Ok(process) => {
                self.engine = Engine::Running(process);
                reached(self.link, Stage::Engine);
            }
            Err(err) => self.engine_died(Duration::ZERO, format!("the engine could not be started: {err}")),
        }
    }

    /// Until something is ready or due.
    fn wait(&mut self) {
        let mut fds = vec![
            PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.keeper.as_fd(), PollFlags::IN),
        ];
        if let Engine::Running(EngineProcess { ready: Some(ready), .. }) = &self.engine {
            fds.push(PollFd::from_borrowed_fd(ready.as_fd(), PollFlags::IN));
        }
        fds.extend(self.clock.iter().map(|clock| PollFd::from_borrowed_fd(clock.as_fd(), PollFlags::IN)));
        fds.extend(self.link.interest().map(|(fd, flags)| PollFd::from_borrowed_fd(fd, flags)));
        fds.extend(self.buttons.iter().map(|button| PollFd::from_borrowed_fd(button.as_fd(), PollFlags::IN)));
        let start_at = match self.engine {
            Engine::Down { start_at } => Some(start_at),
            Engine::Running(_) => None,
        };
        let due = [start_at, self.link.due(), self.stopping.as_ref().map(|stopping| stopping.give_up)];
        let timeout = due.into_iter().flatten().min().map(|at| at.saturating_duration_since(Instant::now()));
        let timeout = timeout.and_then(|time| Timespec::try_from(time).ok());
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            // Nothing to wait on is a bug; spinning at full speed must not be its symptom.
            Err(err) => {
                say(&format!("init: poll: {err}"));
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }

    fn check_ready(&mut self) {
        let Engine::Running(process) = &mut self.engine else { return };
        let Some(ready) = &process.ready else { return };
        let mut fds = [PollFd::new(ready, PollFlags::IN)];
        if matches!(poll(&mut fds, Some(&Timespec::default())), Ok(1..)) && process.said_ready() {
            reached(self.link, Stage::Ready);
        }
    }

    fn take_signals(&mut self) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            match Signal::try_from(info.ssi_signo.cast_signed()) {
                Ok(Signal::SIGTERM | Signal::SIGPWR) => self.stop(End::PowerOff),
                // ctrl-alt-del
                Ok(Signal::SIGINT) => self.stop(End::Restart),
                // SIGCHLD: reaping follows anyway.
                _ => {}
            }
        }
    }

    /// The machine is to end once the engine has stopped what runs.
    fn stop(&mut self, end: End) {
        if self.stopping.is_some() {
            return;
        }
        say(&format!("init: asked to end: {end:?}"));
        let patience = match &self.engine {
            Engine::Running(process) => {
                let told = kill(Pid::from_raw(process.pid), Signal::SIGTERM);
                if told.is_ok() { STOP_WITHIN } else { Duration::ZERO }
            }
            Engine::Down { .. } => Duration::ZERO,
        };
        self.stopping = Some(Stopping { end, give_up: Instant::now() + patience });
    }

    fn reap(&mut self) -> Option<End> {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let pid = pid.as_raw_nonzero().get();
            if !matches!(&self.engine, Engine::Running(process) if process.pid == pid) {
                // Neither the keeper's nor the engine's: an orphan that some container's process left behind.
                self.keeper.reaped(pid, status.as_raw());
                continue;
            }
            match (verdict(status.exit_status(), status.terminating_signal()), &self.stopping) {
                (Verdict::EndMachine(end), _) => return Some(end),
                (Verdict::StartAgain(_), Some(stopping)) => return Some(stopping.end),
                (Verdict::StartAgain(reason), None) => {
                    let lived = match &self.engine {
                        Engine::Running(process) => process.started.elapsed(),
                        Engine::Down { .. } => Duration::ZERO,
                    };
                    self.engine_died(lived, reason);
                }
            }
        }
        None
    }

    fn engine_died(&mut self, lived: Duration, reason: String) {
        let pause = self.back_off.pause_after(lived);
        say(&format!("init: {reason}; it starts again in {} ms", pause.as_millis()));
        self.engine = Engine::Down { start_at: Instant::now() + pause };
        self.link.send(BootMessage::EngineExited { reason });
    }
}

/// Signals come through a descriptor. Whoever starts a child unblocks them for it.
fn signals() -> io::Result<SignalFd> {
    let mut mask = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGPWR] {
        mask.add(signal);
    }
    mask.thread_block()?;
    rustix::system::reboot(rustix::system::RebootCommand::CadOff).map_err(io::Error::from)?;
    Ok(SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?)
}

/// The keeper holds several descriptors per container, and containers inherit what pid 1 may use.
fn raise_limits() {
    use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
    const FILES: u64 = 1 << 20;
    for (what, limit) in [(Resource::RLIMIT_NOFILE, FILES), (Resource::RLIMIT_NPROC, RLIM_INFINITY)] {
        if let Err(err) = setrlimit(what, limit, limit) {
            say(&format!("init: limit {what:?}: {err}"));
        }
    }
}
