//! `kill -9` of the engine in the middle of fifty clients' work, over and over.
//!
//! ```text
//! survivors (print numbers for the whole test)
//! round:  50 clients, each with a ledger ──▶ after the n-th answer: kill -9 ──▶ restart
//!         ──▶ ledgers against what is there ──▶ what the clients left is removed ──▶ nothing leaks
//! ```
//!
//! The moment of a kill is a number of answers, drawn from a seed: a slow machine kills at the same points of the work.

mod checks;
mod client;
mod ledger;
mod survivors;

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use cubby_harness::{IMAGE, Memory, NativeEngine, Traces, busybox_archive, wait_for};

use self::{client::Client, ledger::Ledger, survivors::Survivors};
use crate::{settled, size};

const CLIENTS: usize = 50;
/// A kill comes after at most so many answers.
const ANSWERS: usize = 400;
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn a_kill_amid_fifty_clients_loses_nothing_that_was_promised() {
    let rounds = size("CUBBY_LEAKS_KILLS", 4);
    let seed = size("CUBBY_LEAKS_SEED", 20) as u64;
    let mut engine = NativeEngine::start();
    engine.docker().run_with_input(["load"], &busybox_archive()).ok();
    let survivors = Survivors::start(&engine.socket());
    let mut ids = BTreeSet::new();
    // Why a round before counting: pools and tables grow to the size of the crowd once.
    round(&mut engine, &survivors, 0, seed, &mut ids);
    let before = (settled(&engine, &ids), Memory::of(&engine));
    for number in 1..=rounds {
        let start = Instant::now();
        let killed = round(&mut engine, &survivors, number, seed, &mut ids);
        println!("round {number}: {killed}, {:.1} s", start.elapsed().as_secs_f64());
    }
    let after = wait_for_traces(&engine, &ids, &before.0);
    println!("before {:?}; {}\nafter  {after:?}; {}", before.0, before.1, Memory::of(&engine));
    survivors.end_whole(&engine.socket());
}

/// One kill and everything that must hold after it. Tells when the kill came.
fn round(
    engine: &mut NativeEngine,
    survivors: &Survivors,
    number: usize,
    seed: u64,
    ids: &mut BTreeSet<String>,
) -> String {
    let mut random = fastrand::Rng::with_seed(seed.wrapping_mul(1000) + number as u64);
    let moment = random.usize(1..=ANSWERS);
    let (answers, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let socket = engine.socket();
    let ledgers: Vec<Ledger> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|n| {
                let name = format!("r{number}c{n}");
                let mut client = Client::new(&socket, name, random.fork(), survivors, (&answers, &over));
                scope.spawn(move || client.work(n))
            })
            .collect();
        wait_for("the moment of the kill", PATIENCE, || (answers.load(Ordering::Relaxed) >= moment).then_some(()));
        engine.kill();
        over.store(true, Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().expect("no client fails")).collect()
    });
    let seen = answers.load(Ordering::Relaxed);
    ids.extend(ledgers.iter().flat_map(Ledger::ids));
    let faults: Vec<&String> = ledgers.iter().flat_map(|ledger| &ledger.faults).collect();
    assert!(faults.is_empty(), "round {number}: wrong answers before the kill: {faults:#?}");
    engine.restart();
    ids.extend(checks::what_was_promised(engine, &ledgers));
    survivors.still_run(&engine.socket());
    checks::remove_all(engine, survivors);
    checks::nothing_is_left(engine, survivors);
    format!("killed after {seen} answers")
}

fn wait_for_traces(engine: &NativeEngine, ids: &BTreeSet<String>, before: &Traces) -> Traces {
    let mut last = Traces::default();
    let fine = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait_for("nothing left", Duration::from_secs(30), || {
            last = Traces::of(engine, ids);
            last.at_most(before).then_some(())
        });
    }));
    assert!(fine.is_ok(), "something is left: before {before:?}, after {last:?}");
    last
}

/// The body of a container's creation.
fn container(command: &[&str]) -> serde_json::Value {
    serde_json::json!({ "Image": IMAGE, "Cmd": command })
}
