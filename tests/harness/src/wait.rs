//! Waiting for a condition, because a sleep is either too short or too long.

use std::time::{Duration, Instant};

/// Tries `condition` until it gives a value.
///
/// # Panics
/// When `deadline` has passed; `what` then tells what never came.
pub fn wait_for<T>(what: &str, deadline: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < deadline, "waited {deadline:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
