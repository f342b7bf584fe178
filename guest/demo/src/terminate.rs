//! Signals: ending on SIGTERM, and a ctrl-c that the shell survives.
//!
//! Ending As pid 1 of a container the kernel applies no default action: without a handler `docker stop` would wait
//! its ten seconds and kill.

use std::sync::atomic::{AtomicBool, Ordering};

const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on SIGTERM and SIGINT end the process with exit code 0, at once.
pub fn on_signals() {
    for number in [SIGINT, SIGTERM] {
        // SAFETY: `signal` is POSIX's, linked with the standard library; the handler has its C signature, is never
        // removed, and calls only `_exit`, which is async-signal-safe.
        unsafe { signal(number, end) };
    }
}

/// From now on ctrl-c interrupts a command, not the shell.
pub fn survive_interrupts() {
    // SAFETY: as above; the handler only stores to an atomic, which is async-signal-safe.
    unsafe { signal(SIGINT, note) };
}

/// Whether ctrl-c was pressed since the last time somebody asked.
pub fn interrupted() -> bool {
    INTERRUPTED.swap(false, Ordering::Relaxed)
}

extern "C" fn note(_number: i32) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

extern "C" fn end(_number: i32) {
    // SAFETY: `_exit` takes any code, never returns, and may be called from a signal handler.
    unsafe { _exit(0) }
}

unsafe extern "C" {
    fn signal(number: i32, handler: extern "C" fn(i32)) -> usize;
    fn _exit(code: i32) -> !;
}
