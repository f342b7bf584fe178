//! How fast this processor's time-stamp counter runs.
//!
//! Under TCG the guest's counter is the host's. A guest that has to find its rate out by itself measures against an emulated clock, and
//! on a busy host that goes wrong by whole factors: its time then runs several times too fast for as long as it lives. So it is told.

use std::time::{Duration, Instant};

/// Long enough that an error of the brackets is below a hundredth of a thousandth.
const WINDOW: Duration = Duration::from_millis(20);
/// Readings of both clocks that took longer were interrupted.
const BRACKET: Duration = Duration::from_micros(2);
const TRIES: usize = 1000;

/// Kilohertz; `None` where there is no such counter or it cannot be measured. Blocks for some 20 ms.
pub fn khz() -> Option<u64> {
    let (ticks_before, before) = reading()?;
    std::thread::sleep(WINDOW);
    let (ticks_after, after) = reading()?;
    let nanos = u64::try_from(after.duration_since(before).as_nanos()).ok()?;
    let khz = u128::from(ticks_after.checked_sub(ticks_before)?) * 1_000_000 / u128::from(nanos.max(1));
    // Outside of this it is no counter of cycles.
    u64::try_from(khz).ok().filter(|khz| (100_000..10_000_000).contains(khz))
}

/// Counter and clock at the same moment.
fn reading() -> Option<(u64, Instant)> {
    for _ in 0..TRIES {
        let before = Instant::now();
        let ticks = ticks()?;
        let took = before.elapsed();
        if took < BRACKET {
            return Some((ticks, before + took / 2));
        }
    }
    None
}

#[cfg(target_arch = "x86_64")]
fn ticks() -> Option<u64> {
    // SAFETY: RDTSC exists on every x86-64 processor and only reads a counter; a system that forbids it to programs (prctl
    // PR_SET_TSC) would do so for QEMU as well.
    Some(unsafe { std::arch::x86_64::_rdtsc() })
}

#[cfg(not(target_arch = "x86_64"))]
fn ticks() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn two_measurements_agree() {
        let (first, second) = (khz().unwrap(), khz().unwrap());
        assert!(first.abs_diff(second) < first / 1000, "{first} and {second} kHz");
    }
}
