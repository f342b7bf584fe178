//! Notices that somebody set the wall clock: a container with the right to, or the host.
//!
//! A timer of the wall clock that lies in the far future and is cancelled by every step. Source: timerfd_create(2),
//! `TFD_TIMER_CANCEL_ON_SET`. Costs nothing until it happens.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use rustix::time::{timerfd_create, timerfd_settime};

/// The year 2200: the timer itself never fires.
const FAR_FUTURE_S: i64 = 7_258_118_400;

#[derive(Debug)]
pub struct ClockWatch(OwnedFd);

impl ClockWatch {
    pub fn start() -> io::Result<ClockWatch> {
        let timer = timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        let watch = ClockWatch(timer);
        watch.arm()?;
        Ok(watch)
    }

    fn arm(&self) -> io::Result<()> {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let at = Itimerspec { it_interval: zero, it_value: Timespec { tv_sec: FAR_FUTURE_S, tv_nsec: 0 } };
        timerfd_settime(&self.0, TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET, &at)?;
        Ok(())
    }

    /// Whether the clock was set since the last call. Never blocks.
    pub fn stepped(&self) -> bool {
        match rustix::io::read(&self.0, &mut [0_u8; 8]) {
            // Cancelled; or it is the year 2200.
            Err(Errno::CANCELED) | Ok(_) => {
                if let Err(err) = self.arm() {
                    super::console::say(&format!("init: clock: {err}"));
                }
                true
            }
            Err(_) => false,
        }
    }
}

impl AsFd for ClockWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_nobody_sets_says_nothing() {
        let watch = ClockWatch::start().unwrap();
        assert!(!watch.stepped());
    }
}
