//! What containers leave behind: nothing. A suite of its own, because it counts mounts, cgroups, network namespaces and
//! interfaces of the whole machine, which no other test may change meanwhile.

use std::time::Duration;

use cubby_harness::{IMAGE, NativeEngine, Traces, busybox_archive, wait_for};

const CONTAINERS: usize = 100;

#[test]
fn a_hundred_containers_leave_no_trace() {
    let engine = NativeEngine::start();
    let docker = engine.docker();
    docker.run_with_input(["load"], &busybox_archive()).ok();
    let life = |count: usize| {
        for _ in 0..count {
            docker.run(["run", "--rm", "-p", "127.0.0.1:0:80", IMAGE, "true"]).ok();
        }
    };
    life(3);
    let before = settled(engine.pid());
    life(CONTAINERS);
    let after = settled(engine.pid());
    println!("before {before:?}\nafter  {after:?}");
    assert!(after.at_most(&before), "something is left: before {before:?}, after {after:?}");
}

/// The counts once they have stopped to change: the engine cleans up behind its clients' backs.
fn settled(engine: u32) -> Traces {
    let (mut last, mut same) = (Traces::of(engine), 0);
    wait_for("counts that stay", Duration::from_secs(60), || {
        let now = Traces::of(engine);
        same = if now == last { same + 1 } else { 0 };
        last = now;
        // Each try is 20 ms after the one before.
        (same == 75).then(|| last.clone())
    })
}
