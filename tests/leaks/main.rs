//! What containers leave behind: nothing, whatever happens to the engine meanwhile.
//!
//! Sizes: CI runs small ones; README.md says how to run the full ones.

mod gone;
mod hostile;
mod kills;
mod many;
mod peak;

use std::{collections::BTreeSet, time::Duration};

use cubby_harness::{NativeEngine, Traces, wait_for};

/// A size from the environment, where somebody asked for another than CI's.
fn size(variable: &str, of_ci: usize) -> usize {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable}={text}: a number is wanted")),
        Err(_) => of_ci,
    }
}

/// The counts once they have stopped to change: the engine cleans up behind its clients' backs.
fn settled(engine: &NativeEngine, ids: &BTreeSet<String>) -> Traces {
    let (mut last, mut same) = (Traces::of(engine, ids), 0);
    wait_for("counts that stay", Duration::from_secs(60), || {
        let now = Traces::of(engine, ids);
        same = if now == last { same + 1 } else { 0 };
        last = now;
        // Each try is 20 ms after the one before.
        (same == 50).then(|| last.clone())
    })
}
