//! The engine as pid 1 sees it: a process that says when it is ready, ends for a reason, and is started again.

use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::SigSet;
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::pipe::{PipeFlags, pipe_with};

use super::power::End;
use super::{DATA_ROOT, RUN_DIR, cgroups, console};

/// Exit codes by which the engine asks for the end of the machine.
const POWER_OFF: i32 = 75;
const RESTART: i32 = 76;
/// Names the inherited descriptor into which the engine writes one byte once its API listens.
const READY_FD: &str = "CUBBY_READY_FD";

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// An engine that lived this long did not die of its start.
const HEALTHY_AFTER: Duration = Duration::from_secs(30);

/// A running engine.
#[derive(Debug)]
pub struct EngineProcess {
    pub pid: i32,
    pub started: Instant,
    /// Readable once the engine is ready or has closed it; taken then.
    pub ready: Option<OwnedFd>,
}

/// What an ended engine means.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    EndMachine(End),
    /// The reason is a sentence for a person.
    StartAgain(String),
}

impl EngineProcess {
    /// Starts `cubbyd engine --guest` in its cgroup, spared by the out-of-memory killer.
    pub fn start(log: Option<&str>) -> io::Result<EngineProcess> {
        let (ready, tell) = pipe_with(PipeFlags::CLOEXEC)?;
        fcntl_setfd(&tell, FdFlags::empty())?;
        let mut command = Command::new("/init");
        command
            .arg0("cubbyd")
            .args(["engine", "--guest", "--data-root", DATA_ROOT, "--run-dir", RUN_DIR])
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/root")
            .env(READY_FD, tell.as_raw_fd().to_string())
            .envs(log.map(|filter| ("CUBBY_LOG", filter)))
            .stdin(Stdio::null());
        // SAFETY: between fork and exec only async-signal-safe calls are allowed; this is one `sigprocmask` on a set on the
        // stack, without allocation or locks.
        unsafe { command.pre_exec(unblock_signals) };
        let child = command.spawn()?;
        let pid = child.id();
        for (what, done) in [
            ("cgroup", cgroups::enter("engine", pid)),
            ("memory priority", std::fs::write(format!("/proc/{pid}/oom_score_adj"), "-900")),
        ] {
            if let Err(err) = done {
                console::say(&format!("init: engine's {what}: {err}"));
            }
        }
        Ok(EngineProcess { pid: pid.cast_signed(), started: Instant::now(), ready: Some(ready) })
    }

    /// The ready descriptor is readable: whether the engine said yes. Asked once.
    pub fn said_ready(&mut self) -> bool {
        let mut byte = [0];
        match self.ready.take() {
            Some(ready) => std::fs::File::from(ready).read(&mut byte).is_ok_and(|read| read == 1 && byte == *b"R"),
            None => false,
        }
    }
}

/// The standard library hands pid 1's blocked signals on to its children, who would never hear SIGTERM.
fn unblock_signals() -> io::Result<()> {
    SigSet::empty().thread_set_mask().map_err(Into::into)
}

/// What an ended engine asks for, given its exit code or the signal that killed it.
pub fn verdict(code: Option<i32>, signal: Option<i32>) -> Verdict {
    match (code, signal) {
        (Some(POWER_OFF), _) => Verdict::EndMachine(End::PowerOff),
        (Some(RESTART), _) => Verdict::EndMachine(End::Restart),
        (Some(code), _) => Verdict::StartAgain(format!("the engine ended with exit code {code}")),
        (None, Some(signal)) => Verdict::StartAgain(format!("the engine was killed by signal {signal}")),
        (None, None) => Verdict::StartAgain("the engine ended".into()),
    }
}

/// Pauses between starts, longer for an engine that keeps dying young.
#[derive(Debug, Default)]
pub struct BackOff {
    early_deaths: u32,
}

impl BackOff {
    pub fn pause_after(&mut self, lived: Duration) -> Duration {
        if lived >= HEALTHY_AFTER {
            self.early_deaths = 0;
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << self.early_deaths.min(10)).min(LONGEST_PAUSE);
        self.early_deaths = self.early_deaths.saturating_add(1);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_a_limit_and_a_healthy_life_forgives() {
        let mut back_off = BackOff::default();
        let young = Duration::from_secs(1);
        let pauses: Vec<_> = (0..40).map(|_| back_off.pause_after(young).as_millis()).collect();
        assert_eq!(pauses[..4], [100, 200, 400, 800]);
        assert_eq!(pauses[39], 10_000);
        assert_eq!(back_off.pause_after(HEALTHY_AFTER), FIRST_PAUSE);
    }

    #[test]
    fn only_the_two_agreed_codes_end_the_machine() {
        let exited = |code: i32| verdict(Some(code), None);
        assert_eq!(exited(75), Verdict::EndMachine(End::PowerOff));
        assert_eq!(exited(76), Verdict::EndMachine(End::Restart));
        for code in [0, 1, 77, 255] {
            assert!(matches!(exited(code), Verdict::StartAgain(reason) if reason.contains(&code.to_string())));
        }
        assert_eq!(verdict(None, Some(9)), Verdict::StartAgain("the engine was killed by signal 9".into()));
    }
}
