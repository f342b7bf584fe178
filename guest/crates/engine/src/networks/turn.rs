//! Engines that share a kernel choose names and subnets one after the other: each looks at what there is and then makes what
//! it chose, and two that look at once would choose the same.
//!
//! The lock is on the network namespace itself, so whoever shares one waits for the other, wherever their directories are.

use std::{
    fs::File,
    time::{Duration, Instant},
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

/// Somebody who has it for longer hangs, and is not waited for.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(5);

/// The turn of this engine, until dropped. Blocks. None where there is no such lock: a clash is then found when it is there.
pub fn take() -> Option<File> {
    let namespace = File::open("/proc/thread-self/ns/net").ok()?;
    let give_up = Instant::now() + PATIENCE;
    loop {
        match flock(&namespace, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Some(namespace),
            Err(Errno::WOULDBLOCK | Errno::INTR) if Instant::now() < give_up => std::thread::sleep(PAUSE),
            Err(error) => {
                tracing::warn!(err = %error, "other engines of this machine are not waited for");
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_has_the_turn_meanwhile() {
        let mine = take().unwrap();
        let other = File::open("/proc/thread-self/ns/net").unwrap();
        let now = || flock(&other, FlockOperation::NonBlockingLockExclusive);
        assert_eq!(now(), Err(Errno::WOULDBLOCK));
        drop(mine);
        // Another test's engine may have had it next.
        while now().is_err() {
            std::thread::yield_now();
        }
    }
}
