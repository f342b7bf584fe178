//! Requests that are tried again after a fault of the network.

use std::time::Duration;

use cubby_registry::Error;
use tokio::time::sleep;

/// How often something is tried again without having got any further.
pub const ATTEMPTS: u32 = 5;

/// The wait after that many failures in a row: it doubles.
pub async fn back_off(failures: u32) {
    sleep(Duration::from_millis(500) * 2_u32.pow(failures.clamp(1, ATTEMPTS) - 1)).await;
}

/// Tries up to `attempts` times what is small and may be done twice. For registries that have answered before: whoever
/// asks for one that is not there wants to know at once.
pub async fn patiently<T, F: Future<Output = Result<T, Error>>>(
    what: &str,
    attempts: u32,
    mut attempt: impl FnMut() -> F,
) -> Result<T, Error> {
    let mut failures = 0;
    loop {
        match attempt().await {
            // Why not what is asked too often: that makes it worse, and its user should know.
            Err(error @ Error::Unreachable { .. }) if failures + 1 < attempts => {
                failures += 1;
                tracing::warn!(err = %error, what, "the registry failed; it is asked again");
                back_off(failures).await;
            }
            done => return done,
        }
    }
}
