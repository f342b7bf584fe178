//! The end of the machine: everything killed, the data disk unmounted, the power off. Each step is tried whatever the
//! earlier ones gave.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount_remount, unmount};
use rustix::process::WaitOptions;
use rustix::system::{RebootCommand, reboot};

use super::DATA_ROOT;
use super::console::say;

/// How the machine ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    PowerOff,
    Restart,
}

/// Time for programs to end by themselves, and for the kernel to clear away those that were killed.
const GRACE: Duration = Duration::from_secs(2);
const STEP: Duration = Duration::from_millis(5);

/// Does not return. Called again from within (a panic), it goes straight for the switch.
pub fn off(end: End) -> ! {
    static UNDER_WAY: AtomicBool = AtomicBool::new(false);
    if !UNDER_WAY.swap(true, Ordering::Relaxed) {
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            // ESRCH: nobody is left.
            if kill(Pid::from_raw(-1), signal).is_ok() && nobody_left_within(GRACE) {
                break;
            }
        }
        release_disk();
    }
    rustix::fs::sync();
    say(match end {
        End::PowerOff => "init: power off",
        End::Restart => "init: restart",
    });
    let command = match end {
        End::PowerOff => RebootCommand::PowerOff,
        End::Restart => RebootCommand::Restart,
    };
    let refused = reboot(command);
    say(&format!("init: the kernel refused to end the machine: {refused:?}"));
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

fn nobody_left_within(time: Duration) -> bool {
    let give_up = Instant::now() + time;
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Err(Errno::CHILD) => return true,
            Ok(Some(_)) => {}
            _ if Instant::now() >= give_up => return false,
            _ => std::thread::sleep(STEP),
        }
    }
}

fn release_disk() {
    rustix::fs::sync();
    match unmount(DATA_ROOT, UnmountFlags::empty()) {
        // EINVAL: it was never mounted.
        Ok(()) | Err(Errno::INVAL) => return,
        Err(err) => say(&format!("init: the data disk is still in use: {err}")),
    }
    if let Err(err) = mount_remount(DATA_ROOT, MountFlags::RDONLY, c"") {
        say(&format!("init: the data disk stays writable: {err}; its journal will set it right"));
    }
}
